"""Hosts that move, and hosts with several addresses (RFC 8046, 8047): both sides put together.

`pairs` ranks paths, `steering` takes the best, `verification` proves the peer's addresses,
`announcing` tells it ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from hipgw.proto.announcing import Announcer
from hipgw.proto.association import ALL_WELL, Association
from hipgw.proto.core import Core
from hipgw.proto.herald import Herald
from hipgw.proto.locators import (
    Happening,
    Listed,
    LocalAddress,
    Origin,
    is_announceable,
    listed,
)
from hipgw.proto.notifying import Notifier
from hipgw.proto.pairs import table_of
from hipgw.proto.states import State
from hipgw.proto.steering import Steering
from hipgw.proto.update_sender import UpdateSender
from hipgw.proto.verification import Verifier
from hipgw.values import Address, Encapsulation, Hit, NotifyType, Path
from hipgw.wire import LocatorRecord, LocatorSet, Notification, UnknownLocator


class Mobility:
    """Follows changes of addresses on either side."""

    def __init__(
        self,
        core: Core,
        notifier: Notifier,
        *,
        sender: UpdateSender,
        verifier: Verifier,
        steering: Steering,
        announcer: Announcer,
        herald: Herald,
    ) -> None:
        self._core: Final = core
        self._notifier: Final = notifier
        self._sender: Final = sender
        self._verifier: Final = verifier
        self._steering: Final = steering
        self._announcer: Final = announcer
        self._herald: Final = herald
        self.when_addresses_changed: Final[list[Callable[[float], None]]] = []

    # --- ours ---

    def local_addresses_changed(self, addresses: Sequence[LocalAddress], now: float) -> None:
        """These are our addresses now: take new paths where the old ones have gone, tell peers."""
        core = self._core
        before = {one.address for one in core.local_addresses or ()}
        present = {one.address for one in addresses}
        fit = [one for one in addresses if is_announceable(one.address)]
        ordered = tuple(sorted(fit, key=lambda one: -one.preference))
        is_change = ordered != core.local_addresses
        core.local_addresses = ordered
        if is_change:
            for tell in self.when_addresses_changed:
                tell(now)
        wanted: dict[Association, bool] = {}
        for association in tuple(core.associations.values()):
            was_stranded = association.reach.is_stranded
            if self._follow(association, before, present, now, is_change=is_change):
                wanted[association] = was_stranded
        self._herald.announce(wanted, now)

    def _follow(
        self,
        association: Association,
        before: set[Address],
        present: set[Address],
        now: float,
        *,
        is_change: bool,
    ) -> bool:
        """Take the best path that is left; whether the peer is to be told."""
        reach, local = association.reach, association.path.local
        reach.is_local_gone = local not in present and is_announceable(local)
        reach.proven &= present | {local}
        reach.forget_failed([one for one in reach.failed if one.local not in before & present])
        if is_change:
            reach.refuge = None
        if association.state is not State.ESTABLISHED:
            return False
        self._sender.abandon(association, present)
        was_stranded = reach.is_stranded
        self._verifier.verify_all(association)
        self._steering.settle(association, now)
        if reach.is_stranded:
            return False
        if was_stranded:
            self._sender.hurry(association, now)
        return is_change or was_stranded

    def tell(self, association: Association, now: float) -> None:
        """What is announced has changed: tell a peer that does not know it."""
        self._announcer.tell(association, now)
        self._announcer.arm_renewal(association, now)

    def manual_update(self, peer: Hit | None, now: float) -> int:
        """Announce our locators afresh, to one peer or to all in turn; returns to how many."""
        wanted: dict[Association, bool] = {}
        for association in tuple(self._core.associations.values()):
            is_meant = peer is None or association.peer == peer
            if is_meant and association.state is State.ESTABLISHED:
                association.reach.failed = ALL_WELL
                association.reach.refuge = None
                wanted[association] = True
        self._herald.announce(wanted, now)
        return len(wanted)

    # --- the peer's ---

    def on_locator_set(
        self,
        association: Association,
        records: Sequence[LocatorRecord],
        path: Path,
        now: float,
    ) -> None:
        """Make the peer's newest LOCATOR_SET the whole truth (RFC 8046 section 5.3)."""
        core = self._core
        table = table_of(core, association)
        usable = {one.address for one in table if one.is_usable}
        listing = self._fit(association, records)
        too_many = table.replace(listing, path, now)
        if too_many:
            core.note("locators_too_many")
        for record in records:
            if isinstance(record.locator, UnknownLocator) and record.preferred:
                self._refuse_type(association, record, path, now)
                break
        self._announcer.arm_renewal(association, now)
        association.reach.refuge = None
        if usable != {one.address for one in table if one.is_usable}:
            self._sender.hurry(association, now)

    def _fit(self, association: Association, records: Sequence[LocatorRecord]) -> list[Listed]:
        """Records that we can use; none of our own addresses, none twice."""
        core = self._core
        ours = {one.address for one in core.local_addresses or ()} | {association.path.local}
        table = table_of(core, association)
        found: dict[tuple[Address, int], Listed] = {}
        for record in records:
            one = listed(record, association.path, table)
            if one is None or one.address in ours:
                core.note("locator_ignored")
            else:
                found[one.address, one.port] = one  # of several sets the last one counts
        return list(found.values())

    def _refuse_type(
        self, association: Association, record: LocatorRecord, path: Path, now: float
    ) -> None:
        """The peer prefers a locator of a type that we do not know (section 5.3 step 5)."""
        self._notifier.send(
            association.local,
            association.peer,
            path,
            Notification(
                int(NotifyType.LOCATOR_TYPE_UNSUPPORTED), LocatorSet((record,)).contents()
            ),
            now,
        )

    def peer_seen_at(self, association: Association, path: Path, now: float) -> None:
        """Prefer where data of the peer comes from now, once it has answered there (5.4)."""
        core, current = self._core, association.path
        is_udp = path.encapsulation is Encapsulation.UDP is current.encapsulation
        if association.state is not State.ESTABLISHED or not is_udp or path == current:
            return
        table = table_of(core, association)
        locator = table.add(path.peer, path.peer_port, Origin.OBSERVED)
        if locator is None:
            core.note("locators_too_many")
            return
        locator.note(Happening.LISTED)
        locator.failures = 0
        for one in table:
            one.is_preferred = one is locator
        association.reach.forget_failed((path,))
        association.reach.refuge = None
        self.settle(association, now)

    # --- both ---

    def on_established(self, association: Association, now: float) -> None:
        """The base exchange is over: its locators count from here on."""
        reach = association.reach
        self._announcer.on_established(association, now)
        if reach.offered:
            table = table_of(self._core, association)
            if table.add_all(self._fit(association, reach.offered), now):
                self._core.note("locators_too_many")
            reach.offered = ()
            self._announcer.arm_renewal(association, now)
            self._verifier.verify_all(association)
        if reach.is_local_gone:
            self.settle(association, now)

    def settle(self, association: Association, now: float) -> None:
        """Something has changed: take the best path; tell the peer if it prefers a dead end.

        Nothing else is announced because of what the peer did: two hosts that each follow the
        other's preference would never come to rest.
        """
        if association.state is not State.ESTABLISHED:
            return
        self._verifier.verify_all(association)
        self._steering.settle(association, now)
        if not self._announcer.is_preferred_usable(association):
            self._announcer.tell(association, now)

    def on_timer(self, association: Association, now: float) -> None:
        """A locator has expired, or ours want renewing."""
        table = association.reach.locators
        if table is not None and table.expire(now):
            self.settle(association, now)
        renewal_s = self._announcer.renewal_s(association)
        is_due = renewal_s is not None and renewal_s <= now
        if is_due and not self._announcer.tell(association, now, is_forced=True):
            self._announcer.postpone(association, now)
        if association.state is State.ESTABLISHED:
            self._announcer.arm_renewal(association, now)
