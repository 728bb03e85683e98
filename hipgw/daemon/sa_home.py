"""The security associations of this daemon: LSIs filled in, handed to the backend, remembered.

What is shown of them holds no key.
"""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Final

from hipgw.daemon.first_packets import Pair
from hipgw.daemon.key_export import append_keys
from hipgw.daemon.lsis import LsiRegistry
from hipgw.daemon.traffic_totals import Carried, SaKey, TrafficTotals, WayKey
from hipgw.dataplane.interface import Backend
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

log = logging.getLogger(__name__)

EXACT_LIMIT: Final = 2000
"""Up to so many security associations, all are looked at before one is replaced."""


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

    @property
    def key(self) -> SaKey:
        """What tells it from every other."""
        return self.direction, self.spi, self.local_hit, self.peer_hit


class SaHome:
    """Installs and removes security associations, and knows which are there."""

    def __init__(
        self,
        backend: Backend,
        lsis: LsiRegistry,
        clock: Callable[[], float],
        export_file: FilePath | None = None,
    ) -> None:
        """Start without any.

        Args:
            backend: where security associations live.
            lsis: gives each its LSIs.
            clock: monotonic seconds.
            export_file: in a lab, the file that gets the keys.
        """
        self._backend = backend
        self._lsis = lsis
        self._clock = clock
        self._export_file: Final = export_file
        self._records: dict[SaKey, SaRecord] = {}
        self._outbound: dict[Pair, SaRecord] = {}
        self._movable: dict[Pair, SecurityAssociation] = {}
        """Current outbound SAs with their keys, which a backend wants again for other addresses."""
        self._peers: Counter[Hit] = Counter()
        self._totals: Final = TrafficTotals()
        self.counters: Counter[str] = Counter()

    def install(self, sa: SecurityAssociation) -> bool:
        """Give it LSIs and install it; an outbound one becomes the current one of its pair.

        False, and a count, when the backend refuses: the association then carries nothing.
        """
        sa = dataclasses.replace(
            sa, local_lsi=self._lsi_of(sa.local_hit), peer_lsi=self._lsi_of(sa.peer_hit)
        )
        if (
            sa.direction is Direction.OUT
            and (sa.local_hit, sa.peer_hit) in self._outbound
            and len(self._records) <= EXACT_LIMIT
        ):
            self.statistics()
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
        )
        if record.key not in self._records:
            self._peers[sa.peer_hit] += 1
        self._records[record.key] = record
        if sa.direction is Direction.OUT:
            self._outbound[sa.local_hit, sa.peer_hit] = record
            self._movable[sa.local_hit, sa.peer_hit] = sa
        self._export(sa)
        return True

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
        key = (removal.direction, removal.spi, removal.local, removal.peer)
        record = self._records.pop(key, None)
        pair = removal.local, removal.peer
        if record is not None and self._outbound.get(pair) == record:
            del self._outbound[pair]
            self._movable.pop(pair, None)
        if record is not None:
            self._peers[removal.peer] -= 1
            if not self._peers[removal.peer]:
                del self._peers[removal.peer]
        return self._backend.remove(
            removal.direction, removal.spi, local_hit=removal.local, peer_hit=removal.peer
        )

    def move(self, move: MoveSa) -> bool:
        """Give one other outer addresses: same keys and SPI, the sequence numbers go on.

        An inbound one is found by its SPI alone, so only what is shown of it changes.  False when
        it is not there, or an outbound one that a newer one has replaced.
        """
        key = (move.direction, move.spi, move.local, move.peer)
        record = self._records.get(key)
        if record is None:
            return False
        moved = dataclasses.replace(record, path=move.path)
        if move.direction is Direction.OUT:
            pair = move.local, move.peer
            sa = self._movable.get(pair)
            if sa is None or sa.spi != move.spi:
                return False
            sa = dataclasses.replace(sa, path=move.path)
            try:
                self._backend.install(sa)
            except LocalProtocolError as error:
                self.counters["sa_refused"] += 1
                log.warning("SA not moved", extra={"peer_hit": sa.peer_hit, "reason": error})
                return False
            self._movable[pair], self._outbound[pair] = sa, moved
            self._export(sa)
        self._records[key] = moved
        return True

    def limit(self, limit: LimitPath) -> None:
        """Bound what goes to an address that is not verified (RFC 8046 section 5.6)."""
        self._backend.limit(limit.spi, limit.local, limit.peer, limit.credit_octets)

    def outbound_of(self, local: Hit, peer: Hit) -> SaRecord | None:
        """The current outbound SA of a pair."""
        return self._outbound.get((local, peer))

    def has_peer(self, peer: Hit) -> bool:
        """Whether some SA belongs to this peer."""
        return peer in self._peers

    def records(self) -> list[SaRecord]:
        """All of them, in the order in which they were installed."""
        return list(self._records.values())

    def is_current(self, record: SaRecord) -> bool:
        """False for an outbound SA that a newer one of its pair has replaced."""
        if record.direction is Direction.IN:
            return True
        return self._outbound.get((record.local_hit, record.peer_hit)) == record

    def statistics(self) -> dict[SaKey, SaStatistics]:
        """Counters of the backend."""
        statistics = {
            (entry.direction, entry.spi, entry.local_hit, entry.peer_hit): entry
            for entry in self._backend.statistics()
        }
        self._totals.note(statistics)
        return statistics

    def totals(self) -> dict[WayKey, Carried]:
        """What each association has carried each way, over all its keys."""
        self.statistics()
        return self._totals.by_way()
