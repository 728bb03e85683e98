"""What the kernel tells of links, addresses, routes and neighbours: a socket, and its datagrams.

Formats: netlink(7) and rtnetlink(7).  Nothing here needs pyroute2, whose import takes 0.15 s.
"""

from __future__ import annotations

import socket as sockets
import struct
from collections.abc import Iterator
from typing import Final

from hipgw.netlink.refusals import refused

RTMGRP_LINK: Final = 0x1
RTMGRP_NEIGH: Final = 0x4
RTMGRP_IPV4_IFADDR: Final = 0x10
RTMGRP_IPV4_ROUTE: Final = 0x40
RTMGRP_IPV6_IFADDR: Final = 0x100
RTMGRP_IPV6_ROUTE: Final = 0x400

RTM_NEWLINK: Final = 16
RTM_DELADDR: Final = 21
RTM_NEWROUTE: Final = 24
RTM_DELROUTE: Final = 25

IFF_UP: Final = 0x1

MESSAGE_HEADER: Final = struct.Struct("=IHHII")
"""struct nlmsghdr: length, type, flags, sequence number, port."""
READ_OCTETS: Final = 65536
READS_PER_WAKE: Final = 64


def open_events(groups: int, purpose: str) -> sockets.socket:
    """A non-blocking socket that tells of these groups.

    Args:
        groups: RTMGRP_ bits.
        purpose: what for, in the words of a refusal: "watch interfaces".

    Raises:
        HostError: the kernel gives no events.
    """
    try:
        channel = sockets.socket(
            sockets.AF_NETLINK,
            sockets.SOCK_RAW | sockets.SOCK_NONBLOCK | sockets.SOCK_CLOEXEC,
            sockets.NETLINK_ROUTE,
        )
    except OSError as error:
        raise refused(purpose, error.errno or 0) from error
    try:
        channel.bind((0, groups))
    except OSError as error:
        channel.close()
        raise refused(purpose, error.errno or 0) from error
    return channel


def messages(octets: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, body) of each message of a datagram; ends where there is no room for a header."""
    position = 0
    while position + MESSAGE_HEADER.size <= len(octets):
        length, kind, *_ = MESSAGE_HEADER.unpack_from(octets, position)
        yield kind, octets[position + MESSAGE_HEADER.size : position + length]
        position += max(-(-length // 4) * 4, MESSAGE_HEADER.size)
