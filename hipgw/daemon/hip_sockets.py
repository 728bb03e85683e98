"""HIP control packets out: protocol 139 and UDP 10500.

What comes in is read by the data path, which answers strangers itself, and punted.  The local
address of a packet is chosen per packet (IP_PKTINFO of ip(7), IPV6_PKTINFO of RFC 3542 section 6),
so one socket serves every address of the host.
"""

from __future__ import annotations

import socket
import struct
from collections import Counter
from typing import Final

from hipgw.values import Address, Encapsulation, Path

IP_PKTINFO: Final = 8
UDP_MARKER: Final = b"\0\0\0\0"
"""Stands where ESP has its SPI (RFC 9028 section 5.1)."""


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


def _source_of(local: Address) -> tuple[int, int, bytes]:
    """Ancillary data that makes `local` the source address; interface 0: as the route says."""
    if local.version == 4:
        return socket.IPPROTO_IP, IP_PKTINFO, struct.pack("=I4s4s", 0, local.packed, bytes(4))
    return socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, struct.pack("=16sI", local.packed, 0)
