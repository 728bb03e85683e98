"""A backend that carries nothing and remembers everything, for tests."""

from __future__ import annotations

from hipgw.dataplane.interface import Carrier
from hipgw.values import Direction, Hit, Path, SaStatistics, SecurityAssociation, Spi


class RecordingBackend:
    """Records calls and keeps the SAs they leave.

    Attributes:
        calls: ("install", sa), ("remove", direction, spi) and ("close",), in order.
        installed: what a real backend would carry now.
        is_closed: whether `close` was called.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.installed: list[SecurityAssociation] = []
        self.is_closed = False

    def install(self, sa: SecurityAssociation) -> None:
        """Record; an outbound SA replaces the one between the same HITs."""
        self.calls.append(("install", sa))
        if sa.direction is Direction.OUT:
            self.installed = [
                other
                for other in self.installed
                if other.direction is Direction.IN
                or (other.local_hit, other.peer_hit) != (sa.local_hit, sa.peer_hit)
            ]
        self.installed.append(sa)

    def remove(
        self,
        direction: Direction,
        spi: Spi,
        local_hit: Hit | None = None,
        peer_hit: Hit | None = None,
    ) -> bool:
        """Record; whether one was there."""
        self.calls.append(("remove", direction, spi))
        for sa in self.installed:
            if (
                (sa.direction, sa.spi) == (direction, spi)
                and local_hit in (None, sa.local_hit)
                and peer_hit in (None, sa.peer_hit)
            ):
                self.installed.remove(sa)
                return True
        return False

    def limit(self, spi: Spi, local_hit: Hit, peer_hit: Hit, octets: int | None) -> bool:
        """Record; whether that outbound SA is there."""
        self.calls.append(("limit", spi, octets))
        return any(
            (sa.direction, sa.spi, sa.local_hit, sa.peer_hit)
            == (Direction.OUT, spi, local_hit, peer_hit)
            for sa in self.installed
        )

    def move_in(self, spi: Spi, local_hit: Hit, peer_hit: Hit, path: Path) -> bool:
        """Record; whether it is there."""
        self.calls.append(("move_in", spi, path))
        return self.carrier_of(Direction.IN, spi, local_hit, peer_hit) is not None

    def carrier_of(
        self, direction: Direction, spi: Spi, local_hit: Hit, peer_hit: Hit
    ) -> Carrier | None:
        """User space, if it is there."""
        found = self.statistics_of(direction, spi, local_hit, peer_hit)
        return None if found is None else Carrier.USER

    def statistics_of(
        self, direction: Direction, spi: Spi, local_hit: Hit, peer_hit: Hit
    ) -> SaStatistics | None:
        """Zeros, if it is there."""
        wanted = direction, spi, local_hit, peer_hit
        for entry in self.statistics():
            if (entry.direction, entry.spi, entry.local_hit, entry.peer_hit) == wanted:
                return entry
        return None

    def statistics(self, used_since_s: float = 0.0) -> list[SaStatistics]:  # noqa: ARG002
        """Zeros: nothing passes here."""
        return [
            SaStatistics(
                direction=sa.direction,
                spi=sa.spi,
                local_hit=sa.local_hit,
                peer_hit=sa.peer_hit,
                packets=0,
                octets=0,
                sequence=0,
                last_used_s=None,
            )
            for sa in self.installed
        ]

    def close(self) -> None:
        """Record, and forget the SAs."""
        self.calls.append(("close",))
        self.installed.clear()
        self.is_closed = True
