"""Work that the engine asks of the loop, in the order in which it must be done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NewType

from hipgw.proto.jobs import Job
from hipgw.values import Direction, Hit, Path, SecurityAssociation, Spi

JobId = NewType("JobId", int)
"""Names a `Compute` until its result comes back through `Endpoint.job_done`."""


@dataclass(frozen=True, slots=True)
class SendDatagram:
    """Send one HIP packet.

    `payload` is complete: checksum filled in for `Encapsulation.RAW`, 0 for UDP, where the loop
    puts the zero marker in front.
    """

    payload: bytes
    path: Path


@dataclass(frozen=True, slots=True)
class InstallSa:
    """Install one direction of ESP; an outbound one replaces the pair's current outbound SA."""

    sa: SecurityAssociation


@dataclass(frozen=True, slots=True)
class RemoveSa:
    """Remove one direction of ESP.

    The HITs say whose it is: two peers may well choose the same outbound SPI.
    """

    direction: Direction
    spi: Spi
    local: Hit
    peer: Hit


@dataclass(frozen=True, slots=True)
class MoveSa:
    """Give one direction of ESP other outer addresses: same keys, same SPI, sequence goes on.

    For `Direction.IN` the path is where the peer is expected to send from and to; ESP is looked up
    by SPI alone, so packets of the old path stay welcome (RFC 7402 section 3.3.1).
    """

    direction: Direction
    spi: Spi
    local: Hit
    peer: Hit
    path: Path


@dataclass(frozen=True, slots=True)
class LimitPath:
    """Let an outbound SA send so many octets and no more (RFC 8046 section 5.6).

    `credit_octets` None: no limit.  A number: from now on the SA is limited, and may send that
    many octets of inner packets on top of what is left of earlier numbers; the first number after
    None, or after `InstallSa`, starts from 0.  Packets beyond are dropped.  Grants never exceed
    what was received from the peer.
    """

    spi: Spi
    local: Hit
    peer: Hit
    credit_octets: int | None


@dataclass(frozen=True, slots=True)
class Compute:
    """Run `job.run()` on any thread and hand what it returns to `Endpoint.job_done`."""

    job_id: JobId
    job: Job = field(repr=False)


@dataclass(frozen=True, slots=True)
class StoreR1Counter:
    """Keep the R1 generation counter over restarts (RFC 7401 section 5.2.3)."""

    counter: int


@dataclass(frozen=True, slots=True)
class AbandonJob:
    """Nobody waits for this job any more: need not run if it has not begun."""

    job_id: JobId


@dataclass(frozen=True, slots=True)
class SendIcmp:
    """Send an ICMP Parameter Problem about a HIP packet that came in (RFC 7401 section 5.4).

    `path` is that of an answer: from where the packet came to, to where it came from.
    """

    path: Path
    pointer_octets: int
    """The octet that is wrong, from the start of the HIP header."""
    offending: bytes = field(repr=False)
    """The HIP packet."""


Effect = (
    SendDatagram
    | InstallSa
    | RemoveSa
    | MoveSa
    | LimitPath
    | Compute
    | StoreR1Counter
    | AbandonJob
    | SendIcmp
)
