"""Telling peers where we are (RFC 8046 sections 3.2, 5.2; RFC 8047 section 4).

Every LOCATOR_SET lists all that is in use, because it replaces the one before.  The preferred
locator is the one where we want to be, which after a soft handover is not yet where data flows: it
does once the new address has proven itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from hipgw.proto.association import Association
from hipgw.proto.core import Core, TimerKind
from hipgw.proto.locators import Announced, announced, is_announceable, only
from hipgw.proto.pairs import best_pair, pairs_of
from hipgw.proto.rekeying import Rekeyer
from hipgw.proto.states import State
from hipgw.proto.update_sender import UpdateSender
from hipgw.proto.update_state import Purpose
from hipgw.values import Address, Path, Spi
from hipgw.wire import (
    LIFETIME_UNBOUNDED_S,
    AddressLocator,
    LocatorRecord,
    LocatorSet,
    SpiLocator,
)

TRIES_BEFORE_OTHER_PATHS: Final = 1
IN_EXCHANGE_MOST: Final = 6
"""Locators in an R1, I2 or R2, where keys leave little room."""
RENEW_AFTER: Final = 2 / 3
"""Share of a lifetime after which locators are announced again."""
RENEW_AGAIN_AFTER: Final = 1 / 12
"""Share of it after which that is tried again."""


def records_of(
    addresses: Sequence[Address],
    preferred: Address | None,
    lifetime_s: int,
    spi: Spi | None,
    bound: Mapping[Address, Spi] = MappingProxyType({}),
) -> tuple[LocatorRecord, ...]:
    """Records of a LOCATOR_SET: type 1 with our SPI, or type 0 where there is none yet.

    Args:
        addresses: ours.
        preferred: the one of them that is.
        lifetime_s: of all of them.
        spi: inbound, of the pair in use.
        bound: addresses that have another one.
    """
    return tuple(
        LocatorRecord(
            AddressLocator(address)
            if spi is None
            else SpiLocator(int(bound.get(address, spi)), address),
            lifetime_s,
            preferred=address == preferred,
        )
        for address in addresses
    )


def addresses_to_announce(core: Core, current: Path | None) -> list[Address]:
    """Our addresses that mean something to others, the one in use first."""
    addresses = [] if current is None else [current.local]
    addresses += [one.address for one in core.local_addresses or ()]
    fit = [address for address in dict.fromkeys(addresses) if is_announceable(address)]
    return fit[: core.config.locators_most]


def exchange_locators(core: Core, path: Path | None, spi: Spi | None) -> tuple[LocatorSet, ...]:
    """LOCATOR_SET of an R1, I2 or R2; none when the configuration wants none (8047 4.2.8).

    An R1 is made before anyone knows which of our addresses its Initiator uses, so it prefers none.
    """
    if not core.config.announce_locators:
        return ()
    addresses = addresses_to_announce(core, path)[:IN_EXCHANGE_MOST]
    if not addresses:
        return ()
    preferred = None if path is None else path.local
    return (LocatorSet(records_of(addresses, preferred, core.config.locator_lifetime_s, spi)),)


class Announcer:
    """Sends LOCATOR_SETs."""

    def __init__(self, core: Core, sender: UpdateSender, rekeyer: Rekeyer) -> None:
        self._core: Final = core
        self._sender: Final = sender
        self._rekeyer: Final = rekeyer

    def on_established(self, association: Association, now: float) -> None:
        """Note what the base exchange has told the peer."""
        reach, path = association.reach, association.path
        addresses = {path.local}
        if self._core.config.announce_locators:
            addresses.update(addresses_to_announce(self._core, path))
        reach.announced, reach.announced_s = announced(frozenset(addresses), path.local), now
        reach.proven = reach.proven | {path.local} if reach.proven else only(path.local)
        self.arm_renewal(association, now)

    def tell(self, association: Association, now: float, *, is_forced: bool = False) -> bool:
        """Announce our locators if the peer does not know them, or in any case.

        Returns:
            Whether there was anything to announce and a way to do so.
        """
        core, reach = self._core, association.reach
        if association.state is not State.ESTABLISHED or association.spi_in is None:
            return False
        wanted = best_pair(core, association, ignores_proof=True)
        if wanted is None:
            return False
        news = self._locators(association, wanted.path)
        if news is None or (news == reach.announced and not is_forced):
            return False
        for outstanding in tuple(association.updates.outstanding.values()):
            if outstanding.purpose is Purpose.LOCATORS:
                self._sender.cancel(association, outstanding)
        lifetime_s = core.config.locator_lifetime_s
        records = records_of(
            news.in_order(),
            news.preferred,
            lifetime_s,
            association.spi_in,
            association.esp.bound,
        )
        is_sent = core.config.rekey_on_move and self._rekeyer.start(
            association, "move", now, locators=records, path=wanted.path
        )
        if not is_sent:
            is_sent = self._send(association, records, wanted.path)
        if is_sent:
            reach.announced, reach.announced_s = news, now
            self.arm_renewal(association, now)
        return is_sent

    def tell_in_turn(self, association: Association, now: float, is_forced: bool) -> bool:
        """The turn of an association that has waited for it."""
        return self.tell(association, now, is_forced=is_forced)

    def _send(
        self,
        association: Association,
        records: tuple[LocatorRecord, ...],
        path: Path,
    ) -> bool:
        outstanding = self._sender.send(
            association,
            Purpose.LOCATORS,
            (*self._rekeyer.present_esp_info(association), LocatorSet(records)),
            path=path,
            wide_after=TRIES_BEFORE_OTHER_PATHS,
        )
        if outstanding is None:
            return False
        self._rekeyer.carried_by(association, outstanding)
        return True

    def _locators(self, association: Association, path: Path) -> Announced | None:
        """What the peer should know; None when our address is one that means nothing to others."""
        if not is_announceable(path.local):
            return None
        addresses = addresses_to_announce(self._core, path)
        current = association.path.local
        if not association.reach.is_local_gone and is_announceable(current):
            addresses.append(current)
        return announced(frozenset(addresses), path.local)

    def is_preferred_usable(self, association: Association) -> bool:
        """Whether what the peer takes for our preferred locator can still be reached."""
        reach = association.reach
        if reach.announced is None or reach.is_stranded:
            return True
        return any(
            pair.path.local == reach.announced.preferred and pair.path not in reach.failed
            for pair in pairs_of(self._core, association)
        )

    # --- lifetimes ---

    def renewal_s(self, association: Association) -> float | None:
        """When our locators want announcing again."""
        lifetime_s = self._core.config.locator_lifetime_s
        if lifetime_s == LIFETIME_UNBOUNDED_S or association.reach.announced is None:
            return None
        return association.reach.announced_s + RENEW_AFTER * lifetime_s

    def postpone(self, association: Association, now: float) -> None:
        """Our locators could not be announced: try again well before they expire."""
        again_s = (RENEW_AFTER - RENEW_AGAIN_AFTER) * self._core.config.locator_lifetime_s
        association.reach.announced_s = now - again_s

    def arm_renewal(self, association: Association, now: float) -> None:
        """Set the timer to the peer's next expiry or our next renewal."""
        table = association.reach.locators
        times = [self.renewal_s(association), None if table is None else table.next_expiry()]
        due = [at for at in times if at is not None]
        if due:
            self._core.arm(association, TimerKind.LOCATORS, now, max(min(due) - now, 0.0))
