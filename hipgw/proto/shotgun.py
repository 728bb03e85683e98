"""Copies of one packet over several paths, one after the other; the first answer stops the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hipgw.proto.association import Association
from hipgw.proto.core import Core, TimerKind
from hipgw.values import Path

SHOTS_MOST: Final = 64
"""Copies of one association that wait; beyond that the oldest are not sent."""


class Shotgun:
    """Paces the copies, so that several paths do not cost a burst."""

    def __init__(self, core: Core) -> None:
        self._core: Final = core

    def shoot(
        self, association: Association, octets: bytes, paths: Sequence[Path], now: float
    ) -> None:
        """Send on the first path at once, on the others `shotgun_pace_s` apart."""
        core, reach = self._core, association.reach
        if not paths:
            return
        core.transmit(octets, paths[0])
        was_idle = not reach.shots
        shots = (*reach.shots, *((octets, path) for path in paths[1:]))
        reach.shots = shots[-SHOTS_MOST:]
        if was_idle and reach.shots:
            core.arm(association, TimerKind.PACE, now, core.config.shotgun_pace_s)

    def on_pace(self, association: Association, now: float) -> None:
        """Send the next copy."""
        core, reach = self._core, association.reach
        if not reach.shots:
            return
        (octets, path), *left = reach.shots
        reach.shots = tuple(left)
        core.transmit(octets, path)
        if left:
            core.arm(association, TimerKind.PACE, now, core.config.shotgun_pace_s)

    def hold_fire(self, association: Association, octets: bytes) -> None:
        """Send no more copies of this packet."""
        reach = association.reach
        reach.shots = tuple(shot for shot in reach.shots if shot[0] is not octets)
