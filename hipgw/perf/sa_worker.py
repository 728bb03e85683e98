"""CPU time of the whole outbound worker, system calls included, with one SA and with many.

Packets come one by one through a socket pair in place of the TUN device, each to an SA drawn at
random, and leave through a UDP socket to one that nobody reads on the loopback interface.  Trains
are off, so that one SA has no advantage but its own.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack, closing
from typing import Final, Self

import numpy as np

from hipgw._fastpath.worker import DataPath
from hipgw.perf.sas import Packets, install_pair, peer_hit

PACKETS: Final = 40_000
_ROUND_LIMIT_S: Final = 30.0


class WorkerRun:
    """An outbound worker with so many SA pairs; a context manager."""

    def __init__(self, pairs: int, octets: int) -> None:
        self.pairs: Final = pairs
        self._octets = octets
        self._stack = ExitStack()
        inner, self._application = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for opened in (inner, self._application, out, sink):
            self._stack.enter_context(closing(opened))
        sink.bind(("127.0.0.1", 0))
        self._path = DataPath(tun_fd=inner.fileno(), udp4_fd=out.fileno())
        for number in range(pairs):
            install_pair(self._path.tables, number, port=sink.getsockname()[1])
        self._thread = threading.Thread(target=self._path.run_outbound)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._path.stop()
        self._thread.join()
        self._stack.close()

    def cpu_ns_per_packet(self, seed: int) -> float:
        """Of one round of PACKETS.

        Raises:
            TimeoutError: the worker did not carry them in time.
        """
        packets = Packets(self._octets, 1)
        packets.lay_out(np.frombuffer(peer_hit(0), np.uint8).reshape(1, 16))
        template = packets.packet(0)
        chosen = np.random.default_rng(seed).integers(0, self.pairs, PACKETS)
        ready = [template[:24] + peer_hit(int(number)) + template[40:] for number in chosen]
        clock = time.pthread_getcpuclockid(self._thread.ident or 0)
        sent = self._path.counters()["esp_tx"]
        before_ns = time.clock_gettime_ns(clock)
        for packet in ready:
            self._application.send(packet)
        limit_s = time.monotonic() + _ROUND_LIMIT_S
        while self._path.counters()["esp_tx"] - sent < PACKETS:
            if time.monotonic() > limit_s:
                raise TimeoutError(f"{PACKETS} packets not carried within {_ROUND_LIMIT_S} s")
            time.sleep(0.001)
        return (time.clock_gettime_ns(clock) - before_ns) / PACKETS
