"""What a packet costs with one security association and with a million, and what an SA takes.

Batches spread evenly over all SAs go through the nodes of both workers: classify, strip, seal on
the way out, classify, open on the way in.  The arena is filled anew before each batch, outside of
what is timed, so that its octets are near, as they are behind a system call.  Counts take turns in
each round, and ratios are taken round by round.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hipgw._fastpath import ipsec_mb, libcrypto
from hipgw._fastpath.descriptor import DESCRIPTOR_DTYPE
from hipgw._fastpath.nodes import Nodes
from hipgw._fastpath.tables import SaTables
from hipgw.dataplane.ciphers import use_variant, variant_of
from hipgw.values import ESP_SHAPES, EspSuite

COUNTS: Final = (1, 1_000, 100_000, 1_000_000)
BATCH: Final = 256
BATCHES: Final = 200
"""In one round: with a million SAs, hardly any comes twice."""
ROUNDS: Final = 9
LEAST_SPI: Final = 0x100
_LOCAL_HIT: Final = bytes.fromhex("20010022") + bytes(12)
_LOCAL_LSI: Final = bytes([1, 0, 0, 1])
_ROOM: Final = 64
_IPV6_HEADER: Final = 40
_PAGE_OCTETS: Final = os.sysconf("SC_PAGE_SIZE")


@contextmanager
def variant(
    name: str, suite: EspSuite = EspSuite.AES_GCM_16, seal_least: int = 1, open_least: int = 1
) -> Iterator[None]:
    """Key SAs of a suite for a variant of intel-ipsec-mb, or libcrypto (empty), inside the block.

    Suites that it takes many packets of at once go to it from so many on.
    """
    before = variant_of(suite)
    use_variant(suite, name, seal_least, open_least)
    try:
        yield
    finally:
        use_variant(suite, *before)


def library_of(name: str) -> str:
    """What a variant is called in a table."""
    return f"ipsec-mb {ipsec_mb.version()} {name}" if name else libcrypto.version()


@dataclass(frozen=True, slots=True)
class ScaleFigure:
    """One count of SA pairs; each tuple has a value for each round."""

    pairs: int
    library: str
    octets: int
    """Of inner payload."""
    suite: str
    seal_ns: tuple[float, ...]
    """A packet, all outbound nodes."""
    open_ns: tuple[float, ...]
    octets_per_pair: float
    """Resident memory that installing them took, divided by their number."""
    installs_s: float
    """SA pairs a second, without workers running."""

    def ratios_to(self, other: ScaleFigure) -> list[float]:
        """Cost of both directions against another count's, round by round."""
        mine = zip(self.seal_ns, self.open_ns, strict=True)
        theirs = zip(other.seal_ns, other.open_ns, strict=True)
        return [sum(a) / sum(b) for a, b in zip(mine, theirs, strict=True)]

    def as_json(self) -> dict[str, object]:
        """Every round."""
        return asdict(self)


class Population:
    """So many SA pairs whose outbound halves are their own inbound halves' peers."""

    def __init__(self, pairs: int, suite: EspSuite = EspSuite.AES_GCM_16) -> None:
        """Install them; keys are those of the library in use now."""
        self.suite: Final = suite
        numbers = np.arange(1, pairs + 1).astype(">u8")
        self.peers = np.zeros((pairs, 16), np.uint8)
        self.peers[:, :4] = np.frombuffer(_LOCAL_HIT[:4], np.uint8)
        self.peers[:, 8:] = numbers.view(np.uint8).reshape(pairs, 8)
        self.tables = SaTables()
        self.nodes = Nodes(self.tables)
        before_octets, before_ns = _resident_octets(), time.perf_counter_ns()
        for number in range(pairs):
            install_pair(self.tables, number, suite=suite)
        self.installs_s = pairs * 1e9 / (time.perf_counter_ns() - before_ns)
        self.octets_per_pair = (_resident_octets() - before_octets) / pairs


def keys_of_pair(number: int, suite: EspSuite) -> tuple[bytes, bytes]:
    """Encryption and authentication key, both ways."""
    shape = ESP_SHAPES[suite]
    return (
        number.to_bytes(32, "little")[: shape.encryption_key_octets],
        number.to_bytes(32, "big")[-shape.authentication_key_octets :]
        if shape.authentication_key_octets
        else b"",
    )


def install_pair(
    tables: SaTables,
    number: int,
    port: int = 10500,
    suite: EspSuite = EspSuite.AES_GCM_16,
) -> None:
    """Install an outbound SA, over UDP to 127.0.0.1, and the inbound one that opens its packets."""
    keys = keys_of_pair(number, suite)
    peer = peer_hit(number)
    lsi = (0x01000002 + number).to_bytes(4, "big")
    names = (_LOCAL_HIT, peer, _LOCAL_LSI, lsi)
    spi = LEAST_SPI + number
    tables.install_out(
        spi,
        suite,
        *keys,
        *names,
        family=4,
        source=bytes(4),
        destination=b"\x7f\0\0\1",
        udp=True,
        source_port=10500,
        destination_port=port,
    )
    tables.install_in(spi, suite, *keys, *names)


