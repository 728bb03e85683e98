"""From old security associations to new ones (RFC 7402 section 6.10 step 4).

The old inbound SA stays until the peer has stopped using it, and a while longer for packets that
are under way.
"""

from __future__ import annotations

from typing import Final

from hipgw.proto.association import Association, Rekey
from hipgw.proto.core import Core, TimerKind
from hipgw.proto.events import Rekeyed, Role
from hipgw.proto.rekey_jobs import DerivedSas
from hipgw.values import Direction, Spi

INITIATOR_EARLY: Final = 0.1
"""The Initiator rekeys up to this share before the time, the Responder as much after it: so they
rarely cross."""
RETIRED_MOST: Final = 8
"""Replaced inbound SAs kept per peer, however often it rekeys."""


class Switching:
    """Puts the SAs of a finished rekey into use, and old ones away."""

    def __init__(self, core: Core) -> None:
        self._core: Final = core

    def arm(self, association: Association, now: float) -> None:
        """Set the time of the next rekey."""
        core, config = self._core, self._core.config
        if not config.rekey_s:
            core.cancel_timers(association, (TimerKind.REKEY,))
            return
        share = int.from_bytes(core.randomness(2), "big") / 65535 * INITIATOR_EARLY
        factor = 1.0 - share if association.role is Role.INITIATOR else 1.0 + share
        core.arm(association, TimerKind.REKEY, now, config.rekey_s * factor)

    def arm_from(self, association: Association, now: float) -> None:
        """The time between rekeys has changed: count it from when the present keys began."""
        core, config = self._core, self._core.config
        began_s = association.esp.rekeyed_s or association.established_s or now
        if config.rekey_s:
            due_s = max(began_s + config.rekey_s, now)
            core.timers.set((association, TimerKind.REKEY), due_s)
        else:
            core.cancel_timers(association, (TimerKind.REKEY,))

    def on_data(self, association: Association, spi: Spi, now: float) -> None:
        """Valid ESP arrived on one of our SPIs."""
        esp = association.esp
        rekey = esp.rekey
        if rekey is not None and rekey.derived is not None and spi == rekey.spi_in:
            self.switch(association, rekey, rekey.derived, now, is_peer_ahead=True)
        elif spi == association.spi_in and esp.retired:
            latest_s = now + self._core.config.sa_grace_s
            for old in esp.retired:
                esp.retired[old] = min(esp.retired[old], latest_s)
            self._arm_retire(association, now)

    def switch(
        self,
        association: Association,
        rekey: Rekey,
        derived: DerivedSas,
        now: float,
        *,
        is_peer_ahead: bool,
    ) -> None:
        """Send on the new outbound SA; the old inbound one retires (section 6.10 step 4)."""
        core, config, esp = self._core, self._core.config, association.esp
        old_in, old_out = association.spi_in, association.spi_out
        keying, theirs = association.keying, rekey.theirs
        if keying is None or theirs is None or old_in is None or old_out is None:
            return
        core.sas.switch_out(
            association,
            Spi(theirs.new_spi),
            keying.esp_suite,
            derived.esp,
            beside=rekey.spi_in,
        )
        if esp.is_limited:
            core.sas.limit(association, esp.credit.take(now))
        core.sas.remove(association, Direction.OUT, old_out)
        association.spi_in = rekey.spi_in
        if old_in in esp.bound.values():
            esp.bound = {
                one: rekey.spi_in if spi == old_in else spi for one, spi in esp.bound.items()
            }
        esp.material = derived.material
        esp.rekey = None
        esp.rekeys += 1
        esp.rekeyed_s = now
        esp.retired[old_in] = now + (config.sa_grace_s if is_peer_ahead else config.sa_hold_s)
        while len(esp.retired) > RETIRED_MOST:
            oldest = next(iter(esp.retired))
            del esp.retired[oldest]
            core.sas.remove(association, Direction.IN, oldest)
        self._arm_retire(association, now)
        self.arm(association, now)
        with_dh = rekey.dh is not None or rekey.their_dh is not None
        core.note("rekeyed")
        core.events.append(
            Rekeyed(
                association.local.hit,
                association.peer,
                rekey.spi_in,
                Spi(theirs.new_spi),
                with_dh,
                rekey.reason,
            )
        )

    def _arm_retire(self, association: Association, now: float) -> None:
        retired = association.esp.retired
        if retired:
            delay_s = max(min(retired.values()) - now, 0.0)
            self._core.arm(association, TimerKind.RETIRE, now, delay_s)

    def on_retire(self, association: Association, now: float) -> None:
        """Remove inbound SAs whose time is over."""
        retired = association.esp.retired
        for spi in [spi for spi, at in retired.items() if at <= now]:
            del retired[spi]
            self._core.sas.remove(association, Direction.IN, spi)
        self._arm_retire(association, now)
