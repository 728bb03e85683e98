"""Which library carries AES-GCM: a self-test against libcrypto, then a timing, at start.

Whichever wins, the octets on the wire are the same.  Only code that this CPU has is tried.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from hipgw._fastpath import ipsec_mb, libcrypto
from hipgw._fastpath.contexts import OpenContext, SealContext
from hipgw.errors import HostError
from hipgw.values import EspSuite

LIBCRYPTO: Final = ""
"""The variant that is no variant of intel-ipsec-mb."""
SIZES: Final = (1, 15, 16, 63, 64, 129, 1420, 4097)
"""Octets of payload in the self-test."""
TIMED_OCTETS: Final = 1420
TIMED_PACKETS: Final = 128
ROUNDS: Final = 5
_ROOM: Final = 64
_DESCRIPTOR: Final = struct.Struct("=IIIHHBBBB")
"""offset, length, sa_index, verdict, reason, network_octets, traffic_class, next_header, family:
descriptor.pxd."""
_KEY: Final = bytes(range(20))
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
    gbit_s: float
    """Sealing packets of TIMED_OCTETS, best of some rounds; 0 when the self-test failed."""


@dataclass(frozen=True, slots=True)
class CipherChoice:
    """What SAs of a suite are keyed for, and what it was chosen from."""

    suite: EspSuite
    chosen: CipherTiming
    candidates: tuple[CipherTiming, ...]
    reason: str = ""
    """Why there is but one candidate."""


def choose_gcm(wanted: CipherBackend) -> CipherChoice:
    """Try every candidate for AES-GCM and use the best from now on; about 5 ms.

    Args:
        wanted: AUTO takes the fastest; another the fastest of that library.

    Raises:
        HostError: IPSEC_MB, and it is not installed or nothing of it works here.
    """
    suite = EspSuite.AES_GCM_16
    expected = _sealed(LIBCRYPTO, suite)
    variants = () if wanted is CipherBackend.LIBCRYPTO else ipsec_mb.variants()
    timings = [
        CipherTiming(
            f"intel-ipsec-mb {ipsec_mb.version()}",
            variant,
            _gbit_s(variant, suite) if _works(variant, suite, expected) else 0.0,
        )
        for variant in variants
    ]
    if wanted is CipherBackend.IPSEC_MB and not any(one.gbit_s for one in timings):
        ipsec_mb.use(LIBCRYPTO)
        raise HostError(
            "intel-ipsec-mb is not installed, or has nothing for this CPU: install it (Debian: apt "
            'install libipsec-mb1), or set [offload] crypto = "auto"'
        )
    if wanted is not CipherBackend.IPSEC_MB:
        timings.append(CipherTiming(libcrypto.version(), LIBCRYPTO, _gbit_s(LIBCRYPTO, suite)))
    best = max(timings, key=lambda one: one.gbit_s)
    ipsec_mb.use(best.variant)
    return CipherChoice(suite, best, tuple(timings), _reason(wanted))


def _reason(wanted: CipherBackend) -> str:
    if wanted is not CipherBackend.AUTO:
        return f'[offload] crypto = "{wanted}"'
    if not ipsec_mb.version():
        return "intel-ipsec-mb is not installed"
    return "" if ipsec_mb.variants() else "intel-ipsec-mb has nothing for this CPU"


def _laid_out(payloads: Sequence[bytes]) -> tuple[bytearray, bytearray]:
    """An arena with room around each payload, and the descriptors."""
    arena, descriptors = bytearray(), bytearray()
    for payload in payloads:
        arena += bytes(_ROOM)
        descriptors += _DESCRIPTOR.pack(len(arena), len(payload), 0, 0, 0, 0, 0, 0, 6)
        arena += payload + bytes(_ROOM)
    return arena, descriptors


def _sealed(variant: str, suite: EspSuite) -> list[bytes]:
    """The same payloads, sealed under the same key and sequence numbers."""
    ipsec_mb.use(variant)
    context = SealContext()
    context.add(_SPI, suite, _KEY, b"")
    arena, descriptors = _laid_out([bytes(number % 251 for number in range(n)) for n in SIZES])
    context.seal_batch(arena, descriptors)
    return [
        bytes(arena[offset : offset + length])
        for offset, length, *_ in _DESCRIPTOR.iter_unpack(descriptors)
    ]


def _works(variant: str, suite: EspSuite, expected: list[bytes]) -> bool:
    """Whether a variant seals the same octets, opens them, and refuses changed ones."""
    if _sealed(variant, suite) != expected:
        return False
    context = OpenContext()
    context.add(_SPI, suite, _KEY, b"")
    forged = [packet[:-1] + bytes([packet[-1] ^ 1]) for packet in expected]
    if context.open_batch(*_laid_out(forged)) != 0:
        return False
    return context.open_batch(*_laid_out(expected)) == len(expected)


def _gbit_s(variant: str, suite: EspSuite) -> float:
    ipsec_mb.use(variant)
    context = SealContext()
    context.add(_SPI, suite, _KEY, b"")
    arena, fresh = _laid_out([bytes(TIMED_OCTETS)] * TIMED_PACKETS)
    spent_ns = []
    for _ in range(ROUNDS):
        descriptors = bytearray(fresh)
        before_ns = time.perf_counter_ns()
        context.seal_batch(arena, descriptors)
        spent_ns.append(time.perf_counter_ns() - before_ns)
    return TIMED_PACKETS * TIMED_OCTETS * 8 / min(spent_ns)
