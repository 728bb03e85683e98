"""Addresses in 16 octets: IPv6, or IPv4 in IPv4-mapped IPv6 form (RFC 8046 section 4.2)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Final

from hipgw.values import Address

ADDRESS_OCTETS: Final = 16
_MAPPED: Final = bytes(10) + b"\xff\xff"


def parse_address(octets: bytes) -> Address:
    """Read exactly 16 octets; an IPv4-mapped address comes back as IPv4."""
    if octets[:12] == _MAPPED:
        return IPv4Address(octets[12:])
    return IPv6Address(octets)


def emit_address(address: Address) -> bytes:
    """Write 16 octets."""
    if address.version == 4:
        return _MAPPED + address.packed
    return address.packed
