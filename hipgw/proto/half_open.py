"""Slots for I2s whose job is running: all that is held for a stranger, and only meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hipgw.proto.certificate_check import NO_CHECK, CertificateCheck
from hipgw.proto.dialect import Dialect
from hipgw.proto.effects import JobId
from hipgw.proto.local_identity import LocalIdentity
from hipgw.proto.r1_pool import Generation
from hipgw.values import Hit, Path, Spi
from hipgw.values.quick_making import quickly_made
from hipgw.wire import LocatorRecord, Solution

SlotKey = tuple[Hit, Hit, bytes]
"""Our HIT, the peer's HIT, and the I of the solved puzzle."""


@quickly_made
@dataclass(frozen=True, slots=True, eq=False)
class HalfOpen:
    """An I2 whose job is running: all that is held for a stranger, and only meanwhile."""

    local: LocalIdentity
    """Who accepts it."""
    peer: Hit
    dialect: Dialect
    path: Path
    solution: Solution
    generation: Generation
    spi_in: Spi
    spi_out: Spi
    received_s: float
    source: bytes
    """What `path.peer` counts as (`limits.source_of`)."""
    locators: tuple[LocatorRecord, ...] = ()
    """LOCATOR_SET of the I2."""
    is_anonymous: bool = False
    """Whether the I2 has the A bit."""
    check: CertificateCheck = NO_CHECK
    """Of the certificates of the I2."""


class HalfOpenSlots:
    """Who holds a slot, and who gives way when all are taken."""

    def __init__(self) -> None:
        self._slots: Final[dict[SlotKey, tuple[HalfOpen, JobId]]] = {}
        self._per_source: Final[dict[bytes, int]] = {}

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, key: SlotKey) -> bool:
        return key in self._slots

    def of_source(self, source: bytes) -> int:
        """How many slots a source holds."""
        return self._per_source.get(source, 0)

    def take(self, key: SlotKey, half_open: HalfOpen, job: JobId) -> None:
        """Fill a slot."""
        self._slots[key] = half_open, job
        self._per_source[half_open.source] = self.of_source(half_open.source) + 1

    def free(self, key: SlotKey) -> tuple[HalfOpen, JobId]:
        """Empty a slot."""
        half_open, job = self._slots.pop(key)
        left = self._per_source[half_open.source] - 1
        if left:
            self._per_source[half_open.source] = left
        else:
            del self._per_source[half_open.source]
        return half_open, job

    def who_gives_way(self, source: bytes) -> SlotKey | None:
        """The oldest slot of the source that holds most; None when that would not be fairer.

        It is fairer when that source still holds no less than the newcomer's will.
        """
        if not self._per_source:
            return None
        fullest, held = max(self._per_source.items(), key=lambda item: item[1])
        if held <= self.of_source(source) + 1:
            return None
        return next(
            key for key, (half_open, _) in self._slots.items() if half_open.source == fullest
        )
