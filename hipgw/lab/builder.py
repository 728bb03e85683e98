"""Builds the namespaces and links of a topology, and removes them.

Both ends of a link are made inside their namespaces, so nothing of a lab ever shows up among the
interfaces of the machine, and many labs can use the same addresses.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Final

from hipgw.errors import HostError
from hipgw.lab.state import namespace_of
from hipgw.lab.topology import Link, Port, Topology
from hipgw.netlink.addresses import add_addresses
from hipgw.netlink.links import add_veth, bring_up, remove_interface, veth_names
from hipgw.netlink.namespaces import (
    create_namespace,
    namespace_names,
    processes_inside,
    remove_namespace,
    run_inside,
)
from hipgw.netlink.routes import add_default_routes

QUIET_SETTINGS: Final = {
    "accept_dad": "0",
    "router_solicitations": "0",
    "accept_ra": "0",
    "disable_ipv6": "0",
}
"""IPv6 settings of a lab host: addresses are usable at once, and captures hold no noise."""
FORWARDING_FILES: Final = (
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sys/net/ipv6/conf/all/forwarding",
)


def build(topology: Topology, lab: str) -> None:
    """Make the namespaces, links and addresses of `topology` for the lab called `lab`.

    Raises:
        HostError: not root, or the kernel lacks veth or namespaces.  What was made stays; the
            caller removes it with `remove`.
    """
    for host in topology.hosts:
        create_namespace(namespace_of(lab, host.name))
        run_inside(namespace_of(lab, host.name), _prepare_host)
        if host.subnets:
            run_inside(namespace_of(lab, host.name), _forward)
    for link in topology.links:
        _make_link(link, lab)
    for host in topology.hosts:
        if host.routers:
            run_inside(namespace_of(lab, host.name), partial(add_default_routes, host.routers))


def _prepare_host() -> None:
    for scope in ("default", "all"):
        for setting, value in QUIET_SETTINGS.items():
            path = Path(f"/proc/sys/net/ipv6/conf/{scope}/{setting}")
            if path.exists():
                path.write_text(value)
    bring_up("lo")


def _forward() -> None:
    for file in FORWARDING_FILES:
        Path(file).write_text("1")


def _make_link(link: Link, lab: str) -> None:
    near, far = link.ends

    def make() -> None:
        far_namespace = namespace_of(lab, far.host)
        add_veth(near.interface, far.interface, far_namespace, mtu=link.mtu_octets)

    run_inside(namespace_of(lab, near.host), make)
    for port in link.ends:
        run_inside(namespace_of(lab, port.host), partial(_set_up_port, port))


def _set_up_port(port: Port) -> None:
    bring_up(port.interface)
    if port.addresses:
        add_addresses(port.interface, port.addresses)


def namespaces_of_lab(lab: str) -> list[str]:
    """The namespaces that a lab of this name has, whether or not its making was finished.

    A host name holds no dash, so the namespaces of lab `x-y` are not taken for those of lab `x`.
    """
    pattern = re.compile(re.escape(f"hipgw-{lab}-") + r"[a-z0-9]+")
    return [name for name in namespace_names() if pattern.fullmatch(name)]


def remove(lab: str) -> dict[int, str]:
    """Remove the namespaces of a lab, as far as they are there.

    Links go first: a namespace whose name is gone lives on as long as a process is inside.

    Returns:
        Processes that are still inside and lose their network: id to namespace.
    """
    staying = {}
    for namespace in namespaces_of_lab(lab):
        staying.update(dict.fromkeys(processes_inside(namespace), namespace))
        try:
            run_inside(namespace, _remove_links)
        except HostError:
            if namespace in namespace_names():
                raise
            # Somebody else is taking the same lab down, which is as good.
        remove_namespace(namespace)
    return staying


def _remove_links() -> None:
    for name in veth_names():
        remove_interface(name)