def remove_pair(tables: SaTables, number: int) -> None:
    """Take both halves away."""
    tables.remove_out(LEAST_SPI + number, _LOCAL_HIT, peer_hit(number))
    tables.remove_in(LEAST_SPI + number)


def peer_hit(number: int) -> bytes:
    """HIT of a pair's peer."""
    return _LOCAL_HIT[:4] + bytes(4) + (number + 1).to_bytes(8, "big")


class Packets:
    """A batch of inner packets of one size, laid out again for each use."""

    def __init__(self, octets: int, batch: int = BATCH) -> None:
        self._octets = octets
        slot = (octets + _IPV6_HEADER + 2 * _ROOM + 63) // 64 * 64
        self._slots: NDArray[np.uint8] = np.zeros((batch, slot), np.uint8)
        self._fresh = np.zeros(batch, np.dtype(DESCRIPTOR_DTYPE))
        self._fresh["offset"] = np.arange(batch) * slot + _ROOM
        self._fresh["length"] = octets + _IPV6_HEADER
        self.arena = self._slots.reshape(-1)
        self.descriptors = self._fresh.view(np.uint8).copy()

    def lay_out(self, destinations: NDArray[np.uint8]) -> None:
        """Make IPv6 packets to HITs, uint8[batch, 16]."""
        packets = self._slots[:, _ROOM:]
        packets[:, : self._octets + _IPV6_HEADER] = 0
        packets[:, 0] = 0x60
        packets[:, 4] = self._octets >> 8
        packets[:, 5] = self._octets & 0xFF
        packets[:, 6] = 17
        packets[:, 8:24] = np.frombuffer(_LOCAL_HIT, np.uint8)
        packets[:, 24:40] = destinations
        self.descriptors[:] = self._fresh.view(np.uint8)

    def start(self, index: int) -> int:
        """Where a packet begins now."""
        return int(self.descriptors.view(np.dtype(DESCRIPTOR_DTYPE))["offset"][index])

    def packet(self, index: int) -> bytes:
        """A packet as it is now."""
        start = self.start(index)
        length = int(self.descriptors.view(np.dtype(DESCRIPTOR_DTYPE))["length"][index])
        return self.arena[start : start + length].tobytes()


def measure_sas(
    counts: Sequence[int] = COUNTS,
    octets: Sequence[int] = (64, 1420),
    variants: Sequence[str] = ("",),
    suite: EspSuite = EspSuite.AES_GCM_16,
    *,
    rounds: int = ROUNDS,
    on_figure: Callable[[ScaleFigure], None] = lambda _: None,
) -> list[ScaleFigure]:
    """Install every count, and measure packets of each size with each library.

    Args:
        counts: of SA pairs.
        octets: sizes of the inner payloads.
        variants: of intel-ipsec-mb, empty for libcrypto.
        suite: of all SAs.
        rounds: measurements of each figure.
        on_figure: called with each figure as it is done.
    """
    figures = []
    for name in variants:
        with variant(name, suite):
            populations = [Population(pairs, suite) for pairs in counts]
        for size in octets:
            spent = _rounds(populations, Packets(size), rounds)
            for population, (seal_ns, open_ns) in zip(populations, spent, strict=True):
                figure = ScaleFigure(
                    len(population.peers),
                    library_of(name),
                    size,
                    suite.name,
                    tuple(seal_ns),
                    tuple(open_ns),
                    population.octets_per_pair,
                    population.installs_s,
                )
                figures.append(figure)
                on_figure(figure)
    return figures


def _rounds(
    populations: Sequence[Population], packets: Packets, rounds: int
) -> list[tuple[list[float], list[float]]]:
    """Medians a packet of each round: sealing, opening; by population."""
    random = np.random.default_rng(1)
    spent: list[tuple[list[float], list[float]]] = [([], []) for _ in populations]
    for turn in range(rounds + 1):
        for population, (seal_ns, open_ns) in zip(populations, spent, strict=True):
            seals, opens = [], []
            for _ in range(BATCHES):
                chosen = random.integers(0, len(population.peers), BATCH)
                seal, opened = one_batch(population.nodes, packets, population.peers[chosen])
                seals.append(seal)
                opens.append(opened)
            if turn:  # the first round warms up
                seal_ns.append(statistics.median(seals) / BATCH)
                open_ns.append(statistics.median(opens) / BATCH)
    return spent


def one_batch(nodes: Nodes, packets: Packets, destinations: NDArray[np.uint8]) -> tuple[int, int]:
    """Nanoseconds that sealing and opening a batch took.

    Raises:
        AssertionError: a packet was lost on the way.
    """
    packets.lay_out(destinations)
    start_ns = time.perf_counter_ns()
    sealed = nodes.seal_batch(packets.arena, packets.descriptors)
    middle_ns = time.perf_counter_ns()
    opened = nodes.open_batch(packets.arena, packets.descriptors)
    end_ns = time.perf_counter_ns()
    if not len(destinations) == sealed == opened:
        raise AssertionError(f"{len(destinations)} packets: {sealed} sealed, {opened} opened")
    return middle_ns - start_ns, end_ns - middle_ns


def _resident_octets() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_OCTETS
