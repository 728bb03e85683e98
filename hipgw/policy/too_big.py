"""The answer to a packet that its path does not carry: ICMP, IPv4 and IPv6.

It seems to come from the destination, whose route leads to hip0, so the kernel believes it (not
so a source address of its own) and forwards it to a host behind this one.
"""

from __future__ import annotations

import struct
from typing import Final

IPV4_QUOTE_OCTETS: Final = 548
"""Of the packet: 576 in all (RFC 1812 section 4.3.2.3)."""
IPV6_ANSWER_OCTETS: Final = 1280
"""RFC 4443 section 2.4 (c)."""
IPV4_ERRORS: Final = {3, 4, 5, 11, 12}
"""ICMP errors, which are not answered by errors (RFC 1122 section 3.2.2)."""
ICMPV4: Final = 1
ICMPV6: Final = 58
HOP_LIMIT: Final = 64


def too_big(packet: bytes, mtu_octets: int) -> bytes | None:
    """The ICMP packet that tells the sender of `packet` how long it may be.

    Args:
        packet: an IP packet, or its begin.
        mtu_octets: the longest one that is carried.

    Returns:
        An IPv6 host is asked for no less than 1280 octets, which go in fragments if need be.
        None for what is never answered: errors, later fragments, no IP packet.

    Source: RFC 1191 section 4, RFC 4443 section 3.2.
    """
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 20:
        return _too_big_v4(packet, mtu_octets)
    if version == 6 and len(packet) >= 40:
        return _too_big_v6(packet, mtu_octets)
    return None


def _too_big_v4(packet: bytes, mtu_octets: int) -> bytes | None:
    header = (packet[0] & 15) * 4
    if int.from_bytes(packet[6:8]) & 0x1FFF or len(packet) < header + 8 or header < 20:
        return None
    if packet[9] == ICMPV4 and packet[header] in IPV4_ERRORS:
        return None
    body = packet[:IPV4_QUOTE_OCTETS]
    icmp = struct.pack("!BBHHH", 3, 4, 0, 0, mtu_octets) + body
    icmp = icmp[:2] + _checksum(icmp).to_bytes(2) + icmp[4:]
    head = struct.pack("!BBHHHBBH", 0x45, 0xC0, 20 + len(icmp), 0, 0, HOP_LIMIT, ICMPV4, 0)
    head += packet[16:20] + packet[12:16]
    return head[:10] + _checksum(head).to_bytes(2) + head[12:] + icmp


def _too_big_v6(packet: bytes, mtu_octets: int) -> bytes | None:
    if packet[6] == ICMPV6 and (len(packet) < 41 or packet[40] < 128):
        return None
    body = packet[: IPV6_ANSWER_OCTETS - 48]
    icmp = struct.pack("!BBHI", 2, 0, 0, max(mtu_octets, IPV6_ANSWER_OCTETS)) + body
    ends = packet[24:40] + packet[8:24]
    total = _checksum(ends + struct.pack("!II", len(icmp), ICMPV6) + icmp)
    icmp = icmp[:2] + total.to_bytes(2) + icmp[4:]
    return struct.pack("!IHBB", 6 << 28, len(icmp), ICMPV6, HOP_LIMIT) + ends + icmp


def _checksum(octets: bytes) -> int:
    """RFC 1071."""
    padded = octets + bytes(len(octets) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
