"""ICMP sockets that see nothing but "too big", and what such a packet says.

Whoever sends one must quote a packet of ours, but nobody vouches for it: the caller compares
addresses, ports and SPI with the security associations that are there.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from hipgw.drivers.packet_sockets import host_error
from hipgw.values import ESP_PROTOCOL, Address, Encapsulation

_SOL_RAW: Final = 255
_ICMP_FILTER: Final = 1
_ICMP6_FILTER: Final = 1
_UNREACHABLE: Final = 3
_FRAGMENTATION_NEEDED: Final = 4
_PACKET_TOO_BIG: Final = 2
_UDP_PROTOCOL: Final = 17
PACKETS_PER_WAKE: Final = 16
MTU_UNSAID: Final = 1280
"""Taken where a router of before RFC 1191 says nothing."""


@dataclass(frozen=True, slots=True)
class TooBig:
    """A router's answer to an ESP packet of ours."""

    local: Address
    peer: Address
    encapsulation: Encapsulation
    local_port: int
    peer_port: int
    spi: int
    mtu_octets: int
    """Of the outer packet that would pass."""


def open_icmp(family: int) -> socket.socket:
    """A non-blocking raw socket that sees only "fragmentation needed" or "packet too big".

    Args:
        family: 4 or 6.

    Raises:
        HostError: not permitted.
    """
    opened = None
    try:
        if family == 4:
            opened = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
            seen = ~(1 << _UNREACHABLE) & 0xFFFFFFFF
            opened.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", seen))
        else:
            opened = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
            words = [0xFFFFFFFF] * 8
            words[0] &= ~(1 << _PACKET_TOO_BIG)
            opened.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("=8I", *words))
        opened.setblocking(False)
    except OSError as error:
        if opened is not None:
            opened.close()
        raise host_error(f"an ICMP socket over IPv{family}", error) from error
    return opened


def parse_too_big(family: int, octets: bytes) -> TooBig | None:
    """Read what an ICMP socket delivered; None for anything else than an answer to ESP.

    IPv4 sockets deliver the IP header, too (raw(7)).
    """
    if family == 6:
        if len(octets) < 48 or octets[0] != _PACKET_TOO_BIG:
            return None
        mtu_octets = int.from_bytes(octets[4:8])
        quoted = octets[8:]
        if quoted[0] >> 4 != 6:
            return None
        source, peer = IPv6Address(quoted[8:24]), IPv6Address(quoted[24:40])
        return _of_esp(source, peer, quoted[6], quoted[40:], mtu_octets)
    header = (octets[0] & 15) * 4 if octets else 0
    icmp = octets[header:]
    if header < 20 or len(icmp) < 28 or (icmp[0], icmp[1]) != (_UNREACHABLE, _FRAGMENTATION_NEEDED):
        return None
    mtu_octets = int.from_bytes(icmp[6:8]) or MTU_UNSAID
    quoted = icmp[8:]
    inner = (quoted[0] & 15) * 4
    if quoted[0] >> 4 != 4 or inner < 20:
        return None
    ends = IPv4Address(quoted[12:16]), IPv4Address(quoted[16:20])
    return _of_esp(*ends, quoted[9], quoted[inner:], mtu_octets)


def _of_esp(
    local: Address, peer: Address, protocol: int, payload: bytes, mtu_octets: int
) -> TooBig | None:
    if protocol == ESP_PROTOCOL and len(payload) >= 4:
        spi = int.from_bytes(payload[:4])
        return TooBig(local, peer, Encapsulation.RAW, 0, 0, spi, mtu_octets)
    if protocol == _UDP_PROTOCOL and len(payload) >= 12:
        ports = int.from_bytes(payload[:2]), int.from_bytes(payload[2:4])
        spi = int.from_bytes(payload[8:12])
        return TooBig(local, peer, Encapsulation.UDP, *ports, spi, mtu_octets)
    return None
