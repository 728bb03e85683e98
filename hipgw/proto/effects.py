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
class Compute:
    """Run `job.run()` on any thread and hand what it returns to `Endpoint.job_done`."""

    job_id: JobId
    job: Job = field(repr=False)


@dataclass(frozen=True, slots=True)
class StoreR1Counter:
    """Keep the R1 generation counter over restarts (RFC 7401 section 5.2.3)."""

    counter: int


Effect = SendDatagram | InstallSa | RemoveSa | Compute | StoreR1Counter
