"""Which path an association takes, and how much it may send there before it is verified."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hipgw.proto.association import Association
from hipgw.proto.core import Core, TimerKind
from hipgw.proto.events import HandedOver
from hipgw.proto.locators import Origin
from hipgw.proto.pairs import Pair, best_pair, table_of
from hipgw.proto.update_sender import UpdateSender
from hipgw.proto.update_state import Purpose
from hipgw.proto.verification import Verifier
from hipgw.values import Encapsulation, Path
from hipgw.wire import EspInfo


class Steering:
    """Moves associations to the best pair of addresses there is."""

    def __init__(self, core: Core, sender: UpdateSender, verifier: Verifier) -> None:
        self._core: Final = core
        self._sender: Final = sender
        self._verifier: Final = verifier
        self.when_steered: Final[list[Callable[[Association, Pair, float], None]]] = []
        """Who cares for the pair of addresses that is in use."""

    def on_arrival(self, association: Association, path: Path, *, is_new: bool) -> None:
        """An authentic UPDATE came this way: the pair works, at least in this direction.

        With UDP its source may be news, a NAT's work; it is a locator to be verified (RFC 8046
        section 5.3 step 6).
        """
        core, reach = self._core, association.reach
        ours = core.local_addresses
        is_ours = ours is None or any(one.address == path.local for one in ours)
        if is_ours and path.local not in reach.proven:
            reach.proven |= {path.local}
        reach.forget_failed((path,))
        table = table_of(core, association)
        if is_new and path.encapsulation is Encapsulation.UDP is association.path.encapsulation:
            known = table.of(path)
            if known is None:
                table.add(path.peer, path.peer_port, Origin.OBSERVED)

    def settle(self, association: Association, now: float) -> None:
        """Take the best pair that works, and the limit that its state asks for (5.4 to 5.6)."""
        core, reach = self._core, association.reach
        pair = best_pair(core, association)
        if pair is None:
            if not reach.is_stranded:
                reach.is_stranded = True
                core.note("stranded")
            if not any(one.is_usable for one in table_of(core, association)):
                self._limit(association, now, is_needed=True)
            return
        reach.is_stranded = False
        if pair.path != association.path:
            self._move(association, pair, now)
        for tell in self.when_steered:
            tell(association, pair, now)
        self._limit(association, now, is_needed=not pair.locator.is_active)
        if not pair.locator.is_active:
            self._verifier.verify(association, pair.locator)
        self._arm_recheck(association, now)

    def _move(self, association: Association, pair: Pair, now: float) -> None:
        core, reach, previous = self._core, association.reach, association.path
        if previous in reach.failed:
            reason = "failover"
        elif previous.local != pair.path.local:
            reason = "address"
        else:
            reason = "peer"
        association.path = pair.path
        reach.is_local_gone = False
        core.sas.move(association, pair.path)
        core.note("handed_over")
        core.events.append(
            HandedOver(association.local.hit, association.peer, pair.path, previous, reason)
        )
        self._sender.hurry(association, now)

    # --- credit (RFC 8046 section 5.6) ---

    def _limit(self, association: Association, now: float, *, is_needed: bool) -> None:
        core, esp = self._core, association.esp
        if is_needed and not esp.is_limited:
            core.sas.limit(association, esp.credit.take(now))
        elif not is_needed and esp.is_limited:
            core.sas.limit(association, None)

    def earn(self, association: Association, octets: int, now: float) -> None:
        """Octets came from the peer: so many more may go to an address that is not verified."""
        esp = association.esp
        esp.credit.earn(octets, now)
        if esp.is_limited and any(one.is_usable for one in table_of(self._core, association)):
            more = esp.credit.take(now)
            if more:
                self._core.sas.limit(association, more)

    # --- back to a better path ---

    def _arm_recheck(self, association: Association, now: float) -> None:
        config = self._core.config
        if config.recheck_s and self._better(association) is not None:
            key = association, TimerKind.RECHECK
            if key not in self._core.timers:
                self._core.arm(association, TimerKind.RECHECK, now, config.recheck_s)

    def _better(self, association: Association) -> Pair | None:
        """The pair that would be in use if it had not failed."""
        pair = best_pair(self._core, association, ignores_failures=True, ignores_proof=True)
        return None if pair is None or pair.path == association.path else pair

    def on_recheck(self, association: Association, now: float) -> None:
        """Try the better path again."""
        pair = self._better(association)
        if pair is None or association.spi_in is None:
            return
        spi = int(association.spi_in)
        pair.locator.failures = 0
        self._sender.send(
            association,
            Purpose.RECHECK,
            (EspInfo(0, spi, spi),),
            path=pair.path,
            tries_most=1,
        )
        self._core.arm(association, TimerKind.RECHECK, now, self._core.config.recheck_s)
