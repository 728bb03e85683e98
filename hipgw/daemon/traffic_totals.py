"""What associations have carried in all: a rekey begins new security associations at zero."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hipgw.values import Direction, Hit, SaStatistics

WayKey = tuple[Direction, Hit, Hit]
"""Direction, local HIT, peer HIT."""


@dataclass(frozen=True, slots=True)
class Carried:
    """One direction of an association since it began."""

    packets: int = 0
    octets: int = 0
    last_used_s: float | None = None
    """CLOCK_MONOTONIC seconds of the last packet."""

    def plus(self, entry: SaStatistics) -> Carried:
        """With one more security association."""
        used = [at for at in (self.last_used_s, entry.last_used_s) if at is not None]
        return Carried(
            self.packets + entry.packets, self.octets + entry.octets, max(used, default=None)
        )


NOTHING_CARRIED = Carried()


class TrafficTotals:
    """Remembers what security associations that are gone have carried."""

    def __init__(self) -> None:
        self._gone: dict[WayKey, Carried] = {}

    def add(self, entry: SaStatistics) -> None:
        """The last counters of one that goes now; nothing is kept of one that carried nothing."""
        if entry.packets:
            way = entry.direction, entry.local_hit, entry.peer_hit
            self._gone[way] = self._gone.get(way, NOTHING_CARRIED).plus(entry)

    def forget(self, local: Hit, peer: Hit) -> None:
        """The association has no security association any more."""
        for direction in Direction:
            self._gone.pop((direction, local, peer), None)

    def with_present(self, way: WayKey, present: Iterable[SaStatistics]) -> Carried:
        """The total of one direction: what is gone, and what is there."""
        total = self._gone.get(way, NOTHING_CARRIED)
        for entry in present:
            total = total.plus(entry)
        return total
