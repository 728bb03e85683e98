"""The security associations of this daemon: LSIs filled in, handed to the backend, remembered.

What is shown of them holds no key.
"""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path as FilePath
from typing import Final

from hipgw.daemon.first_packets import Pair
from hipgw.daemon.key_export import append_keys
from hipgw.daemon.lsis import LsiRegistry
from hipgw.daemon.traffic_totals import Carried, TrafficTotals
from hipgw.dataplane.composite import CompositeBackend, WayOut
from hipgw.dataplane.interface import Backend, Carrier
from hipgw.errors import LocalProtocolError
from hipgw.policy import LsiConflictError
from hipgw.proto import LimitPath, MoveSa, RemoveSa
from hipgw.values import (
    Direction,
    EspSuite,
    Hit,
    Lsi,
    Path,
    SaStatistics,
    SecurityAssociation,
    Spi,
)

NO_KERNEL: Final = '[datapath] backend = "user"'

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SaRecord:
    """A security association without its keys."""

    direction: Direction
    spi: Spi
    suite: EspSuite
    local_hit: Hit
    peer_hit: Hit
    local_lsi: Lsi | None
    peer_lsi: Lsi | None
    path: Path
    installed_s: float
    """Monotonic seconds."""
    is_extended: bool = False
    """Sequence numbers have 64 bits."""


@dataclass(slots=True)
class PairSas:
    """What there is between two HITs."""

    records: tuple[SaRecord, ...] = ()
    """In the order in which they were installed; few, whatever the peer does."""
    outbound: SecurityAssociation | None = None
    """The current one with its keys, which a backend wants again for other addresses."""

    def record(self, direction: Direction, spi: Spi) -> SaRecord | None:
        """The record of one, or None."""
        for record in self.records:
            if record.direction is direction and record.spi == spi:
                return record
        return None

    def put(self, record: SaRecord) -> bool:
        """Keep a record, in the place of one of the same SPI; whether there was none."""
        same = self.record(record.direction, record.spi)
        if same is None:
            self.records += (record,)
        else:
            self.records = tuple(record if one is same else one for one in self.records)
        return same is None


