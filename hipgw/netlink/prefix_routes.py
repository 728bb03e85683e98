"""Routes of prefixes through the HIP interface, told from all others by their protocol number."""

from __future__ import annotations

import errno
import ipaddress
import socket as sockets
from collections.abc import Mapping
from typing import Any, Final

from hipgw.errors import HostError
from hipgw.netlink.rtnetlink import (
    NetlinkError,
    link_index,
    message_attributes,
    with_rtnetlink,
)
from hipgw.values import Address

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PROTOCOL: Final = 139
"""Who made the route (rtm_protocol of rtnetlink(7)): no number of /etc/iproute2/rt_protos."""
RT_SCOPE_LINK: Final = 253
RT_TABLE_MAIN: Final = 254
FAMILIES: Final = {4: sockets.AF_INET, 6: sockets.AF_INET6}


def set_prefix_routes(
    wanted: Mapping[str, Mapping[Network, Address | None]], *, mtu: int
) -> list[str]:
    """Give interfaces exactly these routes to prefixes; routes of others are not touched.

    A route that moves from one of these interfaces to another is replaced in one step.  Routes go
    with their interface, so a daemon that was killed leaves none on hip0.

    Args:
        wanted: name of an interface -> prefix -> source address of what this host sends there
            itself; None: the kernel chooses.
        mtu: octets of the longest packet.

    Returns:
        A sentence for each that the kernel refused, because another route to it is there.

    Raises:
        HostError: no such interface, or not permitted.
    """

    def task(socket: Any) -> list[str]:
        refused: list[str] = []
        there: dict[Network, int] = {}
        indices: dict[str, int] = {}
        for name in wanted:
            index = link_index(socket, name)
            if index is None:
                raise HostError(f"interface {name} does not exist; open the TUN device first")
            indices[name] = index
            there |= dict.fromkeys(_ours(socket, index), index)
        keep = {network for prefixes in wanted.values() for network in prefixes}
        for network, index in there.items():
            if network not in keep:
                socket.route("del", **_request(network, index))
        for name, prefixes in wanted.items():
            for network, source in prefixes.items():
                request = _request(network, indices[name]) | {"metrics": {"mtu": mtu}}
                if source is not None:
                    request["prefsrc"] = str(source)
                try:
                    socket.route("replace" if network in there else "add", **request)
                except NetlinkError as error:
                    if error.code not in {errno.EEXIST, errno.EINVAL}:
                        raise
                    known = error.code == errno.EEXIST
                    why = "there is another route to it" if known else "refused"
                    refused.append(f"{network}: {why}")
        return refused

    return with_rtnetlink(f"route subnets to {', '.join(wanted)}", task)


def _ours(socket: Any, index: int) -> set[Network]:
    found: set[Network] = set()
    for version, family in FAMILIES.items():
        for message in socket.get_routes(family=family, table=RT_TABLE_MAIN, oif=index):
            if message["proto"] == PROTOCOL:
                text = message_attributes(message).get("RTA_DST")
                any_address = "0.0.0.0" if version == 4 else "::"  # noqa: S104 - a default route
                network = f"{text or any_address}/{message['dst_len']}"
                found.add(ipaddress.ip_network(network))
    return found


def _request(network: Network, index: int) -> dict[str, Any]:
    request: dict[str, Any] = {
        "family": FAMILIES[network.version],
        "dst": str(network),
        "oif": index,
        "proto": PROTOCOL,
    }
    if network.version == 4:
        request["scope"] = RT_SCOPE_LINK
    return request
