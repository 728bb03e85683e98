"""Which library carries an ESP suite: known packets, a cross-check, then timings, at start.

Whichever wins, the octets on the wire mean the same.  Only code that this CPU has is tried.
AES-GCM goes to a library whole.  Of the suites with HMAC, intel-ipsec-mb takes many packets side by
side, and can be slow for a few: these stay with libcrypto, up to the number where the lines cross.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from hipgw._fastpath import bursts, ipsec_mb, libcrypto
from hipgw._fastpath.contexts import OpenContext, SealContext
from hipgw.dataplane.cipher_vectors import KNOWN_PACKETS, PAYLOAD
from hipgw.errors import HostError
from hipgw.values import EspSuite

LIBCRYPTO: Final = ""
"""The variant that is no variant of intel-ipsec-mb."""
GCM: Final = (EspSuite.AES_GCM_16, EspSuite.AES_GCM_8)
ALIKE: Final = {
    EspSuite.AES_GCM_16: GCM,
    EspSuite.AES_128_CBC_HMAC_SHA256: (
        EspSuite.AES_128_CBC_HMAC_SHA256,
        EspSuite.FULL_AES_128_CBC_HMAC_SHA256,
    ),
    EspSuite.AES_256_CBC_HMAC_SHA256: (
        EspSuite.AES_256_CBC_HMAC_SHA256,
        EspSuite.FULL_AES_256_CBC_HMAC_SHA256,
    ),
    EspSuite.AES_128_CBC_HMAC_SHA1: (
        EspSuite.AES_128_CBC_HMAC_SHA1,
        EspSuite.V1_AES_128_CBC_HMAC_SHA1,
    ),
    EspSuite.NULL_HMAC_SHA256: (EspSuite.NULL_HMAC_SHA256, EspSuite.FULL_NULL_HMAC_SHA256),
    EspSuite.V1_NULL_HMAC_SHA1: (EspSuite.V1_NULL_HMAC_SHA1,),
}
"""Suites with a choice, and which others go with each: the same code, other ICVs or names."""
SIZES: Final = (1, 15, 16, 63, 64, 129, 1420, 4097, *range(2, 15), *range(200, 1000, 61))
"""Octets of payload in the self-test: more packets than a library takes side by side."""
TIMED_OCTETS: Final = 1420
TIMED_PACKETS: Final = 64
FEW_PACKETS: Final = (1, 2, 4, 8, 16, 32)
ROUNDS: Final = 5
WINDOWS: Final = 60
"""Inbound SAs of a candidate: one for each test, and for each round of its timings."""
_ROOM: Final = 64
_DESCRIPTOR: Final = struct.Struct("=IIIHHBBBB")
"""offset, length, sa_index, verdict, reason, network_octets, traffic_class, next_header, family:
descriptor.pxd."""
_SPI: Final = 0x100


class CipherBackend(StrEnum):
    """`[offload] crypto`."""

    AUTO = "auto"
    LIBCRYPTO = "libcrypto"
    IPSEC_MB = "ipsec-mb"


@dataclass(frozen=True, slots=True)
class CipherTiming:
    """One candidate of a suite."""

    library: str
    """Name and version."""
    variant: str
    """Instruction set; empty for libcrypto, which chooses by itself."""
    seal_gbit_s: float
    """TIMED_PACKETS of TIMED_OCTETS, best of some rounds; 0 when the self-test failed."""
    open_gbit_s: float

    @property
    def works(self) -> bool:
        """Whether it passed the self-test."""
        return self.seal_gbit_s > 0

    @property
    def cost(self) -> float:
        """Of an octet sealed and opened; less is better."""
        return 1 / self.seal_gbit_s + 1 / self.open_gbit_s if self.works else float("inf")


@dataclass(frozen=True, slots=True)
class CipherChoice:
    """What SAs of a suite, and of those like it, are keyed for, and what it was chosen from."""

    suite: EspSuite
    chosen: CipherTiming
    candidates: tuple[CipherTiming, ...]
    reason: str = ""
    """Why there is but one candidate."""
    seal_least: int = 1
    """Packets that stand together; fewer go to libcrypto."""
    open_least: int = 1


def variants_of(suite: EspSuite) -> tuple[str, ...]:
    """Instruction sets of intel-ipsec-mb here that can carry a suite, the newest first."""
    if suite in GCM:
        return ipsec_mb.variants()
    return bursts.variants() if suite in bursts.suites() else ()


def variant_of(suite: EspSuite) -> tuple[str, int, int]:
    """What SAs of a suite are keyed for now, and from how many packets on: to seal, to open."""
    return (ipsec_mb.variant(), 1, 1) if suite in GCM else bursts.variant(suite)


def use_variant(suite: EspSuite, name: str, seal_least: int = 1, open_least: int = 1) -> None:
    """Key SAs of a suite for a variant from now on, or for libcrypto when it is empty.

    Raises:
        ValueError: not one of `variants_of` the suite.
    """
    if suite in GCM:
        ipsec_mb.use(name)
    else:
        bursts.use(suite, name, seal_least, open_least)


def choose_ciphers(wanted: CipherBackend) -> tuple[CipherChoice, ...]:
    """Choose for every suite of ALIKE; some 50 ms.

    Raises:
        HostError: as `choose_cipher`.
    """
    return tuple(choose_cipher(suite, wanted) for suite in ALIKE)


def choose_cipher(suite: EspSuite, wanted: CipherBackend) -> CipherChoice:
    """Try every candidate for a suite of ALIKE, and use the best from now on.

    Args:
        suite: for it and those like it.
        wanted: AUTO takes the fastest; another the fastest of that library, for all packets.

    Raises:
        HostError: IPSEC_MB, and it is not installed or nothing of it works here.
    """
    trial = _Trial(suite)
    variants = () if wanted is CipherBackend.LIBCRYPTO else variants_of(suite)
    timings = [trial.timing(name) for name in variants]
    if wanted is CipherBackend.IPSEC_MB and not any(one.works for one in timings):
        _use_alike(suite, LIBCRYPTO)
        raise HostError(
            "intel-ipsec-mb is not installed, or has nothing for this CPU: install it (Debian: apt "
            'install libipsec-mb1), or set [offload] crypto = "auto"'
        )
    if wanted is not CipherBackend.IPSEC_MB:
        timings.append(trial.timing(LIBCRYPTO))
    best = min(timings, key=lambda one: one.cost)
    seal_least = open_least = 1
    if best.variant and suite not in GCM and wanted is CipherBackend.AUTO:
        seal_least = trial.least(trial.seal_ns, best.variant)
        open_least = trial.least(trial.open_ns, best.variant)
    _use_alike(suite, best.variant, seal_least, open_least)
    return CipherChoice(suite, best, tuple(timings), _reason(wanted), seal_least, open_least)


def _use_alike(suite: EspSuite, name: str, seal_least: int = 1, open_least: int = 1) -> None:
    for one in ALIKE[suite]:
        use_variant(one, name, seal_least, open_least)


def _reason(wanted: CipherBackend) -> str:
    if wanted is not CipherBackend.AUTO:
        return f'[offload] crypto = "{wanted}"'
    if not ipsec_mb.version():
        return "intel-ipsec-mb is not installed"
    return "" if ipsec_mb.variants() else "intel-ipsec-mb has nothing for this CPU"


def _laid_out(payloads: Sequence[bytes], sa_index: int = 0) -> tuple[bytearray, bytearray]:
    """An arena with room around each payload, and the descriptors."""
    descriptors, offset = bytearray(), _ROOM
    for payload in payloads:
        descriptors += _DESCRIPTOR.pack(offset, len(payload), sa_index, 0, 0, 0, 0, 0, 6)
        offset += len(payload) + 2 * _ROOM
    return bytearray(bytes(_ROOM) + bytes(2 * _ROOM).join(payloads) + bytes(_ROOM)), descriptors


def _taken_up(arena: bytearray, descriptors: bytearray) -> list[bytes]:
    return [
        bytes(arena[offset : offset + length])
        for offset, length, *_ in _DESCRIPTOR.iter_unpack(descriptors)
    ]


class _Candidate:
    """Contexts keyed for one candidate of a suite."""

    def __init__(self, suite: EspSuite, name: str) -> None:
        self.name: Final = name
        known = KNOWN_PACKETS[suite]
        keys = known.encryption_key, known.authentication_key
        use_variant(suite, name)
        self._sealer, self._opener = SealContext(), OpenContext()
        self._sealer.add(_SPI, suite, *keys)
        for _ in range(WINDOWS):
            self._opener.add(_SPI, suite, *keys)
        self._next_window = 0

    def window(self) -> int:
        """Number of an inbound SA that has received nothing yet."""
        self._next_window += 1
        return self._next_window - 1

    def sealed(self, payloads: Sequence[bytes]) -> list[bytes]:
        """The payloads as ESP packets."""
        arena, descriptors = _laid_out(payloads)
        self._sealer.seal_batch(arena, descriptors)
        return _taken_up(arena, descriptors)

    def opened(self, packets: Sequence[bytes]) -> list[bytes] | None:
        """Payloads, or None where not all packets are good."""
        arena, descriptors = _laid_out(packets, self.window())
        if self._opener.open_batch(arena, descriptors) != len(packets):
            return None
        return _taken_up(arena, descriptors)

    def refuses(self, packets: Sequence[bytes]) -> bool:
        """Whether no packet is good."""
        return self._opener.open_batch(*_laid_out(packets, self.window())) == 0

    def seal_ns(self, packets: int) -> int:
        """Of a batch, best of some rounds."""
        arena, fresh = _laid_out([bytes(TIMED_OCTETS)] * packets)
        spent_ns = []
        for _ in range(ROUNDS):
            descriptors = bytearray(fresh)
            before_ns = time.perf_counter_ns()
            self._sealer.seal_batch(arena, descriptors)
            spent_ns.append(time.perf_counter_ns() - before_ns)
        return min(spent_ns)

    def open_ns(self, sealed: Sequence[bytes]) -> int:
        """Of a batch, best of some rounds, each behind another packet that sets the keys up."""
        *timed, first = sealed
        spent_ns = []
        for _ in range(ROUNDS):
            number = self.window()
            self._opener.open_batch(*_laid_out([first], number))
            arena, descriptors = _laid_out(timed, number)
            before_ns = time.perf_counter_ns()
            self._opener.open_batch(arena, descriptors)
            spent_ns.append(time.perf_counter_ns() - before_ns)
        return min(spent_ns)


class _Trial:
    """What the candidates of one suite have to do, and how they do it."""

    def __init__(self, suite: EspSuite) -> None:
        self._suite = suite
        self._candidates: dict[str, _Candidate] = {}
        self._payloads = [(bytes(range(251)) * (n // 251 + 1))[:n] for n in SIZES]
        library = _Candidate(suite, LIBCRYPTO)
        self._expected = library.sealed(self._payloads)
        self._timed = library.sealed([bytes(TIMED_OCTETS)] * (TIMED_PACKETS + 1))

    def _candidate(self, name: str) -> _Candidate:
        if name not in self._candidates:
            self._candidates[name] = _Candidate(self._suite, name)
        return self._candidates[name]

    def works(self, name: str) -> bool:
        """Whether a candidate passes the self-test.

        It opens the known packet, seals what libcrypto opens, opens what libcrypto sealed, and
        refuses that changed.
        """
        forged = [packet[:-1] + bytes([packet[-1] ^ 1]) for packet in self._expected]
        one = self._candidate(name)
        sealed = one.sealed(self._payloads)
        return (
            one.opened([KNOWN_PACKETS[self._suite].packet]) == [PAYLOAD]
            and (self._suite not in GCM or sealed == self._expected)
            and self._candidate(LIBCRYPTO).opened(sealed) == self._payloads
            and one.opened(self._expected) == self._payloads
            and one.refuses(forged)
        )

    def timing(self, name: str) -> CipherTiming:
        """A candidate's test and figures."""
        library = f"intel-ipsec-mb {ipsec_mb.version()}" if name else libcrypto.version()
        if not self.works(name):
            return CipherTiming(library, name, 0.0, 0.0)
        bits = TIMED_PACKETS * TIMED_OCTETS * 8
        seal_ns = self.seal_ns(name, TIMED_PACKETS)
        open_ns = self.open_ns(name, TIMED_PACKETS)
        return CipherTiming(library, name, bits / seal_ns, bits / open_ns)

    def seal_ns(self, name: str, packets: int) -> int:
        """Of a batch."""
        return self._candidate(name).seal_ns(packets)

    def open_ns(self, name: str, packets: int) -> int:
        """Of a batch."""
        return self._candidate(name).open_ns(self._timed[: packets + 1])

    def least(self, cost_ns: Callable[[str, int], int], name: str) -> int:
        """From how many packets on a variant costs no more than libcrypto."""
        for packets in FEW_PACKETS:
            if cost_ns(name, packets) <= cost_ns(LIBCRYPTO, packets):
                return packets
        return 2 * FEW_PACKETS[-1]
