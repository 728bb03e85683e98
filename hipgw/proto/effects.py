"""Work that the engine asks of the loop, in the order in which it must be done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NewType

from hipgw.proto.jobs import Job
from hipgw.values import DhGroup, Direction, Hit, Path, SecurityAssociation, Spi
from hipgw.values.quick_making import quickly_made

JobId = NewType("JobId", int)
"""Names a `Compute` until its result comes back through `Endpoint.job_done`."""


@quickly_made
@dataclass(frozen=True, slots=True)
class SendDatagram:
    """Send one HIP packet.

    `payload` is complete: checksum filled in for `Encapsulation.RAW`, 0 for UDP, where the loop
    puts the zero marker in front.
    """

    payload: bytes
    path: Path


@quickly_made
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


@quickly_made
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
class R1Template:
    """A signed R1 that lacks receiver, the opaque and I of its PUZZLE, and the checksum."""

    local: Hit
    group: DhGroup
    octets: bytes = field(repr=False)
    opaque_at: int
    """Offset of the opaque field of the PUZZLE; I follows it."""
    nonce_octets: int
    """Length of I."""


@dataclass(frozen=True, slots=True)
class R1Limits:
    """How often strangers get an R1: packets per second and at once, per source and in total."""

    rate: float
    burst: float
    source_rate: float
    source_burst: float
    sources_most: int
    """Sources remembered."""


@dataclass(frozen=True, slots=True)
class PublishR1s:
    """From now on a data path that can may answer I1s itself, with these R1s.

    It leaves to the engine every I1 that is not plainly one of HIPv2 to one of these identities
    with nothing but a DH_GROUP_LIST, and those of pairs that are claimed (`ClaimI1s`).  A data path
    that cannot does nothing: the engine answers whatever I1 it is given.  Replaces what was
    published before.
    """

    opaque: bytes
    """Of the PUZZLE, 2 octets."""
    secret: bytes = field(repr=False)
    """For `puzzle_nonce`."""
    began_us: int
    """Microseconds of the monotonic clock from which stamps count."""
    is_bound_to_addresses: bool
    dh_groups: tuple[DhGroup, ...]
    """Ours, most preferred first: the first that an I1 offers picks the R1, else the first."""
    r1s: tuple[R1Template, ...] = field(repr=False)
    limits: R1Limits
    apart: frozenset[Hit] = frozenset()
    """Peers that get other R1s than these: their I1s are the engine's, too."""


@quickly_made
@dataclass(frozen=True, slots=True)
class ClaimI1s:
    """I1s from `peer` to `local` are the engine's from now on, or no longer.

    An association has a state, and that decides (RFC 7401 section 4.4).  An I1 that was answered
    just before is one that came just before.
    """

    local: Hit
    peer: Hit
    is_claimed: bool


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
    | PublishR1s
    | ClaimI1s
    | AbandonJob
    | SendIcmp
)
