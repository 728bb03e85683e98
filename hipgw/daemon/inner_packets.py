"""Whom an inner packet is from and for: all that the control plane wants to know of it."""

from __future__ import annotations

from typing import Final

from hipgw.values import Hit, Lsi

IPV4_HEADER_OCTETS: Final = 20
IPV6_HEADER_OCTETS: Final = 40

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
