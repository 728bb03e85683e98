"""Puzzle difficulty that follows load (RFC 7401 sections 4.1.1, 6.7.1; K is 0 in quiet times).

Load is looked at once a second: I1s and solved I2s against what counts as much, and how full the
slots for half-open exchanges are.  K follows it up at once, four bits for the first and for each
doubling, and down only after a calm while, so that a flood that the puzzle has stopped does not
come back at once.  Every change is a new generation of R1s, so there is a least time between two.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from hipgw.proto.core import Core, TimerKind
from hipgw.proto.r1_pool import R1Pool

LOOK_S: Final = 1.0
BITS_A_DOUBLING: Final = 4
HALF_OPEN_SHARE: Final = 0.5
"""Share of the slots whose use counts as load."""


class PuzzleLoad:
    """Counts what strangers send and sets the difficulty of their puzzles."""

    def __init__(self, core: Core, pool: R1Pool, half_open: Callable[[], int], now: float) -> None:
        """Begin with an idle host.

        Args:
            core: of the endpoint.
            pool: makes the R1s.
            half_open: how many half-open exchanges there are.
            now: monotonic seconds.
        """
        self._core: Final = core
        self._pool: Final = pool
        self._half_open: Final = half_open
        self._since_s = now
        self._i1s = 0
        self._i2s = 0
        self._changed_s = -math.inf
        self._loaded_s = -math.inf

    def on_i1s(self, count: int, now: float) -> None:
        """So many I1s came in, here or in the data path."""
        self._i1s += count
        self._look(now)

    def on_solved(self, now: float) -> None:
        """An I2 solves its puzzle: it costs public-key work."""
        self._i2s += 1
        self._look(now)

    def on_timer(self, now: float) -> None:
        """K is above its floor: look also when nothing comes in."""
        self._look(now)

    def reconfigure(self, now: float) -> None:
        """The bounds may have changed: hold K within them, at once."""
        config = self._core.config
        wanted = config.puzzle_k
        if config.puzzle_auto:
            wanted = min(max(self._core.puzzle_k, config.puzzle_k), self._ceiling())
        if wanted != self._core.puzzle_k:
            self._set(wanted, now)

    def _look(self, now: float) -> None:
        passed_s = now - self._since_s
        if passed_s < LOOK_S or not self._core.config.puzzle_auto:
            return
        load = self._load(passed_s)
        self._since_s, self._i1s, self._i2s = now, 0, 0
        self._follow(load, now)

    def _load(self, passed_s: float) -> float:
        config = self._core.config
        return max(
            self._i1s / passed_s / config.puzzle_i1_rate,
            self._i2s / passed_s / config.puzzle_i2_rate,
            self._half_open() / (HALF_OPEN_SHARE * config.half_open_most),
        )

    def _ceiling(self) -> int:
        config = self._core.config
        return max(config.puzzle_k, config.puzzle_k_ceiling)

    def _wanted(self, load: float) -> int:
        """K for a load; 1 is where it begins to rise."""
        floor = self._core.config.puzzle_k
        if load < 1.0:
            return floor
        bits = BITS_A_DOUBLING * (1 + math.floor(math.log2(load)))
        return min(floor + bits, self._ceiling())

    def _follow(self, load: float, now: float) -> None:
        core, config, k = self._core, self._core.config, self._core.puzzle_k
        if self._wanted(2.0 * load) >= k > config.puzzle_k:
            self._loaded_s = now
        wanted = self._wanted(load)
        may_change = now >= self._changed_s + config.puzzle_step_s
        is_calm = now >= self._loaded_s + config.puzzle_calm_s
        if may_change and (wanted > k or (wanted < k and is_calm)):
            self._set(wanted, now)
        if core.puzzle_k > config.puzzle_k:
            core.timers.set((None, TimerKind.PUZZLE), now + LOOK_S)

    def _set(self, k: int, now: float) -> None:
        core = self._core
        core.note("puzzle_raised" if k > core.puzzle_k else "puzzle_lowered")
        core.puzzle_k = k
        self._changed_s = self._loaded_s = now
        self._pool.renew(now)
        if k > core.config.puzzle_k:
            core.timers.set((None, TimerKind.PUZZLE), now + LOOK_S)
