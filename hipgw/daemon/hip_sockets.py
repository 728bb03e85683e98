"""HIP control packets on the wire: protocol 139 in and out, UDP 10500 out.

What comes in over UDP is read by the data path, which shares the socket with ESP, and punted.  The
local address of a packet is told and chosen per packet (IP_PKTINFO of ip(7), IPV6_PKTINFO of
RFC 3542 section 6), so one socket serves every address of the host.
"""

from __future__ import annotations

import socket
import struct
from collections import Counter
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from hipgw.values import Address, Encapsulation, Path

IP_PKTINFO: Final = 8
HIP_PACKET_LIMIT_OCTETS: Final = 4096
"""More than the longest HIP packet, 2048 octets (RFC 7401 section 5.1), plus an IP header."""
PACKETS_PER_WAKE: Final = 32
"""Packets read before other work gets its turn."""
UDP_MARKER: Final = b"\0\0\0\0"
"""Stands where ESP has its SPI (RFC 9028 section 5.1)."""
ANCILLARY_OCTETS: Final = 256

Receiver = Callable[[bytes, Path], None]


class HipSockets:
    """The sockets of the control plane, by address family (4 or 6).

    The caller opens them, non-blocking and with packet information on, and closes them.
    """

    def __init__(
        self, raw: dict[int, socket.socket], udp: dict[int, socket.socket], udp_port: int
    ) -> None:
        self._raw = raw
        self._udp = udp
        self._udp_port = udp_port
        self.counters: Counter[str] = Counter()
        self.last_send_error = ""
        """For `hipgw doctor`."""

    @property
    def families(self) -> tuple[int, ...]:
        """Address families with a raw HIP socket."""
        return tuple(self._raw)

    def descriptors(self) -> dict[int, int]:
        """File descriptor of the raw socket of each family."""
        return {family: channel.fileno() for family, channel in self._raw.items()}

    def make_path(
        self, local: Address, peer: Address, encapsulation: Encapsulation, peer_port: int
    ) -> Path:
        """A path with our own port filled in where UDP wants one."""
        if encapsulation is Encapsulation.UDP:
            return Path(local, peer, encapsulation, self._udp_port, peer_port)
        return Path(local, peer)

    def send(self, payload: bytes, path: Path) -> bool:
        """Send one HIP packet; False, and a count, when the kernel refuses."""
        table = self._raw if path.encapsulation is Encapsulation.RAW else self._udp
        family = path.local.version
        channel = table.get(family)
        if channel is None:
            return self._not_sent(f"no IPv{family} socket", path)
        is_raw = path.encapsulation is Encapsulation.RAW
        buffers = [payload] if is_raw else [UDP_MARKER, payload]
        target = (str(path.peer), 0 if is_raw else path.peer_port)
        try:
            channel.sendmsg(buffers, [_source_of(path.local)], 0, target)
        except OSError as error:
            return self._not_sent(error.strerror or "unknown error", path)
        self.counters["sent"] += 1
        return True

    def _not_sent(self, reason: str, path: Path) -> bool:
        self.counters["control_not_sent"] += 1
        self.last_send_error = f"{reason} on {path}"
        return False

    def receive(self, family: int, deliver: Receiver) -> int:
        """Read what waits on the raw socket of a family, at most `PACKETS_PER_WAKE` packets.

        Args:
            family: 4 or 6.
            deliver: gets the HIP packet without its IP header, and the path it came by.

        Returns:
            How many packets were delivered.
        """
        channel = self._raw[family]
        count = 0
        for _ in range(PACKETS_PER_WAKE):
            try:
                octets, ancillary, flags, sender = channel.recvmsg(
                    HIP_PACKET_LIMIT_OCTETS, ANCILLARY_OCTETS
                )
            except BlockingIOError:
                break
            except OSError:
                # An asynchronous ICMP error of an earlier packet: there is nothing to read.
                self.counters["receive_error"] += 1
                continue
            local = _destination_of(ancillary)
            payload = octets if family == 6 else _without_ipv4_header(octets)
            if local is None or payload is None or flags & socket.MSG_TRUNC:
                self.counters["control_unreadable"] += 1
                continue
            peer = _sender_address(family, sender)
            if local.version != peer.version:
                self.counters["control_unreadable"] += 1
                continue
            count += 1
            deliver(payload, Path(local, peer))
        return count


def _source_of(local: Address) -> tuple[int, int, bytes]:
    """Ancillary data that makes `local` the source address; interface 0: as the route says."""
    if local.version == 4:
        return socket.IPPROTO_IP, IP_PKTINFO, struct.pack("=I4s4s", 0, local.packed, bytes(4))
    return socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, struct.pack("=16sI", local.packed, 0)


def _destination_of(ancillary: list[tuple[int, int, bytes]]) -> Address | None:
    """The local address that a packet came to."""
    for level, kind, content in ancillary:
        if level == socket.IPPROTO_IP and kind == IP_PKTINFO and len(content) >= 12:
            return IPv4Address(content[8:12])
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO and len(content) >= 16:
            return IPv6Address(content[:16])
    return None


def _sender_address(family: int, sender: tuple[str, ...]) -> Address:
    text = sender[0]
    return IPv4Address(text) if family == 4 else IPv6Address(text.partition("%")[0])


def _without_ipv4_header(octets: bytes) -> bytes | None:
    """A raw IPv4 socket delivers the IP header, too (raw(7)); None when it makes no sense."""
    if len(octets) < 20 or octets[0] >> 4 != 4:
        return None
    header_octets = (octets[0] & 0x0F) * 4
    if not 20 <= header_octets <= len(octets):
        return None
    return octets[header_octets:]
