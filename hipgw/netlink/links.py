"""Interfaces: the HIP interface as a whole, and veth pairs between namespaces."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from hipgw.errors import HostError
from hipgw.netlink.addresses import set_addresses
from hipgw.netlink.routes import replace_interface_route, set_host_routes
from hipgw.netlink.rtnetlink import link_index, message_attributes, with_rtnetlink
from hipgw.values import Address, Hit, Lsi

HIT_PREFIXES: Final = ("2001:20::/28", "2001:10::/28")
"""Where HITs live: ORCHIDv2 (RFC 7343 section 2) and the ORCHID of HIPv1 (RFC 4843)."""

IFF_MULTICAST: Final = 0x1000

TX_QUEUE_PACKETS: Final = 1000
"""Room between the kernel and the reader of a TUN device.  Its default of 500 packets makes one TCP
stream at 1 Gbit/s lose 2 % there; 1000, that of an Ethernet device, next to nothing."""

QUIET_SETTINGS: Final = {
    "addr_gen_mode": "1",  # no link-local address is made by itself
    "router_solicitations": "0",
    "accept_ra": "0",
    "autoconf": "0",
    "accept_dad": "0",
    "disable_ipv6": "0",
}
"""IPv6 settings of our interfaces: nobody but us speaks there, so nothing is announced."""


def configure_interface(
    name: str,
    *,
    hits: Sequence[Hit],
    lsis: Sequence[Lsi],
    mtu: int,
    lsi_prefix: str = "1.0.0.0/8",
    lsi_mtu: int | None = None,
    sources: Sequence[tuple[Address, Address]] = (),
) -> None:
    """Bring the HIP interface up with exactly these HITs and LSIs, and the routes to all others.

    Each HIT is a /128 and each LSI a /32 without duplicate address detection.  The ORCHID prefixes
    and `lsi_prefix` are routed to the interface; the source is the first HIT of the same prefix,
    else the first HIT, and the first LSI.
    Calling it again with other values moves the interface to them.

    Args:
        name: an existing interface, normally the TUN `hip0`.
        hits: own HITs, the default one first.
        lsis: own LSIs, the default one first.
        mtu: of the interface, octets of inner packet; at least 1280 (RFC 8200 section 5).
        lsi_prefix: where LSIs live.
        lsi_mtu: octets for the LSI route where it differs from `mtu`.  Path MTU discovery may
            still lower it.
        sources: HITs and LSIs of peers, each with the own HIT or LSI that is its source address
            where an application does not choose one.

    Raises:
        HostError: no such interface, not root, or a value the kernel refuses.
    """
    lsi_network = ipaddress.IPv4Network(lsi_prefix)
    hit_networks = [ipaddress.IPv6Network(prefix) for prefix in HIT_PREFIXES]

    def task(socket: Any) -> None:
        index = link_index(socket, name)
        if index is None:
            raise HostError(f"interface {name} does not exist; open the TUN device first")
        silence(name)
        socket.link(
            "set", index=index, mtu=mtu, txqlen=TX_QUEUE_PACKETS, flags=0, change=IFF_MULTICAST
        )
        socket.link("set", index=index, state="up")
        own_hits = [ipaddress.IPv6Address(hit.packed) for hit in hits]
        own_lsis = [ipaddress.IPv4Address(lsi.packed) for lsi in lsis]
        set_addresses(socket, index, [*own_hits, *own_lsis], within=[*hit_networks, lsi_network])
        if own_hits:
            for network in hit_networks:
                source = next((hit for hit in own_hits if hit in network), own_hits[0])
                replace_interface_route(socket, index, network, source=source)
        if own_lsis:
            replace_interface_route(socket, index, lsi_network, source=own_lsis[0], mtu=lsi_mtu)
        set_host_routes(socket, index, dict(sources), lsi_mtu)

    with_rtnetlink(f"set up interface {name}", task)


def silence(name: str) -> None:
    """Have the kernel announce nothing on an interface."""
    # A container may have /proc/sys read-only; the interface then works, with some noise on it.
    for setting, value in QUIET_SETTINGS.items():
        with contextlib.suppress(OSError):
            Path(f"/proc/sys/net/ipv6/conf/{name}/{setting}").write_text(value)


def remove_interface(name: str) -> None:
    """Delete interface `name` with its addresses and routes; it may be gone already."""

    def task(socket: Any) -> None:
        index = link_index(socket, name)
        if index is not None:
            socket.link("del", index=index)

    with_rtnetlink(f"remove interface {name}", task)


def interface_exists(name: str) -> bool:
    """Whether the network namespace of the caller has an interface of that name."""
    return with_rtnetlink(
        f"look up interface {name}", lambda socket: link_index(socket, name) is not None
    )


def link_mtus() -> dict[str, int]:
    """MTU in octets of every interface, by name."""

    def task(socket: Any) -> dict[str, int]:
        links = [message_attributes(link) for link in socket.get_links()]
        return {str(link["IFLA_IFNAME"]): int(link["IFLA_MTU"]) for link in links}

    return with_rtnetlink("list interfaces", task)


def add_veth(name: str, peer_name: str, peer_namespace: str, *, mtu: int) -> None:
    """Make a veth pair: `name` here, `peer_name` in another named namespace; both are down.

    Raises:
        HostError: a name is taken, or the kernel has no veth.
    """

    def task(socket: Any) -> None:
        peer = {"ifname": peer_name, "net_ns_fd": peer_namespace, "mtu": mtu}
        socket.link("add", ifname=name, kind="veth", mtu=mtu, peer=peer)

    with_rtnetlink(f"make the veth pair {name} - {peer_name} with MTU {mtu}", task)


def veth_names() -> list[str]:
    """Names of the veth interfaces of this network namespace."""

    def task(socket: Any) -> list[str]:
        names = []
        for link in map(message_attributes, socket.get_links()):
            if "IFLA_LINKINFO" in link:
                kind = message_attributes(link["IFLA_LINKINFO"]).get("IFLA_INFO_KIND")
                if kind == "veth":
                    names.append(str(link["IFLA_IFNAME"]))
        return names

    return with_rtnetlink("list interfaces", task)


def bring_up(name: str) -> None:
    """Set interface `name` up."""

    def task(socket: Any) -> None:
        index = link_index(socket, name)
        if index is None:
            raise HostError(f"interface {name} does not exist; check the name with `ip link`")
        socket.link("set", index=index, state="up")

    with_rtnetlink(f"bring interface {name} up", task)
