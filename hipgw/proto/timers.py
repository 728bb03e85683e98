"""Deadlines in a heap: O(log n) to set, change, cancel and take."""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class TimerHeap(Generic[Key]):
    """At most one deadline per key.

    A changed or cancelled deadline stays in the heap as a stale entry until it surfaces; the heap
    is rebuilt when stale entries are half as many as live ones, so memory stays O(live).
    """

    def __init__(self) -> None:
        self._live: dict[Key, tuple[float, int, Key]] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._serial = 0

    def __len__(self) -> int:
        return len(self._live)

    def __contains__(self, key: Key) -> bool:
        return key in self._live

    def set(self, key: Key, deadline_s: float) -> None:
        """Set or move the deadline of `key`."""
        self._serial += 1
        entry = deadline_s, self._serial, key
        self._live[key] = entry
        heapq.heappush(self._heap, entry)
        if len(self._heap) > 64 and 2 * len(self._heap) > 3 * len(self._live):
            self._heap = list(self._live.values())
            heapq.heapify(self._heap)

    def cancel(self, key: Key) -> None:
        """Forget the deadline of `key`, if it has one."""
        self._live.pop(key, None)

    def next_deadline(self) -> float | None:
        """The earliest deadline, or None."""
        while self._heap:
            entry = self._heap[0]
            if self._live.get(entry[2]) is entry:
                return entry[0]
            heapq.heappop(self._heap)
        return None

    def take_due(self, now: float) -> Key | None:
        """Remove and return the key of the earliest deadline that is not after `now`."""
        at = self.next_deadline()
        if at is None or at > now:
            return None
        key = heapq.heappop(self._heap)[2]
        del self._live[key]
        return key
