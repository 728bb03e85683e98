"""What is done when a time is over."""

from __future__ import annotations

from typing import Final

from hipgw.proto.association import Association
from hipgw.proto.certificate_gate import CertificateGate
from hipgw.proto.closing import Closer
from hipgw.proto.core import Core, TimerKind
from hipgw.proto.initiator import Initiator
from hipgw.proto.opportunistic import Opportunist
from hipgw.proto.puzzle_load import PuzzleLoad
from hipgw.proto.r1_pool import R1Pool
from hipgw.proto.states import State, Trigger
from hipgw.proto.upkeep import Upkeep


class Deadlines:
    """Brings each timer that runs out to the part it belongs to."""

    def __init__(
        self,
        core: Core,
        pool: R1Pool,
        load: PuzzleLoad,
        *,
        initiator: Initiator,
        opportunist: Opportunist,
        closer: Closer,
        gate: CertificateGate,
        upkeep: Upkeep,
    ) -> None:
        self._core: Final = core
        self._pool: Final = pool
        self._load: Final = load
        self._initiator: Final = initiator
        self._opportunist: Final = opportunist
        self._closer: Final = closer
        self._gate: Final = gate
        self._upkeep: Final = upkeep

    def meet(self, now: float) -> None:
        """Do what is due; harmless when nothing is."""
        core = self._core
        while (key := core.timers.take_due(now)) is not None:
            association, kind = key
            if kind is TimerKind.ANNOUNCE:
                self._upkeep.herald.on_timer(now)
            elif association is None:
                renew = self._pool.renew if kind is TimerKind.R1 else self._load.on_timer
                renew(now)
            elif kind is TimerKind.RETRY:
                self._on_retry(association, now)
            elif kind is TimerKind.LIFE:
                self._on_life(association, now)
            elif kind is TimerKind.R1_WAIT:
                self._initiator.on_r1_wait_over(association, now)
            elif kind is TimerKind.CERTIFICATES:
                self._gate.on_timer(association, now)
            else:
                self._upkeep.on_timer(association, kind, now)

    def _on_retry(self, association: Association, now: float) -> None:
        if association.peer.is_null:
            self._opportunist.on_retry(association, now)
        elif association.state is State.CLOSING:
            self._closer.on_retry(association, now)
        else:
            self._initiator.on_retry(association, now)

    def _on_life(self, association: Association, now: float) -> None:
        """The time of the present state is over (Tables 5, 6, 8, 9)."""
        core = self._core
        if association.state is State.R2_SENT:
            core.establish(association, Trigger.EXCHANGE_COMPLETE, now)
        elif association.state is State.ESTABLISHED:
            used_s = max(association.last_heard_s, association.esp.last_sent_s or 0.0)
            idle_at = used_s + core.config.ual_s
            if idle_at > now:
                core.timers.set((association, TimerKind.LIFE), idle_at)
            else:
                self._closer.close(association, Trigger.IDLE, "idle", now)
        elif association.state is State.E_FAILED or association.initiation is None:
            core.end(association, Trigger.HOLD_OVER, now)
        else:  # CLOSED, while an I1 of ours is under way: that decides
            core.arm(association, TimerKind.LIFE, now, core.config.failed_hold_s)
