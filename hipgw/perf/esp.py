"""`hipgw bench esp`: the ESP kernels in memory, beside the bare cipher on the same arena.

One batch is sealed (or opened) by the kernel, then the same octets by `BareCipher`, again and again
in turns; a round is the median of some such pairs. Arena and descriptors are laid anew before each
call, outside of the measured time. A call leaves Python once: about 0.3 us that a batch of one
packet pays alone.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from hipgw._fastpath import ipsec_mb
from hipgw._fastpath.bare_cipher import BareCipher
from hipgw._fastpath.contexts import OpenContext, SealContext, shape_of_suite
from hipgw._fastpath.descriptor import DESCRIPTOR_DTYPE
from hipgw.errors import HostError
from hipgw.perf import machine
from hipgw.perf.figures import Figure
from hipgw.perf.report import Report
from hipgw.values import EspSuite

Direction = Literal["seal", "open"]

ROOM_OCTETS: Final = 64
SPI: Final = 0x100
BARE: Final = "bare cipher"
KERNEL: Final = "ESP kernel"
LIBCRYPTO: Final = "libcrypto"
GCM: Final = (EspSuite.AES_GCM_8, EspSuite.AES_GCM_16)
PAIRS_LEAST: Final = 3
CYCLES_NOTE: Final = (
    "Cycles are wall time of a call at the clock that /proc/cpuinfo shows (a turbo is not in it)."
)


@dataclass(frozen=True, slots=True)
class EspPlan:
    """What is measured, and how long."""

    rounds: int = 7
    suites: tuple[EspSuite, ...] = (
        EspSuite.AES_GCM_16,
        EspSuite.AES_128_CBC_HMAC_SHA256,
        EspSuite.NULL_HMAC_SHA256,
    )
    sizes: tuple[int, ...] = (64, 256, 1420, 4096, 8900)
    batches: tuple[int, ...] = (32, 256)
    backends: tuple[str, ...] = ()
    """Empty: all that are here."""
    round_s: float = 0.03
    """How long the pairs of a round are repeated."""

    def cases(self) -> Iterator[Case]:
        """Every combination that exists here.

        Raises:
            HostError: a backend is not here.
        """
        here = (LIBCRYPTO, *ipsec_mb.variants())
        for backend in self.backends:
            if backend not in here:
                raise HostError(f"no backend {backend!r} here: choose from {', '.join(here)}")
        for suite in self.suites:
            for backend in self.backends or here:
                if backend != LIBCRYPTO and suite not in GCM:
                    continue
                for size in self.sizes:
                    for batch in self.batches:
                        yield Case(suite, backend, size, batch, "seal")
                        yield Case(suite, backend, size, batch, "open")


def with_suites(plan: EspPlan, suites: Sequence[EspSuite]) -> EspPlan:
    """The same plan for these suites."""
    return replace(plan, suites=tuple(suites))


@dataclass(frozen=True, slots=True)
class Case:
    """One combination."""

    suite: EspSuite
    backend: str
    size_octets: int
    batch_packets: int
    direction: Direction

    @property
    def group(self) -> str:
        """As in reports."""
        return (
            f"{self.direction} {self.suite.name}, {self.backend}, {self.size_octets} octets, "
            f"batch {self.batch_packets}"
        )


class Bench:
    """One case, laid out: payloads, and the same sealed."""

    def __init__(self, case: Case) -> None:
        variant = "" if case.backend == LIBCRYPTO else case.backend
        ipsec_mb.use(variant)
        encryption, authentication, *_ = shape_of_suite(case.suite)
        self._case = case
        self._keys = os.urandom(encryption), os.urandom(authentication)
        self._plain, self._plain_desc = _laid_out(case.batch_packets, case.size_octets)
        self._sealed, self._sealed_desc = self._plain.copy(), self._plain_desc.copy()
        if self._sealer().seal_batch(self._sealed, _raw(self._sealed_desc)) != case.batch_packets:
            raise HostError(f"{case.group}: the batch cannot be sealed")
        self._seal_context = self._sealer()
        self._bare = BareCipher(case.suite, *self._keys, seal=case.direction == "seal")
        self._arena = self._plain.copy()

    def _sealer(self) -> SealContext:
        context = SealContext()
        context.add(SPI, self._case.suite, *self._keys)
        return context

    def kernel_ns(self) -> int:
        """Of one batch."""
        if self._case.direction == "seal":
            np.copyto(self._arena, self._plain)
            desc = self._plain_desc.copy()
            return self._clocked(self._seal_context.seal_batch, desc)
        np.copyto(self._arena, self._sealed)
        context = OpenContext()  # an empty replay window
        context.add(SPI, self._case.suite, *self._keys)
        return self._clocked(context.open_batch, self._sealed_desc.copy())

    def bare_ns(self) -> int:
        """Of the same octets without ESP."""
        np.copyto(self._arena, self._sealed)
        return self._clocked(self._bare.run_batch, self._sealed_desc.copy())

    def _clocked(
        self,
        call: Callable[[NDArray[np.uint8], NDArray[np.uint8]], int],
        desc: NDArray[np.void],
    ) -> int:
        raw = _raw(desc)
        before_ns = time.perf_counter_ns()
        well = call(self._arena, raw)
        spent_ns = time.perf_counter_ns() - before_ns
        if well != self._case.batch_packets:
            raise HostError(f"{self._case.group}: only {well} packets went well")
        return spent_ns

    def one_round(self, round_s: float) -> tuple[float, float]:
        """Median nanoseconds a packet of kernel and bare cipher, in turns."""
        kernel: list[int] = []
        bare: list[int] = []
        end = time.monotonic() + round_s
        while len(kernel) < PAIRS_LEAST or time.monotonic() < end:
            kernel.append(self.kernel_ns())
            bare.append(self.bare_ns())
        packets = self._case.batch_packets
        return statistics.median(kernel) / packets, statistics.median(bare) / packets


def _laid_out(packets: int, octets: int) -> tuple[NDArray[np.uint8], NDArray[np.void]]:
    slot = octets + 2 * ROOM_OCTETS
    desc = np.zeros(packets, np.dtype(DESCRIPTOR_DTYPE))
    desc["offset"] = np.arange(packets) * slot + ROOM_OCTETS
    desc["length"] = octets
    desc["next_header"], desc["family"] = 17, 6
    return np.frombuffer(os.urandom(packets * slot), np.uint8).copy(), desc


def _raw(desc: NDArray[np.void]) -> NDArray[np.uint8]:
    """The descriptor array as the kernels' wrappers take it."""
    return desc.view(np.uint8)


