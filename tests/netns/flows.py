"""Many numbered UDP flows between hosts of a lab: what arrives must be what was sent, in order.

A sender keeps a bounded number of datagrams under way, so that it offers what the path takes,
however slow the machine: what is missing at the end was lost, not crowded out.
"""

from __future__ import annotations

import selectors
import socket
import struct
import threading
import time
from types import TracebackType
from typing import Final, Self

from hipgw.lab.hosts import LabHost
from hipgw.values import Hit, Lsi
from tests.netns.streams import make_roomy, until

NUMBER: Final = struct.Struct("!I")
END: Final = b"end"
UNDER_WAY: Final = 96
SIZES: Final = (16, 700, 1200)
IDLE_S: Final = 20.0
"""What is missing after so long without any datagram was lost."""


class NumberedFlows:
    """Flows from one host to an identifier of another one, each from a port of its own.

    Attributes:
        sent: how many datagrams each flow has sent.
        numbers: those that arrived, for each flow in the order they came.
    """

    def __init__(self, a: LabHost, b: LabHost, target: Hit | Lsi, flows: int) -> None:
        family = socket.AF_INET6 if isinstance(target, Hit) else socket.AF_INET
        self.sent = [1] * flows
        self.numbers: list[list[int]] = [[] for _ in range(flows)]
        self.label = f"{a.name} to {b.name} by {target}"
        self._is_over = threading.Event()
        self._is_all_sent = threading.Event()
        self._servers = [
            b.call(lambda: socket.socket(family, socket.SOCK_DGRAM)) for _ in range(flows)
        ]
        self._clients = [
            a.call(lambda: socket.socket(family, socket.SOCK_DGRAM)) for _ in range(flows)
        ]
        for server, client in zip(self._servers, self._clients, strict=True):
            server.bind(("", 0))
            server.setblocking(False)
            make_roomy(server)
            client.connect((str(target), server.getsockname()[1]))
        self._threads = [threading.Thread(target=run) for run in (self._receive, self._send)]

    def __enter__(self) -> Self:
        # Whose a port is, HIT's or LSI's, the data path asks once, with the first packet.
        self._threads[0].start()
        for client in self._clients:
            client.send(NUMBER.pack(0))
        until(lambda: all(self.numbers), f"{self.label}: the first datagram of each flow")
        self._threads[1].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._threads[1].join()
        self._is_all_sent.set()
        self._clients[0].send(END)  # wakes the receiver, which may have everything
        self._threads[0].join()
        for channel in (*self._servers, *self._clients):
            channel.close()

    @property
    def arrived(self) -> int:
        """Datagrams of all flows."""
        return sum(len(numbers) for numbers in self.numbers)

    def _send(self) -> None:
        total = len(self._clients)
        while not self._is_over.is_set():
            if total - self.arrived >= UNDER_WAY:
                time.sleep(0.0005)
                continue
            flow = total % len(self._clients)
            size = SIZES[total % len(SIZES)]
            self._clients[flow].send(NUMBER.pack(self.sent[flow]).ljust(size, b"\0"))
            self.sent[flow] += 1
            total += 1

    def _receive(self) -> None:
        with selectors.DefaultSelector() as waiting:
            for flow, server in enumerate(self._servers):
                waiting.register(server, selectors.EVENT_READ, flow)
            while not (self._is_all_sent.is_set() and self.arrived >= sum(self.sent)):
                ready = waiting.select(IDLE_S)
                if not ready and self._is_all_sent.is_set():
                    return
                for key, _ in ready:
                    self._drain(self._servers[key.data], self.numbers[key.data])

    @staticmethod
    def _drain(server: socket.socket, numbers: list[int]) -> None:
        while True:
            try:
                octets = server.recv(2048)
            except BlockingIOError:
                return
            if octets != END:
                numbers.append(NUMBER.unpack_from(octets)[0])

    def wait_for_more(self, count: int) -> None:
        """Wait until `count` datagrams more than now have arrived."""
        goal = self.arrived + count
        until(
            lambda: self.arrived >= goal,
            lambda: f"{self.label}: {self.arrived} of {goal}, {sum(self.sent)} sent",
        )

    def check(self) -> None:
        """After the end: nothing was lost, nothing came twice, no flow was reordered."""
        for flow, (sent, numbers) in enumerate(zip(self.sent, self.numbers, strict=True)):
            wrong = [pair for pair in enumerate(numbers) if pair[0] != pair[1]]
            assert numbers == list(range(sent)), f"{self.label}, flow {flow}: {wrong[:8]}"
