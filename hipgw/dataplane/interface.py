"""Where security associations live: what every backend can do.

The engine decides, the daemon asks, a backend carries: user space (`user`), the kernel, or memory
for tests (`memory`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from hipgw.values import Direction, Hit, Path, SaStatistics, SecurityAssociation, Spi


class Carrier(StrEnum):
    """Who carries a security association."""

    USER = "user"
    KERNEL = "kernel"


class Preference(StrEnum):
    """`[datapath] backend`: who carries associations that both could."""

    AUTO = "auto"
    """The kernel what it can, user space the rest."""
    USER = "user"
    KERNEL = "kernel"
    """As AUTO, and ESP in UDP, too, which then never comes to user space."""


class Backend(Protocol):
    """A home of security associations."""

    def install(self, sa: SecurityAssociation) -> None:
        """Make an SA work at once.

        An outbound SA takes the place of the one before it between the same two HITs; inbound
        ones live side by side until removed (make before break).

        Raises:
            LocalProtocolError: an SA that cannot be carried; the message holds no key octets.
        """

    def remove(
        self,
        direction: Direction,
        spi: Spi,
        local_hit: Hit | None = None,
        peer_hit: Hit | None = None,
    ) -> bool:
        """Take an SA away; False when there is none.

        Outbound SPIs are the peers' choice, and two peers may choose the same: then the HITs say
        which SA is meant.
        """

    def limit(self, spi: Spi, local_hit: Hit, peer_hit: Hit, octets: int | None) -> bool:
        """Let an outbound SA send so many inner octets and no more; False when there is none.

        A number adds to what is left of earlier ones; None lifts the limit (RFC 8046 5.6).
        """

    def move_in(self, spi: Spi, local_hit: Hit, peer_hit: Hit, path: Path) -> bool:
        """Expect the packets of an inbound SA at another address; False when there is none.

        Keys, SPI and the anti-replay window stay.

        Raises:
            LocalProtocolError: it cannot be moved, and works on where it was.
        """

    def carrier_of(
        self, direction: Direction, spi: Spi, local_hit: Hit, peer_hit: Hit
    ) -> Carrier | None:
        """Who carries an SA; None when there is none."""

    def statistics(self, used_since_s: float = 0.0) -> list[SaStatistics]:
        """Counters of each SA that is installed.

        Args:
            used_since_s: those that carried nothing since then (CLOCK_MONOTONIC) may be left out.
        """

    def statistics_of(
        self, direction: Direction, spi: Spi, local_hit: Hit, peer_hit: Hit
    ) -> SaStatistics | None:
        """Counters of one SA; None when there is none."""

    def close(self) -> None:
        """Remove every SA and stop carrying packets; harmless twice."""
