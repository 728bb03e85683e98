"""Whom an inner packet is from and for: all that the control plane wants to know of it."""

from __future__ import annotations

import struct
from typing import Final

from hipgw.values import Hit, Lsi

IPV4_HEADER_OCTETS: Final = 20
IPV6_HEADER_OCTETS: Final = 40
IPV6_HEAD: Final = struct.Struct("!IHBB")
"""Version, class and flow; length; next header; hop limit."""
IP_IN_IP: Final = 4
IPV6_IN_IP: Final = 41
HOP_LIMIT: Final = 64

InnerEnds = tuple[Hit, Hit] | tuple[Lsi, Lsi]


def inner_ends(packet: bytes) -> InnerEnds | None:
    """Source and destination of an IP packet as HITs (IPv6) or LSIs (IPv4).

    None for anything else or too short.  Whether the addresses are HITs and LSIs of somebody is
    for the caller to find out.
    """
    version = packet[0] >> 4 if packet else 0
    if version == 6 and len(packet) >= IPV6_HEADER_OCTETS:
        return Hit(packet[8:24]), Hit(packet[24:40])
    if version == 4 and len(packet) >= IPV4_HEADER_OCTETS:
        return Lsi(packet[12:16]), Lsi(packet[16:20])
    return None


def in_ipv6(packet: bytes, local: Hit, peer: Hit) -> bytes:
    """A packet of hosts that know no HIP as a tunnel between two HITs sends it (RFC 2473).

    The traffic class is copied; the limit of encapsulations is left out.
    """
    version = packet[0] >> 4
    if version == 4:
        traffic_class, protocol = packet[1], IP_IN_IP
    else:
        traffic_class, protocol = (packet[0] << 4 | packet[1] >> 4) & 0xFF, IPV6_IN_IP
    first = 6 << 28 | traffic_class << 20
    head = IPV6_HEAD.pack(first, len(packet), protocol, HOP_LIMIT)
    return head + local.packed + peer.packed + packet
