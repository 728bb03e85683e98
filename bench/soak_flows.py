"""Traffic of the soak: every octet is looked at, every datagram is known.

Sockets are opened inside the namespaces of two hosts; threads of this process use them.  What ends
a connection is a fault that the soak has made, so a stream begins another one; but an octet that
is wrong, or a datagram that comes twice, is what no fault explains.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from typing import Final

from hipgw.lab.hosts import LabHost
from hipgw.values import Hit, Lsi

ANY: Final = "0.0.0.0"  # noqa: S104 - in a namespace of the lab
NUMBER: Final = struct.Struct("!Q")
CHUNK_OCTETS: Final = 32768
PATTERN_OCTETS: Final = 65521
PATTERN: Final = os.urandom(PATTERN_OCTETS)
PATTERN_TWICE: Final = PATTERN + PATTERN
WAIT_S: Final = 1.0
STALL_S: Final = 20.0
"""A connection that moves nothing for so long is given up."""
REMEMBERED: Final = 1 << 16


class Flow(ABC):
    """Traffic from one host to another, until `stop`.

    Attributes:
        name: for people.
        arrived: octets, all as they were sent.
        units: chunks or datagrams that arrived.
        wrong: sentences about what must never be.
        begun: connections made.
    """

    def __init__(self, name: str, source: LabHost, target: LabHost, address: Hit | Lsi) -> None:
        self.name = name
        self.arrived = 0
        self.units = 0
        self.begun = 0
        self.wrong: list[str] = []
        self._source = source
        self._target = target
        self._address = str(address)
        self._family = socket.AF_INET6 if isinstance(address, Hit) else socket.AF_INET
        # To itself a host has another LSI than the one that its peer knows it by.
        self._bound = self._address if isinstance(address, Hit) else ANY
        self._is_over = threading.Event()
        self._threads = [
            threading.Thread(target=body, name=f"{name} {body.__name__}", daemon=True)
            for body in (self._receive, self._send)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End; threads that hang are an error of ours."""
        self._is_over.set()
        for thread in self._threads:
            thread.join(STALL_S + WAIT_S)
            if thread.is_alive():
                self.wrong.append(f"thread {thread.name} does not end")

    @abstractmethod
    def _receive(self) -> None:
        """Take in until the end; a thread's body."""

    @abstractmethod
    def _send(self) -> None:
        """Send until the end; a thread's body."""

    def _open(self, host: LabHost, kind: socket.SocketKind) -> socket.socket:
        opened: socket.socket = host.call(lambda: socket.socket(self._family, kind))
        opened.settimeout(WAIT_S)
        return opened


class Stream(Flow):
    """TCP."""

    def __init__(
        self, name: str, source: LabHost, target: LabHost, address: Hit | Lsi, rate_octets: float
    ) -> None:
        """Listen.

        Args:
            name: for people.
            source: who sends.
            target: who receives.
            address: of the target.
            rate_octets: a second, at most.
        """
        super().__init__(name, source, target, address)
        self._pause_s = CHUNK_OCTETS / rate_octets
        self._server = self._open(target, socket.SOCK_STREAM)
        self._server.bind((self._bound, 0))
        self._server.listen()
        self._port = self._server.getsockname()[1]

    def _send(self) -> None:
        while not self._is_over.is_set():
            with contextlib.suppress(OSError), self._open(self._source, socket.SOCK_STREAM) as tcp:
                tcp.settimeout(STALL_S)
                tcp.connect((self._address, self._port))
                self.begun += 1
                self._pour(tcp)
            self._is_over.wait(0.1)

    def _pour(self, tcp: socket.socket) -> None:
        at = 0
        while not self._is_over.is_set():
            start = at % PATTERN_OCTETS
            tcp.sendall(PATTERN_TWICE[start : start + CHUNK_OCTETS])
            at += CHUNK_OCTETS
            time.sleep(self._pause_s)

    def _receive(self) -> None:
        with self._server:
            while not self._is_over.is_set():
                with contextlib.suppress(OSError):
                    accepted, _ = self._server.accept()
                    with accepted:
                        accepted.settimeout(WAIT_S)
                        self._drink(accepted)

    def _drink(self, tcp: socket.socket) -> None:
        """Read one connection until it ends, breaks, or stands still while another one waits."""
        at, last = 0, time.monotonic()
        while not self._is_over.is_set():
            try:
                octets = tcp.recv(CHUNK_OCTETS)
            except TimeoutError:
                if time.monotonic() - last > STALL_S:
                    return
                continue
            if not octets:
                return
            start = at % PATTERN_OCTETS
            if octets != PATTERN_TWICE[start : start + len(octets)]:
                self.wrong.append(f"{self.name}: wrong octets at {at} of connection {self.begun}")
                return
            at += len(octets)
            last = time.monotonic()
            self.arrived += len(octets)
            self.units += 1


class Datagrams(Flow):
    """UDP, numbered."""

    def __init__(
        self,
        name: str,
        source: LabHost,
        target: LabHost,
        address: Hit | Lsi,
        *,
        octets: int,
        per_second: float,
    ) -> None:
        """Bind.

        Args:
            name: for people.
            source: who sends.
            target: who receives.
            address: of the target.
            octets: of one datagram's payload, at least 8.
            per_second: datagrams.
        """
        super().__init__(name, source, target, address)
        self._octets = octets
        self._pause_s = 1 / per_second
        self._server = self._open(target, socket.SOCK_DGRAM)
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._server.bind((self._bound, 0))
        self._port = self._server.getsockname()[1]
        self.sent = 0

    def _payload(self, number: int) -> bytes:
        start = number % PATTERN_OCTETS
        return NUMBER.pack(number) + PATTERN_TWICE[start : start + self._octets - NUMBER.size]

    def _send(self) -> None:
        while not self._is_over.is_set():
            with contextlib.suppress(OSError), self._open(self._source, socket.SOCK_DGRAM) as udp:
                self.begun += 1
                while not self._is_over.is_set():
                    number, self.sent = self.sent, self.sent + 1
                    udp.sendto(self._payload(number), (self._address, self._port))
                    time.sleep(self._pause_s)
            self._is_over.wait(0.05)

    def _receive(self) -> None:
        seen: set[int] = set()
        order: deque[int] = deque()
        with self._server:
            while not self._is_over.is_set():
                with contextlib.suppress(OSError):
                    octets = self._server.recv(65535)
                    number = int.from_bytes(octets[: NUMBER.size])
                    if octets != self._payload(number):
                        self.wrong.append(f"{self.name}: datagram {number} is not what was sent")
                    if number in seen:
                        self.wrong.append(f"{self.name}: datagram {number} came twice")
                    seen.add(number)
                    order.append(number)
                    if len(order) > REMEMBERED:
                        seen.discard(order.popleft())
                    self.arrived += len(octets)
                    self.units += 1
