"""All that keeps an association alive after the base exchange, put together.

Here the parts learn of each other: who hears of the end of which UPDATE, and whose timer is whose.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hipgw.proto.accounting import Accountant
from hipgw.proto.announcing import Announcer
from hipgw.proto.association import Association
from hipgw.proto.authentic import Authenticator
from hipgw.proto.closing import Closer
from hipgw.proto.core import Core, TimerKind
from hipgw.proto.herald import Herald
from hipgw.proto.mobility import Mobility
from hipgw.proto.notifying import Notifier
from hipgw.proto.parallel import ParallelSas
from hipgw.proto.reachability import Reachability
from hipgw.proto.rekeying import Rekeyer
from hipgw.proto.shotgun import Shotgun
from hipgw.proto.steering import Steering
from hipgw.proto.switching import Switching
from hipgw.proto.update_sender import UpdateSender
from hipgw.proto.update_state import Outstanding, Purpose
from hipgw.proto.updating import Updater
from hipgw.proto.verification import Verifier
from hipgw.values import Direction, Path, Spi


class Upkeep:
    """Rekey, locators, heartbeat: what UPDATEs are for."""

    def __init__(
        self,
        core: Core,
        shotgun: Shotgun,
        *,
        authenticator: Authenticator,
        notifier: Notifier,
        closer: Closer,
    ) -> None:
        self._core: Final = core
        self.sender: Final = UpdateSender(core, shotgun)
        self.switching: Final = Switching(core)
        self.rekeyer: Final = Rekeyer(core, self.sender, self.switching)
        self._verifier: Final = Verifier(core, self.sender)
        self._steering: Final = Steering(core, self.sender, self._verifier)
        self.parallel: Final = ParallelSas(core, self.sender)
        self._steering.when_steered.append(self.parallel.on_steered)
        self._announcer: Final = Announcer(core, self.sender, self.rekeyer)
        self.herald: Final = Herald(core, self._announcer.tell_in_turn)
        self.mobility: Final = Mobility(
            core,
            notifier,
            sender=self.sender,
            verifier=self._verifier,
            steering=self._steering,
            announcer=self._announcer,
            herald=self.herald,
        )
        settle = self.mobility.settle
        self.reachability: Final = Reachability(core, self.sender, closer, settle)
        self._accountant: Final = Accountant(core, self.rekeyer, self._steering)
        self.updater: Final = Updater(
            core,
            authenticator,
            notifier,
            sender=self.sender,
            rekeyer=self.rekeyer,
            parallel=self.parallel,
            verifier=self._verifier,
            steering=self._steering,
            mobility=self.mobility,
        )
        self.rekeyer.when_answered.append(settle)
        core.when_established.append(self._on_established)
        self.sender.acked.update(dict.fromkeys(Purpose, self._on_acked))
        self.sender.unanswered.update(
            dict.fromkeys(Purpose, self.reachability.on_unanswered)
            | {
                Purpose.VERIFY: self._on_not_verified,
                Purpose.RECHECK: self._on_still_failed,
            }
        )
        self._timers: Final[dict[TimerKind, Callable[[Association, float], None]]] = {
            TimerKind.UPDATE: self.sender.on_due,
            TimerKind.REKEY: self.rekeyer.on_timer,
            TimerKind.RETIRE: self.switching.on_retire,
            TimerKind.LOCATORS: self.mobility.on_timer,
            TimerKind.HEARTBEAT: self.reachability.on_heartbeat,
            TimerKind.RECHECK: self._steering.on_recheck,
            TimerKind.PACE: shotgun.on_pace,
            TimerKind.PAIRS: self.parallel.on_timer,
        }

    def on_timer(self, association: Association, kind: TimerKind, now: float) -> None:
        """One of an association's timers has run out."""
        self._timers[kind](association, now)

    def _on_established(self, association: Association, now: float) -> None:
        self.mobility.on_established(association, now)
        self.switching.arm(association, now)
        self.reachability.arm(association, now)

    def _on_acked(
        self, association: Association, outstanding: Outstanding, path: Path, now: float
    ) -> None:
        if outstanding.purpose in {Purpose.REKEY, Purpose.LOCATORS}:
            self.rekeyer.on_acked(association, outstanding, now)
        elif outstanding.purpose is Purpose.PAIR:
            self.parallel.on_acked(association, outstanding)
        if outstanding.wide_after is not None:
            self.reachability.on_acked(association, outstanding, path, now)
        elif outstanding.purpose is Purpose.RECHECK:
            association.reach.refuge = None
            self._steering.on_arrival(association, path, is_new=False)
            self.mobility.settle(association, now)
            self._announcer.tell(association, now)

    def _on_still_failed(
        self, _association: Association, _outstanding: Outstanding, _now: float
    ) -> None:
        """The better path does not work yet; the next recheck is armed."""

    def _on_not_verified(
        self, association: Association, outstanding: Outstanding, now: float
    ) -> None:
        self._verifier.on_unanswered(outstanding)
        self.mobility.settle(association, now)
        if outstanding.path.peer == association.path.peer:
            self.reachability.probe(association, now, is_suspect=True)

    # --- what the data plane has seen ---

    def carried(
        self,
        association: Association,
        direction: Direction,
        spi: Spi,
        totals: tuple[int, int],
        now: float,
    ) -> bool:
        """Counters of one SA; whether they have grown."""
        is_more = self._accountant.count(association, direction, spi, totals, now)
        if is_more:
            self.herald.hurry(association, now)
        return is_more
