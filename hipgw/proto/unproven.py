"""Associations whose peer has shown nothing but a good I2: they give way when room is needed.

Whoever pays for puzzles and keys can have many of them.  A peer is proven by its first ESP packet
or its first authentic UPDATE.  The oldest one gives way of the source that has most, so one source
cannot take the room of others; an association that is proven never does.
"""

from __future__ import annotations

import heapq
from itertools import count
from typing import Final

from hipgw.proto.association import Association
from hipgw.proto.limits import source_of

SPARE: Final = 64


class Unproven:
    """By source, in the order in which they began: O(log n) to add and to take."""

    def __init__(self) -> None:
        self._sources: Final[dict[bytes, dict[Association, float]]] = {}
        self._source_of: Final[dict[Association, bytes]] = {}
        self._heap: list[tuple[int, int, bytes]] = []
        self._serial: Final = count()

    def __len__(self) -> int:
        return len(self._source_of)

    def add(self, association: Association, now: float) -> None:
        """A good I2 has made it."""
        if association in self._source_of:
            self.forget(association)
        source = source_of(association.path.peer)
        queue = self._sources.setdefault(source, {})
        queue[association] = now
        self._source_of[association] = source
        self._push(source, len(queue))

    def forget(self, association: Association) -> None:
        """It is proven, or gone."""
        source = self._source_of.pop(association, None)
        if source is None:
            return
        queue = self._sources[source]
        del queue[association]
        if not queue:
            del self._sources[source]
        if not self._sources:
            self._heap.clear()

    def oldest_of_fullest(self, now: float, least_age_s: float) -> Association | None:
        """Who gives way; None when that one is younger than `least_age_s`."""
        while self._heap:
            size, _, source = self._heap[0]
            present = len(self._sources.get(source, ()))
            if present == -size:
                association, began_s = next(iter(self._sources[source].items()))
                return association if now - began_s >= least_age_s else None
            heapq.heappop(self._heap)
            if present:
                self._push(source, present)
        return None

    def _push(self, source: bytes, size: int) -> None:
        heapq.heappush(self._heap, (-size, next(self._serial), source))
        if len(self._heap) > SPARE + 2 * len(self._source_of):
            self._heap = [
                (-len(queue), next(self._serial), source) for source, queue in self._sources.items()
            ]
            heapq.heapify(self._heap)
