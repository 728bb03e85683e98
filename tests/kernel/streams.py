"""iperf3 over HIP while something else goes on, and what was on the wire and in the tables then.

The guest has one processor, so both streams are slow enough to leave it room.
"""

from __future__ import annotations

import contextlib
import csv
import json
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hipgw.lab.capture import read_pcap
from hipgw.lab.hosts import LabHost
from hipgw.lab.readiness import wait_for_words
from hipgw.netlink.xfrm import Group, Overrun, StateChanged, XfrmMonitor
from tests.kernel.daemons import PATIENCE_S

PORTS: Final = {"tcp": 5201, "udp": 5202}
OPTIONS: Final = {
    "tcp": ["-b", "15M", "-l", "16K", "-w", "256K"],
    "udp": ["-u", "-b", "2M", "-l", "500", "-w", "4M"],
}
SOCKET_OCTETS: Final = 16 << 20
SNAP_OCTETS: Final = 96
ETHERNET_OCTETS: Final = 14
ESP: Final = 50
POLL_S: Final = 0.1


@contextlib.contextmanager
def roomy_sockets() -> Iterator[None]:
    """Receivers that are not scheduled for a moment lose nothing."""
    files = [Path(f"/proc/sys/net/core/{name}") for name in ("rmem_max", "wmem_max")]
    before = [file.read_text() for file in files]
    for file in files:
        file.write_text(str(SOCKET_OCTETS))
    try:
        yield
    finally:
        for file, text in zip(files, before, strict=True):
            file.write_text(text)


class Iperf:
    """One stream from a to b by HIT, for so many seconds."""

    def __init__(self, a: LabHost, b: LabHost, kind: str, seconds: int) -> None:
        words = ["iperf3", "-p", str(PORTS[kind]), "-B"]
        self.server = b.popen([*words, str(b.hit), "-s", "-1", "--forceflush"])
        wait_for_words(self.server, "Server listening", patience_s=PATIENCE_S)
        self._drain = threading.Thread(target=self.server.communicate)
        self._drain.start()
        more = ["-c", str(b.hit), "-t", str(seconds), "-J", *OPTIONS[kind]]
        self.client = a.popen([*words, str(a.hit), *more], stderr=subprocess.STDOUT)
        self.said = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        self.said = self.client.communicate()[0]

    @property
    def is_running(self) -> bool:
        return self.client.poll() is None

    def end(self) -> dict[str, Any]:
        """What it measured, once its time is up."""
        self._reader.join()
        self._drain.join()
        answer: dict[str, Any] = json.loads(self.said)
        assert "error" not in answer, answer["error"]
        return answer["end"]


@dataclass
class Tap:
    """ESP on the wire of a host, both ways."""

    file: Path

    def numbers(self) -> Counter[tuple[bytes, int, int]]:
        """How often each (source address, SPI, sequence number) was seen."""
        return Counter((source, spi, number) for source, spi, number, _ in self.packets())

    def vectors(self) -> Counter[tuple[bytes, int, bytes]]:
        """How often each (source address, SPI, first 8 octets of the payload) was seen."""
        return Counter((source, spi, vector) for source, spi, _, vector in self.packets())

    def packets(self) -> Iterator[tuple[bytes, int, int, bytes]]:
        for _, frame in read_pcap(self.file.read_bytes()):
            packet = frame[ETHERNET_OCTETS:]
            if packet[0] >> 4 == 4:
                source, start = packet[12:16], (packet[0] & 15) * 4
            else:
                source, start = packet[8:24], 40
            esp = packet[start : start + 16]
            yield source, int.from_bytes(esp[:4], "big"), int.from_bytes(esp[4:8], "big"), esp[8:]


@contextlib.contextmanager
def tapped(host: LabHost, file: Path) -> Iterator[Tap]:
    words = ["tcpdump", "-n", "-i", host.interfaces[0], "-w", str(file), "-Z", "root"]
    tcpdump = host.popen([*words, "-s", str(SNAP_OCTETS), "-B", "65536", "esp"])
    wait_for_words(tcpdump, "listening on", patience_s=PATIENCE_S)
    yield Tap(file)
    tcpdump.send_signal(signal.SIGTERM)
    tcpdump.communicate()


@dataclass
class Ledger:
    """Every SPI that a host's kernel ever had, and every key that its daemon ever installed."""

    host: LabHost
    kernel: set[int] = field(default_factory=set)
    lost: int = 0

    def keys(self) -> dict[int, set[str]]:
        """Keys by SPI, of all that the daemon installed anywhere."""
        found: dict[int, set[str]] = {}
        with self.host.files.esp_keys.open(newline="") as lines:
            for row in csv.reader(lines):
                found.setdefault(int(row[3], 16), set()).add(row[5])
        return found

    def check(self) -> None:
        """No key was ever in the kernel and in user space, and none had two SPIs."""
        assert self.lost == 0
        keys = self.keys()
        owners = Counter(key for some in keys.values() for key in some)
        assert set(owners.values()) == {1}
        carried = {key for spi in keys.keys() & self.kernel for key in keys[spi]}
        others = {key for spi in keys.keys() - self.kernel for key in keys[spi]}
        assert carried
        assert others
        assert not carried & others


@contextlib.contextmanager
def ledger(host: LabHost) -> Iterator[Ledger]:
    book, is_over = Ledger(host), threading.Event()
    monitor = host.call(lambda: XfrmMonitor([Group.SA], receive_octets=SOCKET_OCTETS))

    def read() -> None:
        for event in monitor.read():
            if isinstance(event, StateChanged):
                book.kernel.add(event.report.state.spi)
            book.lost += isinstance(event, Overrun)

    def listen() -> None:
        while not is_over.wait(POLL_S):
            read()

    listener = threading.Thread(target=listen)
    listener.start()
    yield book
    is_over.set()
    listener.join()
    read()
    monitor.close()
