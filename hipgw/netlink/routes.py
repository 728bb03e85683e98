"""Routes: what the kernel would do with a destination, and the routes that hipgw adds."""

from __future__ import annotations

import errno
import ipaddress
import socket as sockets
from collections.abc import Mapping, Sequence
from typing import Any, Final

from hipgw.netlink.rtnetlink import (
    NetlinkError,
    message_attributes,
    with_rtnetlink,
)
from hipgw.values import Address

UNREACHABLE: Final = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL}
"""What RTM_GETROUTE answers for "no route" and for routes of type unreachable, prohibit and
blackhole."""

RT_SCOPE_LINK: Final = 253
RT_TABLE_MAIN: Final = 254
RTPROT_STATIC: Final = 4
"""Who made a route: what pyroute2 says of its own; the kernel's own have 2."""


def source_for(destination: Address) -> Address | None:
    """The source address that the kernel would choose for `destination`; None without a route."""
    route = _look_up(destination)
    if route is None or "RTA_PREFSRC" not in route:
        return None
    return ipaddress.ip_address(str(route["RTA_PREFSRC"]))


def path_mtu(destination: Address) -> int | None:
    """Octets that fit to `destination` as the kernel knows now; None without a route.

    That is a learnt path MTU or the MTU of the route where there is one, else of the link.
    """

    def task(socket: Any) -> int | None:
        route = _ask(socket, destination)
        if route is None:
            return None
        metrics = route.get("RTA_METRICS")
        if metrics is not None:
            mtu = message_attributes(metrics).get("RTAX_MTU")
            if mtu:
                return int(mtu)
        links = socket.get_links(route["RTA_OIF"])
        return int(message_attributes(links[0])["IFLA_MTU"])

    return with_rtnetlink(f"look up the route to {destination}", task)


def _look_up(destination: Address) -> dict[str, Any] | None:
    return with_rtnetlink(
        f"look up the route to {destination}", lambda socket: _ask(socket, destination)
    )


def _ask(socket: Any, destination: Address) -> dict[str, Any] | None:
    try:
        replies = socket.route("get", family=_family(destination), dst=str(destination))
    except NetlinkError as error:
        if error.code in UNREACHABLE:
            return None
        raise
    return message_attributes(replies[0]) if replies else None


def replace_interface_route(
    socket: Any,
    index: int,
    network: ipaddress.IPv4Network | ipaddress.IPv6Network,
    *,
    source: Address,
    mtu: int | None = None,
) -> None:
    """Route `network` out of an interface, with `source` as source address and maybe an MTU."""
    request: dict[str, Any] = {
        "family": _family(source),
        "dst": str(network),
        "oif": index,
        "prefsrc": str(source),
    }
    if source.version == 4:
        request["scope"] = RT_SCOPE_LINK
    if mtu is not None:
        request["metrics"] = {"mtu": mtu}
    socket.route("replace", **request)


def set_host_routes(
    socket: Any, index: int, sources: Mapping[Address, Address], mtu4: int | None
) -> None:
    """Give an interface exactly these routes to single addresses.

    Args:
        socket: rtnetlink.
        index: of the interface.
        sources: destination -> source address.
        mtu4: of the IPv4 routes; None as the link.
    """
    for family in (sockets.AF_INET, sockets.AF_INET6):
        for message in socket.get_routes(family=family, table=RT_TABLE_MAIN, oif=index):
            attributes = message_attributes(message)
            text = attributes.get("RTA_DST")
            if text is None or message["proto"] != RTPROT_STATIC:
                continue
            destination = ipaddress.ip_address(str(text))
            is_host = message["dst_len"] == destination.max_prefixlen
            if is_host and destination not in sources:
                scope = {"scope": RT_SCOPE_LINK} if destination.version == 4 else {}
                socket.route("del", family=family, dst=str(destination), oif=index, **scope)
    for destination, source in sources.items():
        mtu = mtu4 if destination.version == 4 else None
        replace_interface_route(
            socket, index, ipaddress.ip_network(destination), source=source, mtu=mtu
        )


def add_default_routes(routers: Sequence[Address]) -> None:
    """Send what has no other route to these routers, one a family."""

    def task(socket: Any) -> None:
        for router in routers:
            network = "0.0.0.0/0" if router.version == 4 else "::/0"
            socket.route("replace", family=_family(router), dst=network, gateway=str(router))

    with_rtnetlink("set default routes", task)


def _family(address: Address) -> int:
    return sockets.AF_INET if address.version == 4 else sockets.AF_INET6
