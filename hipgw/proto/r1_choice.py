"""Which of several R1s is answered, after I1s to several addresses (RFC 7401 sections 6.6.1, 6.8).

The first authentic R1 is held for a moment, and the one with the largest R1 counter answered; of
two with the same, the one that came first, which came by the faster way.  The moment is over when
every address has answered, so it never lasts where only one was asked.  Shotgun does not wait: its
rule is that the first answer wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hipgw.proto.association import Association, HeldR1, Initiation
from hipgw.proto.core import Core, TimerKind
from hipgw.values import Path

RTTS: Final = 2.0
"""Round trips that a first R1 is held for (section 6.8)."""


class R1Choice:
    """Holds R1s back."""

    def __init__(self, core: Core) -> None:
        self._core: Final = core

    def begin(self, initiation: Initiation, paths: Sequence[Path]) -> None:
        """The same I1 goes out on these paths."""
        initiation.held = None
        initiation.unanswered = set(paths) if len(paths) > 1 else set()

    def note(self, initiation: Initiation, path: Path) -> None:
        """An R1 came; whether it is authentic does not matter, for it can only end the wait."""
        initiation.unanswered.discard(path)

    def is_to_wait(self, initiation: Initiation) -> bool:
        """Whether an R1 that could be answered now should wait for others."""
        return (
            bool(initiation.unanswered)
            and not initiation.i2
            and self._core.config.r1_wait_most_s > 0
        )

    def is_over(self, initiation: Initiation) -> bool:
        """Whether no other R1 is to be expected."""
        return initiation.held is not None and not initiation.unanswered and not initiation.r1_jobs

    def hold(
        self, association: Association, initiation: Initiation, held: HeldR1, now: float
    ) -> None:
        """Keep the best R1 so far; the first one sets the time."""
        if initiation.held is None:
            round_trip_s = max(held.received_s - initiation.sent_s, 0.0)
            wait_s = min(RTTS * round_trip_s, self._core.config.r1_wait_most_s)
            self._core.arm(association, TimerKind.R1_WAIT, now, wait_s)
            self._core.note("r1_held")
        initiation.held = held

    def end(self, association: Association, initiation: Initiation) -> None:
        """Wait no more."""
        initiation.held = None
        initiation.unanswered.clear()
        self._core.cancel_timers(association, (TimerKind.R1_WAIT,))
