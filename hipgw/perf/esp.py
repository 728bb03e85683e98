"""`hipgw bench esp`: the ESP kernels in memory, beside the bare cipher on the same arena.

One batch is sealed (or opened) by the kernel, then the same octets by `BareCipher`, and, where
intel-ipsec-mb is the library, by the kernel with libcrypto, again and again in turns; a round is
the median of some such turns. Arena and descriptors are laid anew before each call, outside of the
measured time. A call leaves Python once: about 0.3 us that a batch of one packet pays alone.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from hipgw._fastpath import bursts, ipsec_mb
from hipgw._fastpath.bare_cipher import BareCipher
from hipgw._fastpath.contexts import OpenContext, SealContext, shape_of_suite
from hipgw._fastpath.descriptor import DESCRIPTOR_DTYPE
from hipgw.dataplane.ciphers import (
    ALIKE,
    CipherBackend,
    choose_cipher,
    use_variant,
    variant_of,
    variants_of,
)
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
LIBRARY_KERNEL: Final = "ESP kernel with libcrypto"
LIBCRYPTO: Final = "libcrypto"
AUTO: Final = "auto"
"""What a daemon would choose: intel-ipsec-mb from so many packets on, libcrypto below."""
TURNS_LEAST: Final = 3
SAS_OF_A_CONTEXT: Final = 60
CYCLES_NOTE: Final = (
    "Cycles are wall time of a call at the clock that /proc/cpuinfo shows (a turbo is not in it)."
)
BARE_NOTE: Final = "The bare cipher of a group is that of the library which the group names."


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
    """Empty: all that are here, for all packets."""
    round_s: float = 0.03
    """How long the turns of a round are repeated."""

    def cases(self) -> Iterator[Case]:
        """Every combination that exists here.

        Raises:
            HostError: a backend is not here.
        """
        here = (LIBCRYPTO, AUTO, *dict.fromkeys((*ipsec_mb.variants(), *bursts.variants())))
        for backend in self.backends:
            if backend not in here:
                raise HostError(f"no backend {backend!r} here: choose from {', '.join(here)}")
        for suite in self.suites:
            of_suite = (LIBCRYPTO, *variants_of(suite))
            for backend in self.backends or of_suite:
                if backend not in of_suite and (backend != AUTO or suite not in ALIKE):
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


def _use(suite: EspSuite, backend: str) -> None:
    if backend == AUTO:
        choose_cipher(suite, CipherBackend.AUTO)
    else:
        use_variant(suite, "" if backend == LIBCRYPTO else backend)


class Opener:
    """Inbound SAs with empty windows, whose keys an earlier packet has set up."""

    def __init__(self, case: Case, keys: tuple[bytes, bytes], first: bytes) -> None:
        self._suite, self._keys, self._first = case.suite, keys, first
        self._as_chosen = variant_of(case.suite)
        self._context = OpenContext()
        self._used = 0

    def next(self) -> tuple[OpenContext, int]:
        """A context, and which of its SAs."""
        if self._used % SAS_OF_A_CONTEXT == 0:
            self._context = OpenContext()
            use_variant(self._suite, *self._as_chosen)
            for _ in range(SAS_OF_A_CONTEXT):
                self._context.add(SPI, self._suite, *self._keys)
        number = self._used % SAS_OF_A_CONTEXT
        self._used += 1
        arena = np.frombuffer(self._first, np.uint8).copy()
        desc = np.zeros(1, np.dtype(DESCRIPTOR_DTYPE))
        desc["length"], desc["sa_index"] = len(arena), number
        if self._context.open_batch(arena, _raw(desc)) != 1:
            raise HostError(f"{self._suite.name}: the first packet cannot be opened")
        return self._context, number


class Bench:
    """One case, laid out: payloads, and the same sealed."""

    def __init__(self, case: Case) -> None:
        encryption, authentication, *_ = shape_of_suite(case.suite)
        self._case = case
        self._keys = os.urandom(encryption), os.urandom(authentication)
        self._plain, self._plain_desc = _laid_out(case.batch_packets, case.size_octets)
        self._sealed, self._sealed_desc = self._plain.copy(), self._plain_desc.copy()
        _use(case.suite, LIBCRYPTO)
        first = self._first_packet()
        self._library_sealer, self._library_opener = self._sealer(), Opener(case, self._keys, first)
        _use(case.suite, case.backend)
        sealed = self._sealer(sequence=1).seal_batch(self._sealed, _raw(self._sealed_desc))
        if sealed != case.batch_packets:
            raise HostError(f"{case.group}: the batch cannot be sealed")
        self._seal_context, self._opener = self._sealer(), Opener(case, self._keys, first)
        self._bare = BareCipher(case.suite, *self._keys, seal=case.direction == "seal")
        self._arena = self._plain.copy()

    def _sealer(self, sequence: int = 0) -> SealContext:
        context = SealContext()
        context.add(SPI, self._case.suite, *self._keys, sequence)
        return context

    def _first_packet(self) -> bytes:
        """The first of the SA, before those of the batch."""
        arena, desc = _laid_out(1, 1)
        self._sealer().seal_batch(arena, _raw(desc))
        start, length = int(desc["offset"][0]), int(desc["length"][0])
        return arena[start : start + length].tobytes()

    def kernel_ns(self) -> int:
        """Of one batch."""
        return self._esp_ns(self._seal_context, self._opener)

    def library_kernel_ns(self) -> int:
        """Of the same batch with libcrypto."""
        return self._esp_ns(self._library_sealer, self._library_opener)

    def _esp_ns(self, sealer: SealContext, opener: Opener) -> int:
        if self._case.direction == "seal":
            np.copyto(self._arena, self._plain)
            return self._clocked(sealer.seal_batch, self._plain_desc.copy())
        context, number = opener.next()
        np.copyto(self._arena, self._sealed)
        desc = self._sealed_desc.copy()
        desc["sa_index"] = number
        return self._clocked(context.open_batch, desc)

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

    def one_round(self, round_s: float) -> dict[str, float]:
        """Median nanoseconds a packet, of each in turns, by name."""
        calls = {KERNEL: self.kernel_ns, BARE: self.bare_ns}
        if self._case.backend != LIBCRYPTO:
            calls[LIBRARY_KERNEL] = self.library_kernel_ns
        spent: dict[str, list[int]] = {name: [] for name in calls}
        end = time.monotonic() + round_s
        while len(spent[KERNEL]) < TURNS_LEAST or time.monotonic() < end:
            for name, call in calls.items():
                spent[name].append(call())
        packets = self._case.batch_packets
        return {name: statistics.median(each) / packets for name, each in spent.items()}


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
    before = {suite: variant_of(suite) for suite in EspSuite}
    figures: list[Figure] = []
    try:
        for case in plan.cases():
            bench = Bench(case)
            rounds = [bench.one_round(plan.round_s) for _ in range(plan.rounds)]
            figures += _figures(case, rounds, machine.nominal_mhz())
            step(case.group)
    finally:
        for suite, was in before.items():
            use_variant(suite, *was)
    options = {**asdict(plan), "suites": [suite.name for suite in plan.suites]}
    notes = CYCLES_NOTE, BARE_NOTE
    return Report("esp", described, options, tuple(figures), BARE, ours=KERNEL, notes=notes)


def _figures(
    case: Case, rounds: Sequence[Mapping[str, float]], mhz: float | None
) -> Iterator[Figure]:
    """Rates of each in Mpps, so that more is better, and what they are in other words."""
    for name in rounds[0]:
        rates = [1e3 / one[name] for one in rounds]
        median = statistics.median(rates)
        also = [("Gbit/s", median * case.size_octets * 8 / 1e3)]
        if mhz is not None:
            also.append(("cycles/octet", mhz / median / case.size_octets))
        yield Figure(name, "Mpps", tuple(rates), case.group, tuple(also))
