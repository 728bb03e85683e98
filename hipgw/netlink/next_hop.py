"""Next hops: whom a packet to a peer is handed to on its link, as the kernel would do it now.

A dialogue of two small requests on a plain socket, some 50 microseconds together: routes are looked
up for single peers, neighbours for single next hops, and nothing is dumped.  Formats: rtnetlink(7).
"""

from __future__ import annotations

import socket as sockets
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from hipgw.netlink.refusals import refused
from hipgw.netlink.rtnetlink_events import (
    MESSAGE_HEADER,
    RTM_NEWROUTE,
    RTMGRP_IPV4_ROUTE,
    RTMGRP_IPV6_ROUTE,
    RTMGRP_LINK,
    RTMGRP_NEIGH,
    open_events,
)
from hipgw.values import Address

ROUTE: Final = struct.Struct("=BBBBBBBBI")
"""struct rtmsg: family, lengths of both prefixes, traffic class, table, protocol, scope, type,
flags."""
NEIGHBOUR: Final = struct.Struct("=BxxxiHBB")
"""struct ndmsg: family, interface, state, flags, type."""
ATTRIBUTE: Final = struct.Struct("=HH")

NLM_F_REQUEST: Final = 1
NLMSG_ERROR: Final = 2
RTM_GETROUTE: Final = 26
RTM_NEWNEIGH: Final = 28
RTM_DELNEIGH: Final = 29
RTM_GETNEIGH: Final = 30
RTN_UNICAST: Final = 1
RTA_DST: Final = 1
RTA_SRC: Final = 2
RTA_OIF: Final = 4
RTA_GATEWAY: Final = 5
RTA_VIA: Final = 18
RTA_ENCAP_TYPE: Final = 21
NDA_DST: Final = 1
NDA_LLADDR: Final = 2
NUD_VALID: Final = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80
"""REACHABLE, STALE, DELAY, PROBE, NOARP, PERMANENT: in these the kernel itself would send."""
ETHERNET_OCTETS: Final = 6
READ_OCTETS: Final = 8192
PATIENCE_S: Final = 1.0
"""The kernel answers at once; this only ends a wait for an answer that was lost."""

GROUPS: Final = RTMGRP_LINK | RTMGRP_NEIGH | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE


@dataclass(frozen=True, slots=True)
class NextHop:
    """Where a packet leaves, and whose frame it is."""

    interface: int
    """Its number."""
    address: bytes
    """On the link, 6 octets."""


class NextHopFinder:
    """Asks the kernel; one socket for all questions."""

    def __init__(self) -> None:
        """Open.

        Raises:
            HostError: no netlink socket to be had.
        """
        try:
            self._socket = sockets.socket(
                sockets.AF_NETLINK, sockets.SOCK_RAW | sockets.SOCK_CLOEXEC, sockets.NETLINK_ROUTE
            )
        except OSError as error:
            raise refused("look up next hops", error.errno or 0) from error
        self._socket.settimeout(PATIENCE_S)
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def find(self, source: Address, destination: Address) -> NextHop | None:
        """The next hop of a packet from an address of ours to a peer.

        None where there is none on an Ethernet-like link: no route, a route to this host, through a
        tunnel of routes or a link without addresses, or a neighbour that the kernel has not found.
        """
        hop = self._route(source, destination)
        return None if hop is None else self._neighbour(*hop)

    def _route(self, source: Address, destination: Address) -> tuple[int, int, bytes] | None:
        """(interface, family, address) of the next hop."""
        family, bits = _family(destination), destination.max_prefixlen
        body = ROUTE.pack(family, bits, bits, 0, 0, 0, 0, 0, 0)
        body += _attribute(RTA_DST, destination.packed) + _attribute(RTA_SRC, source.packed)
        answer = self._ask(RTM_GETROUTE, RTM_NEWROUTE, body)
        if answer is None or ROUTE.unpack_from(answer)[7] != RTN_UNICAST:
            return None
        found = dict(attributes(answer, ROUTE.size))
        if RTA_OIF not in found or RTA_ENCAP_TYPE in found:
            return None
        (interface,) = struct.unpack_from("=i", found[RTA_OIF])
        if RTA_VIA in found:  # struct rtvia: a next hop of the other family
            via = found[RTA_VIA]
            return interface, int(struct.unpack_from("=H", via)[0]), via[2:]
        return interface, family, found.get(RTA_GATEWAY, destination.packed)

    def _neighbour(self, interface: int, family: int, address: bytes) -> NextHop | None:
        body = NEIGHBOUR.pack(family, interface, 0, 0, 0) + _attribute(NDA_DST, address)
        answer = self._ask(RTM_GETNEIGH, RTM_NEWNEIGH, body)
        if answer is None or not NEIGHBOUR.unpack_from(answer)[2] & NUD_VALID:
            return None
        link_address = dict(attributes(answer, NEIGHBOUR.size)).get(NDA_LLADDR, b"")
        if len(link_address) != ETHERNET_OCTETS or not any(link_address):
            return None
        return NextHop(interface, link_address)

    def _ask(self, request: int, wanted: int, body: bytes) -> bytes | None:
        """The body of the one answer; None after an error, whichever."""
        self._sequence += 1
        header = MESSAGE_HEADER.pack(
            MESSAGE_HEADER.size + len(body), request, NLM_F_REQUEST, self._sequence, 0
        )
        try:
            self._socket.send(header + body)
            while True:
                octets = self._socket.recv(READ_OCTETS)
                length, kind, _, sequence, _ = MESSAGE_HEADER.unpack_from(octets)
                if sequence == self._sequence:
                    return octets[MESSAGE_HEADER.size : length] if kind == wanted else None
        except OSError:
            return None


def attributes(octets: bytes, position: int) -> Iterator[tuple[int, bytes]]:
    """(type, value) of each attribute from a position on; ends at one that makes no sense."""
    while position + ATTRIBUTE.size <= len(octets):
        length, kind = ATTRIBUTE.unpack_from(octets, position)
        if not ATTRIBUTE.size <= length <= len(octets) - position:
            return
        yield kind, octets[position + ATTRIBUTE.size : position + length]
        position += -(-length // 4) * 4


def open_hop_events() -> sockets.socket:
    """A non-blocking socket that tells of links, routes and neighbours.

    Raises:
        HostError: the kernel gives no events.
    """
    return open_events(GROUPS, "watch next hops")


def _attribute(kind: int, value: bytes) -> bytes:
    length = ATTRIBUTE.size + len(value)
    return ATTRIBUTE.pack(length, kind) + value + bytes(-length % 4)


def _family(address: Address) -> int:
    return sockets.AF_INET if address.version == 4 else sockets.AF_INET6
