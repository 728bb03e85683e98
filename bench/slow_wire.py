"""Links with a round-trip time, where the kernel has no netem: a host in the middle holds frames.

    a eth0 ---- eth0 w eth1 ---- eth0 b

w has no addresses.  Two threads of this process read frames from its interfaces and write them to
the other side when their time has come.  Good for some thousand packets a second.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Final, Self

from hipgw.lab.hosts import LabHost

EVERY_PROTOCOL: Final = 0x0003
OUTGOING: Final = 4
FRAME_OCTETS: Final = 65536


class SlowWire:
    """Joins two interfaces of a host, each way with a delay."""

    def __init__(self, host: LabHost, interfaces: tuple[str, str], delay_s: float) -> None:
        self._delay_s = delay_s
        self._is_over = threading.Event()
        ends = [host.call(partial(_open, name)) for name in interfaces]
        self._ends: Sequence[socket.socket] = ends
        self._threads = [
            threading.Thread(target=self._carry, args=pair, daemon=True)
            for pair in ((ends[0], ends[1]), (ends[1], ends[0]))
        ]

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
            thread.join(5)
        for end in self._ends:
            end.close()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        waiting: deque[tuple[float, bytes]] = deque()
        while not self._is_over.is_set():
            now = time.monotonic()
            while waiting and waiting[0][0] <= now:
                try:
                    target.send(waiting.popleft()[1])
                except OSError:  # the interface is down: the frame is lost
                    continue
            source.settimeout(max(waiting[0][0] - now, 1e-6) if waiting else 0.05)
            try:
                frame, (_, _, kind, *_) = source.recvfrom(FRAME_OCTETS)
            except TimeoutError:
                continue
            except OSError:
                time.sleep(0.001)
                continue
            if kind != OUTGOING:
                waiting.append((time.monotonic() + self._delay_s, frame))


def _open(interface: str) -> socket.socket:
    channel = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERY_PROTOCOL))
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    channel.bind((interface, 0))
    return channel
