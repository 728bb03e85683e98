"""ICMP Parameter Problems about HIP packets, out through raw sockets (RFC 7401 section 5.4).

A raw HIP socket gives no IPv6 header and the daemon keeps no IPv4 header, so the quoted header is
made anew: addresses, protocol and length are those of the packet, the rest is what a sender uses.
"""

from __future__ import annotations

import socket
import struct
from collections import Counter
from typing import Final

from hipgw.proto import SendIcmp
from hipgw.values import Path

HIP_PROTOCOL: Final = 139
ICMP_FILTER: Final = 1
ICMP6_FILTER: Final = 1
SOL_RAW: Final = 255
IPV4_HEADER_OCTETS: Final = 20
IPV6_HEADER_OCTETS: Final = 40
ICMP_HEADER_OCTETS: Final = 8
QUOTE_MOST_V4_OCTETS: Final = 576 - IPV4_HEADER_OCTETS - ICMP_HEADER_OCTETS
"""RFC 1812 section 4.3.2.3."""
QUOTE_MOST_V6_OCTETS: Final = 1280 - IPV6_HEADER_OCTETS - ICMP_HEADER_OCTETS
"""RFC 4443 section 2.4."""
PARAMETER_PROBLEM_V4: Final = 12
PARAMETER_PROBLEM_V6: Final = 4
POINTER_MOST_V4: Final = 255
HOPS: Final = 64


def message_v4(path: Path, pointer_octets: int, offending: bytes) -> bytes | None:
    """The ICMP message; None when the pointer, one octet, does not reach (RFC 792)."""
    pointer = IPV4_HEADER_OCTETS + pointer_octets
    if pointer > POINTER_MOST_V4:
        return None
    header = struct.pack(
        "!BBHHHBBH4s4s",
        0x45,
        0,
        IPV4_HEADER_OCTETS + len(offending),
        0,
        0,
        HOPS,
        HIP_PROTOCOL,
        0,
        path.peer.packed,
        path.local.packed,
    )
    header = header[:10] + _checksum(header) + header[12:]
    quote = (header + offending)[:QUOTE_MOST_V4_OCTETS]
    rest = struct.pack("!B3x", pointer) + quote
    head = bytes([PARAMETER_PROBLEM_V4, 0])
    return head + _checksum(head + bytes(2) + rest) + rest


def message_v6(path: Path, pointer_octets: int, offending: bytes) -> bytes:
    """The ICMPv6 message; the kernel fills in its checksum (RFC 3542 section 3.1)."""
    header = struct.pack("!IHBB", 6 << 28, len(offending), HIP_PROTOCOL, HOPS)
    header += path.peer.packed + path.local.packed
    quote = (header + offending)[:QUOTE_MOST_V6_OCTETS]
    pointer = IPV6_HEADER_OCTETS + pointer_octets
    return struct.pack("!BBHI", PARAMETER_PROBLEM_V6, 0, 0, pointer) + quote


def _checksum(octets: bytes) -> bytes:
    """The Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(octets) // 2}H", octets[: len(octets) // 2 * 2]))
    if len(octets) % 2:
        total += octets[-1] << 8
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return (0xFFFF - total).to_bytes(2, "big")


class IcmpSockets:
    """One raw socket a family, opened at the first message; they receive nothing."""

    def __init__(self) -> None:
        self._sockets: dict[int, socket.socket] = {}
        self.counters: Counter[str] = Counter()

    def send(self, icmp: SendIcmp) -> bool:
        """Send one message; False, and a count, when it cannot be."""
        path = icmp.path
        family = path.local.version
        make = message_v4 if family == 4 else message_v6
        message = make(path, icmp.pointer_octets, icmp.offending)
        if message is None:
            return False
        try:
            channel = self._sockets.get(family) or self._open(family)
            channel.sendmsg([message], [_source_of(path)], 0, (str(path.peer), 0))
        except OSError:
            self.counters["icmp_not_sent"] += 1
            return False
        return True

    def _open(self, family: int) -> socket.socket:
        if family == 4:
            channel = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
            channel.setsockopt(SOL_RAW, ICMP_FILTER, struct.pack("=I", 0xFFFFFFFF))
        else:
            channel = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
            channel.setsockopt(socket.IPPROTO_ICMPV6, ICMP6_FILTER, b"\xff" * 32)
        channel.setblocking(False)
        self._sockets[family] = channel
        return channel

    def close(self) -> None:
        """Close what was opened."""
        for channel in self._sockets.values():
            channel.close()
        self._sockets.clear()


def _source_of(path: Path) -> tuple[int, int, bytes]:
    """Ancillary data that makes our side of the path the source address."""
    if path.local.version == 4:
        content = struct.pack("=I4s4s", 0, path.local.packed, bytes(4))
        return socket.IPPROTO_IP, 8, content  # IP_PKTINFO, ip(7)
    content = struct.pack("=16sI", path.local.packed, 0)
    return socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, content
