"""What associations have carried in all: a rekey begins new security associations at zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hipgw.values import Direction, Hit, SaStatistics, Spi

SaKey = tuple[Direction, Spi, Hit, Hit]
"""Direction, SPI, local HIT, peer HIT: two peers may choose the same outbound SPI."""
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


class TrafficTotals:
    """Remembers the last counters of security associations that are gone.

    What one carried between the last `note` and its end is not counted.
    """

    def __init__(self) -> None:
        self._last: Mapping[SaKey, SaStatistics] = {}
        self._gone: dict[WayKey, Carried] = {}

    def note(self, statistics: Mapping[SaKey, SaStatistics]) -> None:
        """Take the counters of all that are there; of peers without any, everything is forgotten.

        Args:
            statistics: as the backend gives them, complete; not to be changed afterwards.
        """
        if statistics.keys() == self._last.keys():
            self._last = statistics
            return
        pairs = {(local, peer) for _, _, local, peer in statistics}
        for key, entry in self._last.items():
            direction, _, local, peer = key
            if key not in statistics and (local, peer) in pairs:
                way = direction, local, peer
                self._gone[way] = self._gone.get(way, Carried()).plus(entry)
        for way in [way for way in self._gone if way[1:] not in pairs]:
            del self._gone[way]
        self._last = statistics

    def by_way(self) -> dict[WayKey, Carried]:
        """Totals of each direction: of those that are gone and of those of the last `note`."""
        found = dict(self._gone)
        for (direction, _, local, peer), entry in self._last.items():
            way = direction, local, peer
            found[way] = found.get(way, Carried()).plus(entry)
        return found
