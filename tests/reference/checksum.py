"""The Internet checksum, slowly, from RFC 1071."""

from __future__ import annotations


def ones_sum(octets: bytes, start: int = 0) -> int:
    """Big-endian 16-bit words added with end-around carry; an odd octet is a high half."""
    total = start
    if len(octets) % 2:
        octets += b"\0"
    for at in range(0, len(octets), 2):
        total += octets[at] << 8 | octets[at + 1]
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def checksum(octets: bytes) -> int:
    """What the checksum field holds when `octets` has it as zero."""
    return ones_sum(octets) ^ 0xFFFF


def pseudo_header(source: bytes, destination: bytes, protocol: int, length: int) -> bytes:
    """RFC 793 for IPv4 addresses, RFC 8200 section 8.1 for IPv6."""
    if len(source) == 4:
        return source + destination + bytes([0, protocol]) + length.to_bytes(2)
    return source + destination + length.to_bytes(4) + bytes([0, 0, 0, protocol])
