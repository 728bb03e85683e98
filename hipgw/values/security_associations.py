"""A security association: one direction of ESP between two hosts (RFC 7402)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from hipgw.values.identifiers import Hit, Lsi, Spi
from hipgw.values.paths import Path
from hipgw.values.quick_making import quickly_made
from hipgw.values.registries import EspSuite


class Direction(IntEnum):
    """Seen from this host."""

    IN = 0
    OUT = 1


@quickly_made
@dataclass(frozen=True, slots=True)
class SecurityAssociation:
    """Everything a data plane needs to carry one direction; run-time tables are copies of it.

    Keys are as drawn from KEYMAT: an AEAD suite's salt is the tail of `encryption_key`
    (RFC 4106 section 8.1).  They never appear in `repr`.
    """

    direction: Direction
    spi: Spi
    suite: EspSuite
    encryption_key: bytes = field(repr=False)
    authentication_key: bytes = field(repr=False)
    local_hit: Hit
    peer_hit: Hit
    path: Path
    local_lsi: Lsi | None = None
    peer_lsi: Lsi | None = None
    is_extended: bool = False
    """Sequence numbers have 64 bits, of which 32 are sent (RFC 7402 section 3.3.6, RFC 4303 2.2.1);
    both ends must know it, and HIP has no word for it."""


@dataclass(frozen=True, slots=True)
class SaStatistics:
    """Counters of one security association since it was installed."""

    direction: Direction
    spi: Spi
    local_hit: Hit
    peer_hit: Hit
    packets: int
    octets: int
    """Octets of inner packets, IP header included."""
    sequence: int
    """Outbound: last number sent. Inbound: highest number accepted."""
    last_used_s: float | None
    """CLOCK_MONOTONIC seconds of the last packet, or None."""
