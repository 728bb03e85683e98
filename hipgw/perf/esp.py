"""ESP kernels alone, in memory: suites by sizes by libraries, against the library's bare cipher.

Each figure is the median of some rounds.  A round takes every measurement of one size in turn, so
that what disturbs the machine disturbs all of them, and ratios are taken round by round.
"""

from __future__ import annotations

import statistics
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Final

from hipgw._fastpath import ipsec_mb, libcrypto
from hipgw._fastpath.bare_cipher import BareGcm
from hipgw._fastpath.contexts import OpenContext, SealContext, shape_of_suite
from hipgw.values import EspSuite

SIZES: Final = (64, 256, 576, 1420, 4096, 8900)
"""Octets of inner payload."""
SUITES: Final = (
    EspSuite.AES_GCM_16,
    EspSuite.AES_128_CBC_HMAC_SHA256,
    EspSuite.AES_256_CBC_HMAC_SHA256,
)
BATCH: Final = 256
ROUNDS: Final = 15
ROUND_NS: Final = 4_000_000
"""About how long one measurement lasts in one round."""
_ROOM: Final = 64
_DESCRIPTOR: Final = struct.Struct("=IIIHHHBB")
"""offset, length, sa_index, verdict, reason, gso_octets, next_header, family (descriptor.pxd)."""
_SPI: Final = 0x100

Prepare = Callable[[], None]
Run = Callable[[], None]


@dataclass(frozen=True, slots=True)
class KernelFigure:
    """One kernel over packets of one size; each tuple has a value for each round."""

    suite: str
    library: str
    """Name, version and instruction set."""
    octets: int
    """Of inner payload, each packet."""
    batch: int
    seal_ns: tuple[float, ...]
    """Per packet."""
    open_ns: tuple[float, ...]
    bare_ns: tuple[float, ...]
    """The library's bare call over the same octets; empty where none is measured."""

    @property
    def seal_gbit_s(self) -> float:
        """Payload sealed, median."""
        return self.octets * 8 / statistics.median(self.seal_ns)

    @property
    def seal_mpps(self) -> float:
        """Packets sealed, median, in millions a second."""
        return 1000 / statistics.median(self.seal_ns)

    @property
    def ratio(self) -> float | None:
        """How fast sealing is against the bare call: 1 is as fast; median over the rounds."""
        if not self.bare_ns:
            return None
        pairs = zip(self.bare_ns, self.seal_ns, strict=True)
        return statistics.median(bare / seal for bare, seal in pairs)

    def as_json(self) -> dict[str, object]:
        """Every round, and what follows from them."""
        derived = {
            "seal_gbit_s": self.seal_gbit_s,
            "seal_mpps": self.seal_mpps,
            "ratio_to_bare": self.ratio,
        }
        return {**asdict(self), **derived}


@contextmanager
def variant(name: str) -> Iterator[None]:
    """Key SAs for a variant of intel-ipsec-mb, or libcrypto (empty), inside the block."""
    before = ipsec_mb.variant()
    ipsec_mb.use(name)
    try:
        yield
    finally:
        ipsec_mb.use(before)


def library_of(name: str) -> str:
    """What a variant is called in a table."""
    return f"ipsec-mb {ipsec_mb.version()} {name}" if name else libcrypto.version()


def measure_esp(
    suites: Sequence[EspSuite] = SUITES,
    sizes: Sequence[int] = SIZES,
    variants: Sequence[str] | None = None,
    *,
    batch: int = BATCH,
    rounds: int = ROUNDS,
    on_figure: Callable[[KernelFigure], None] = lambda _: None,
) -> list[KernelFigure]:
    """Measure every suite at every size with every library that carries it.

    Args:
        suites: to measure.
        sizes: of the inner payloads, in octets.
        variants: of intel-ipsec-mb, empty for libcrypto; None: the newest of it, and libcrypto.
        batch: packets a call.
        rounds: measurements of each figure.
        on_figure: called with each figure as it is done.
    """
    if variants is None:
        variants = (*ipsec_mb.variants()[:1], "")
    figures = []
    for suite in suites:
        for octets in sizes:
            for name in variants if suite is EspSuite.AES_GCM_16 else ("",):
                figures.append(_measure(suite, octets, name, batch, rounds))
                on_figure(figures[-1])
    return figures


def _measure(suite: EspSuite, octets: int, name: str, batch: int, rounds: int) -> KernelFigure:
    with variant(name):
        kernels = _kernels(suite, octets, batch)
    spent: list[list[float]] = [[] for _ in kernels]
    calls = [_calls(prepare, run) for prepare, run in kernels]
    for _ in range(rounds):
        for (prepare, run), times, into in zip(kernels, calls, spent, strict=True):
            into.append(_timed_ns(prepare, run, times) / batch)
    seal_ns, open_ns, *bare_ns = (tuple(one) for one in spent)
    return KernelFigure(
        suite.name,
        library_of(name),
        octets,
        batch,
        seal_ns,
        open_ns,
        bare_ns[0] if bare_ns else (),
    )


def _kernels(suite: EspSuite, octets: int, batch: int) -> list[tuple[Prepare, Run]]:
    """Seal, open, and bare where it is known; each with what puts its input back."""
    encryption_octets, authentication_octets, *_ = shape_of_suite(suite)
    keys = bytes(range(encryption_octets)), bytes(range(authentication_octets))
    arena, clear = _laid_out(octets, batch)
    sealer = SealContext()
    sealer.add(_SPI, suite, *keys)
    descriptors = bytearray(clear)

    def put_back() -> None:
        descriptors[:] = clear

    def seal() -> None:
        sealer.seal_batch(arena, descriptors)

    seal()
    framed = bytes(descriptors)
    sealed = bytes(arena)
    opener = OpenContext()
    opener.add(_SPI, suite, *keys)
    opened = bytearray(framed)
    opened_arena = bytearray(sealed)

    def seal_again() -> None:
        # Fresh numbers, because the window refuses what was opened once.
        opened[:] = clear
        sealer.seal_batch(opened_arena, opened)

    def open_() -> None:
        if opener.open_batch(opened_arena, opened) != batch:
            raise AssertionError("a packet sealed here did not open here")

    kernels: list[tuple[Prepare, Run]] = [(put_back, seal), (seal_again, open_)]
    if suite is EspSuite.AES_GCM_16:
        bare = BareGcm(keys[0][:16])
        kernels.append((lambda: None, lambda: bare.seal_batch(arena, framed_now)))
        framed_now = bytearray(framed)
    return kernels


def _laid_out(octets: int, batch: int) -> tuple[bytearray, bytes]:
    """An arena of equal slots with room around each payload, and the descriptors."""
    slot = (octets + 2 * _ROOM + 63) // 64 * 64
    arena = bytearray(slot * batch)
    descriptors = b"".join(
        _DESCRIPTOR.pack(slot * i + _ROOM, octets, 0, 0, 0, 0, 17, 6) for i in range(batch)
    )
    return arena, descriptors


def _calls(prepare: Prepare, run: Run) -> int:
    """How many calls make a measurement of about ROUND_NS; warms up on the way."""
    for _ in range(3):
        prepare()
        run()
    return max(1, int(ROUND_NS / max(_timed_ns(prepare, run, 5), 1)))


def _timed_ns(prepare: Prepare, run: Run, calls: int) -> float:
    """Median time of one call; what `prepare` takes is left out."""
    spent = []
    for _ in range(calls):
        prepare()
        before_ns = time.perf_counter_ns()
        run()
        spent.append(time.perf_counter_ns() - before_ns)
    return statistics.median(spent)