def run(plan: EspPlan, *, step: Callable[[str], None] = lambda _: None) -> Report:
    """Measure every case.

    Raises:
        HostError: a backend is not here, or a batch did not go well.
    """
    described = machine.describe()
    before = ipsec_mb.variant()
    figures: list[Figure] = []
    try:
        for case in plan.cases():
            bench = Bench(case)
            rounds = [bench.one_round(plan.round_s) for _ in range(plan.rounds)]
            figures += _figures(case, rounds, machine.nominal_mhz())
            step(case.group)
    finally:
        ipsec_mb.use(before)
    options = {**asdict(plan), "suites": [suite.name for suite in plan.suites]}
    return Report("esp", described, options, tuple(figures), BARE, notes=(CYCLES_NOTE,))


def _figures(case: Case, rounds: Sequence[tuple[float, float]], mhz: float | None) -> list[Figure]:
    """Rates of both in Mpps, so that more is better, and what they are in other words."""
    made = []
    for name, place in ((KERNEL, 0), (BARE, 1)):
        rates = [1e3 / one[place] for one in rounds]
        median = statistics.median(rates)
        also = [("Gbit/s", median * case.size_octets * 8 / 1e3)]
        if mhz is not None:
            also.append(("cycles/octet", mhz / median / case.size_octets))
        made.append(Figure(name, "Mpps", tuple(rates), case.group, tuple(also)))
    return made
