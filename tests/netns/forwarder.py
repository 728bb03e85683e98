"""The least that a rendezvous server does (RFC 8004 section 4.3).

I1s and UPDATEs go on to where their receiver is, with the source that they came from.  IPv4, HIP as
an IP protocol.
"""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from ipaddress import IPv4Address
from types import TracebackType
from typing import Self

from hipgw.lab.hosts import LabHost
from hipgw.values import Address, Hit
from hipgw.wire import PacketType, with_checksum

HIP = 139
IP_HEADER = struct.Struct("!BBHHHBBH4s4s")
FORWARDED = {PacketType.I1, PacketType.UPDATE}


class Forwarder:
    """A thread of the test process on sockets of one host.

    Attributes:
        registered: where each HIT is.
        forwarded: types of the packets that went on.
        trouble: what ended it, "" while it runs.
    """

    def __init__(self, host: LabHost, registered: dict[Hit, Address]) -> None:
        self.registered = registered
        self.forwarded: list[PacketType] = []
        self.trouble = ""
        self._socket = host.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, HIP))
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
        self._socket.settimeout(0.1)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._thread.join(10)
        self._socket.close()
        if kind is None:
            assert self.trouble == ""

    def _run(self) -> None:
        while not self._is_over.is_set():
            with suppress(TimeoutError):
                octets = self._socket.recv(4096)
                try:
                    self._forward(octets)
                except OSError as error:
                    self.trouble = self.trouble or str(error)

    def _forward(self, octets: bytes) -> None:
        source = IPv4Address(octets[12:16])
        packet = octets[(octets[0] & 15) * 4 :]
        kind, home = PacketType(packet[2] & 0x7F), self.registered.get(Hit(packet[24:40]))
        if kind not in FORWARDED or not isinstance(home, IPv4Address):
            return
        packet = with_checksum(packet, source, home)
        length = IP_HEADER.size + len(packet)
        ends = source.packed, home.packed
        header = IP_HEADER.pack(0x45, 0, length, 0, 0, 63, HIP, 0, *ends)
        self._socket.sendto(header + packet, (str(home), 0))
        self.forwarded.append(kind)
