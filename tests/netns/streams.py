"""Traffic over HIP that counts: every octet and datagram has its place, and is missed.

Sockets are opened inside the namespaces of two hosts; threads of the test process use them.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from hipgw.lab.hosts import LabHost

PATIENCE_S = 90.0
NUMBER = struct.Struct("!Q")
BUFFER_OCTETS = 4 << 20
SO_RCVBUFFORCE = 33
PAUSE_S = 0.001
QUIET_S = 1.0
QUIET_MOST = 10
"""So often nothing has come for QUIET_S: what is missing is lost."""


def until(
    question: Callable[[], bool],
    what: Callable[[], str] | str,
    patience_s: float = PATIENCE_S,
) -> None:
    """Wait for something to become true; fails the test when it does not."""
    deadline = time.monotonic() + patience_s
    while not question():
        if time.monotonic() >= deadline:
            said = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {patience_s} s: {said}")
        time.sleep(0.02)


def make_roomy(server: socket.socket) -> None:
    """Room for what arrives while nobody reads, whatever net.core.rmem_max is here."""
    server.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_OCTETS)


class CountingStream:
    """One TCP connection from a to b by HIT on which numbers go, 0 and up.

    Attributes:
        received: how many have arrived, in order.
        trouble: what ended it, "" while it runs.
    """

    def __init__(self, a: LabHost, b: LabHost) -> None:
        self.received = 0
        self.trouble = ""
        self._is_over = threading.Event()
        hit = str(b.hit)
        self._server = b.call(lambda: _bound(socket.SOCK_STREAM, hit))
        self._server.listen()
        port = self._server.getsockname()[1]
        self._client = a.call(lambda: socket.create_connection((hit, port), timeout=PATIENCE_S))
        self._accepted, _ = self._server.accept()
        self._accepted.settimeout(PATIENCE_S)
        self._threads = [threading.Thread(target=run) for run in (self._send, self._receive)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)
        for channel in (self._client, self._accepted, self._server):
            channel.close()
        if kind is None:
            assert self.trouble == ""

    def _send(self) -> None:
        number = 0
        try:
            while not self._is_over.is_set():
                self._client.sendall(NUMBER.pack(number))
                number += 1
                time.sleep(PAUSE_S)
            self._client.shutdown(socket.SHUT_WR)
        except OSError as error:
            self.trouble = self.trouble or f"sender: {error}"

    def _receive(self) -> None:
        try:
            with self._accepted.makefile("rb") as stream:
                while octets := stream.read(NUMBER.size):
                    (number,) = NUMBER.unpack(octets)
                    if number != self.received:
                        self.trouble = f"{number} instead of {self.received}"
                        return
                    self.received += 1
        except OSError as error:
            self.trouble = self.trouble or f"receiver: {error}"

    def wait_for_more(self, count: int = 50) -> None:
        """Wait until `count` numbers more than now have arrived."""
        goal = self.received + count
        until(
            lambda: self.received >= goal or bool(self.trouble),
            lambda: f"{count} more numbers; at {self.received} of {goal}",
        )
        assert self.trouble == ""


class CountingDatagrams:
    """Numbered UDP datagrams from a to b by HIT, one a millisecond.

    Attributes:
        sent: how many.
        numbers: those that arrived, in the order they came.
    """

    def __init__(self, a: LabHost, b: LabHost) -> None:
        self.sent = 0
        self.numbers: list[int] = []
        self._is_over = threading.Event()
        hit = str(b.hit)
        self._server = b.call(lambda: _bound(socket.SOCK_DGRAM, hit))
        make_roomy(self._server)
        target = hit, self._server.getsockname()[1]
        self._client = a.call(lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
        self._client.connect(target)
        self._sender = threading.Thread(target=self._send)
        self._receiver = threading.Thread(target=self._receive)

    def __enter__(self) -> Self:
        self._receiver.start()
        # Until the control plane has said whose the port is, a datagram may overtake another one.
        self._client.send(NUMBER.pack(0))
        self.sent = 1
        until(lambda: bool(self.numbers), "the first datagram")
        self._sender.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Send no more, and wait for what is under way."""
        self._is_over.set()
        self._sender.join(PATIENCE_S)
        self._receiver.join(PATIENCE_S)
        self._client.close()
        self._server.close()

    def _send(self) -> None:
        while not self._is_over.is_set():
            self._client.send(NUMBER.pack(self.sent))
            self.sent += 1
            time.sleep(PAUSE_S)

    def _receive(self) -> None:
        self._server.settimeout(QUIET_S)
        quiet = 0
        while True:
            try:
                octets = self._server.recv(64)
            except TimeoutError:
                quiet = quiet + 1 if self._is_over.is_set() else 0
                if quiet and (len(self.numbers) >= self.sent or quiet >= QUIET_MOST):
                    return
            else:
                quiet = 0
                self.numbers.append(NUMBER.unpack(octets)[0])

    def wait_for_more(self, count: int = 100) -> None:
        """Wait until `count` datagrams more than now have arrived."""
        goal = len(self.numbers) + count
        until(lambda: len(self.numbers) >= goal, lambda: f"{count} more datagrams")


def _bound(kind: socket.SocketKind, hit: str) -> socket.socket:
    server = socket.socket(socket.AF_INET6, kind)
    server.settimeout(PATIENCE_S)
    server.bind((hit, 0))
    return server