class SaHome:
    """Installs and removes security associations, and knows which are there."""

    def __init__(
        self,
        backend: Backend,
        lsis: LsiRegistry,
        clock: Callable[[], float],
        export_file: FilePath | None = None,
        *,
        split: CompositeBackend | None = None,
        no_kernel: str = NO_KERNEL,
    ) -> None:
        """Start without any.

        Args:
            backend: where security associations live.
            lsis: gives each its LSIs.
            clock: monotonic seconds.
            export_file: in a lab, the file that gets the keys.
            split: `backend` again, if it has a kernel side.
            no_kernel: why it has none, in words.
        """
        self.split: Final = split
        self.no_kernel: Final = no_kernel
        self._backend = backend
        self._lsis = lsis
        self._clock = clock
        self._export_file: Final = export_file
        self._pairs: dict[Pair, PairSas] = {}
        self._pairs_out: dict[Spi, tuple[Pair, ...]] = {}
        """By outbound SPI, which several peers may have chosen."""
        self._count = 0
        self._locals: set[Hit] = set()
        self._totals: Final = TrafficTotals()
        self.counters: Counter[str] = Counter()

    def install(self, sa: SecurityAssociation) -> bool:
        """Give it LSIs and install it; an outbound one becomes the current one of its pair.

        False, and a count, when the backend refuses: the association then carries nothing.
        """
        sa = dataclasses.replace(
            sa, local_lsi=self._lsi_of(sa.local_hit), peer_lsi=self._lsi_of(sa.peer_hit)
        )
        pair = sa.local_hit, sa.peer_hit
        replaced = self._current(*pair) if sa.direction is Direction.OUT else None
        last = None
        if replaced is not None and replaced.spi != sa.spi:
            last = self._backend.statistics_of(Direction.OUT, replaced.spi, *pair)
        try:
            self._backend.install(sa)
        except LocalProtocolError as error:
            self.counters["sa_refused"] += 1
            log.warning("SA refused", extra={"peer_hit": sa.peer_hit, "reason": error})
            return False
        record = SaRecord(
            sa.direction,
            sa.spi,
            sa.suite,
            sa.local_hit,
            sa.peer_hit,
            sa.local_lsi,
            sa.peer_lsi,
            sa.path,
            self._clock(),
            sa.is_extended,
        )
        sas = self._pairs.setdefault(pair, PairSas())
        is_new = sas.put(record)
        self._count += is_new
        if is_new and sa.direction is Direction.OUT:
            self._pairs_out[sa.spi] = (*self._pairs_out.get(sa.spi, ()), pair)
        self._locals.add(sa.local_hit)
        if last is not None:
            self._totals.add(last)
        if sa.direction is Direction.OUT:
            sas.outbound = sa
        self._export(sa)
        return True

    def _current(self, local: Hit, peer: Hit) -> SecurityAssociation | None:
        sas = self._pairs.get((local, peer))
        return None if sas is None else sas.outbound

    def _lsi_of(self, hit: Hit) -> Lsi | None:
        try:
            return self._lsis.hit_to_lsi(hit)
        except LsiConflictError as error:
            self.counters["no_lsi"] += 1
            log.warning("no LSI", extra={"peer_hit": hit, "reason": error})
            return None

    def _export(self, sa: SecurityAssociation) -> None:
        if self._export_file is None:
            return
        try:
            append_keys(self._export_file, sa)
        except OSError as error:
            self.counters["export_failed"] += 1
            log.warning("keys not exported", extra={"file": self._export_file, "reason": error})

    def remove(self, removal: RemoveSa) -> bool:
        """Remove one; False when it was not there."""
        sas = self._pairs.get((removal.local, removal.peer))
        record = None if sas is None else sas.record(removal.direction, removal.spi)
        if sas is not None and record is not None:
            self._forget(sas, record)
        return self._backend.remove(
            removal.direction, removal.spi, local_hit=removal.local, peer_hit=removal.peer
        )

    def _forget(self, sas: PairSas, record: SaRecord) -> None:
        """Take a record out; what its SA has carried stays in the total."""
        last = self.statistics_of(record)
        if last is not None:
            self._totals.add(last)
        if self.is_current(record) and record.direction is Direction.OUT:
            sas.outbound = None
        sas.records = tuple(one for one in sas.records if one is not record)
        self._count -= 1
        if record.direction is Direction.OUT:
            self._forget_out(record)
        if not sas.records:
            del self._pairs[record.local_hit, record.peer_hit]
            self._totals.forget(record.local_hit, record.peer_hit)

    def _forget_out(self, record: SaRecord) -> None:
        pair = record.local_hit, record.peer_hit
        pairs = tuple(one for one in self._pairs_out.pop(record.spi, ()) if one != pair)
        if pairs:
            self._pairs_out[record.spi] = pairs

    def move(self, move: MoveSa) -> bool:
        """Give one other outer addresses: same keys and SPI, the sequence numbers go on.

        False when it is not there, or an outbound one that a newer one has replaced.
        """
        sas = self._pairs.get((move.local, move.peer))
        record = None if sas is None else sas.record(move.direction, move.spi)
        if sas is None or record is None:
            return False
        moved = dataclasses.replace(record, path=move.path)
        if move.direction is Direction.IN:
            self._move_in(moved)
        else:
            sa = sas.outbound
            if sa is None or sa.spi != move.spi:
                return False
            sa = dataclasses.replace(sa, path=move.path)
            try:
                self._backend.install(sa)
            except LocalProtocolError as error:
                self.counters["sa_refused"] += 1
                log.warning("SA not moved", extra={"peer_hit": sa.peer_hit, "reason": error})
                return False
            sas.outbound = sa
            self._export(sa)
        sas.put(moved)
        return True

    def _move_in(self, moved: SaRecord) -> None:
        try:
            self._backend.move_in(moved.spi, moved.local_hit, moved.peer_hit, moved.path)
        except LocalProtocolError as error:
            self.counters["sa_refused"] += 1
            log.warning("SA not moved", extra={"peer_hit": moved.peer_hit, "reason": error})

    def limit(self, limit: LimitPath) -> None:
        """Bound what goes to an address that is not verified (RFC 8046 section 5.6)."""
        self._backend.limit(limit.spi, limit.local, limit.peer, limit.credit_octets)

    def outbound_of(self, local: Hit, peer: Hit) -> SaRecord | None:
        """The current outbound SA of a pair."""
        sas = self._pairs.get((local, peer))
        if sas is None or sas.outbound is None:
            return None
        return sas.record(Direction.OUT, sas.outbound.spi)

    def outbound_with(self, spi: Spi) -> list[SaRecord]:
        """Current outbound SAs of an SPI; one, or a few where peers have chosen the same."""
        found = (self.outbound_of(*pair) for pair in self._pairs_out.get(spi, ()))
        return [record for record in found if record is not None and record.spi == spi]

    def inbound_of(self, local: Hit, peer: Hit) -> SaRecord | None:
        """The newest inbound SA of a pair."""
        sas = self._pairs.get((local, peer))
        records = () if sas is None else sas.records
        return next((one for one in records[::-1] if one.direction is Direction.IN), None)

    def has_extended_numbers(self, local: Hit, peer: Hit) -> bool:
        """Whether what is sent between two HITs now is numbered with 64 bits."""
        current = self._current(local, peer)
        return current is not None and current.is_extended

    def way_out(self, local: Hit, peer: Hit) -> WayOut:
        """Where a packet of a pair with an outbound SA has to go now."""
        return WayOut.USER if self.split is None else self.split.way_out(local, peer)

    def send_in_kernel(self, local: Hit, peer: Hit, packet: bytes) -> bool:
        """Send an inner packet through the kernel; False when it refuses."""
        return self.split is not None and self.split.kernel.send(local, peer, packet)

    def is_kernels(self, spi: Spi) -> bool:
        """Whether the kernel carries an inbound SPI."""
        return self.split is not None and self.split.kernel.has_inbound(spi)

    def carrier_of(self, record: SaRecord) -> Carrier:
        """Who carries one; user space where nobody does."""
        if self.split is None:
            return Carrier.USER
        key = record.direction, record.spi, record.local_hit, record.peer_hit
        return self.split.carrier_of(*key) or Carrier.USER

    def reason_for_user(self, record: SaRecord) -> str:
        """Why the kernel does not carry one, in words; empty when it does."""
        if self.split is None:
            return self.no_kernel
        if self.carrier_of(record) is Carrier.KERNEL:
            return ""
        return self.split.reason_for_user(
            record.local_hit, record.peer_hit, record.suite, record.path
        )

    def has_peer(self, peer: Hit) -> bool:
        """Whether some SA belongs to this peer."""
        return any((local, peer) in self._pairs for local in self._locals)

    def __len__(self) -> int:
        return self._count

    def records(self, first: int = 0, most: int | None = None) -> list[SaRecord]:
        """All of them or some, pair by pair."""
        end = None if most is None else first + most
        everything = (record for sas in self._pairs.values() for record in sas.records)
        return list(islice(everything, first, end))

    def is_current(self, record: SaRecord) -> bool:
        """False for an outbound SA that a newer one of its pair has replaced."""
        if record.direction is Direction.IN:
            return True
        current = self._current(record.local_hit, record.peer_hit)
        return current is not None and current.spi == record.spi

    def used_since(self, since_s: float) -> list[SaStatistics]:
        """Counters of those that carried something since then (CLOCK_MONOTONIC)."""
        return self._backend.statistics(since_s)

    def statistics_of(self, record: SaRecord) -> SaStatistics | None:
        """Counters of one; None when the backend does not have it."""
        return self._backend.statistics_of(
            record.direction, record.spi, record.local_hit, record.peer_hit
        )

    def carried(self, direction: Direction, local: Hit, peer: Hit) -> Carried:
        """What an association has carried one way, over all its keys."""
        sas = self._pairs.get((local, peer))
        records = () if sas is None else sas.records
        found = [self.statistics_of(one) for one in records if one.direction is direction]
        present = [entry for entry in found if entry is not None]
        return self._totals.with_present((direction, local, peer), present)
