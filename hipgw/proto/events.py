"""Facts for the operator; the engine does not care whether anyone reads them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from hipgw.values import NULL_HIT, DhGroup, EspSuite, HipCipher, HipTransform, Hit, Path, Spi


class Role(Enum):
    """Which side of the base exchange we were."""

    INITIATOR = "Initiator"
    RESPONDER = "Responder"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Established:
    """An association is ESTABLISHED and its two SAs are installed."""

    local: Hit
    peer: Hit
    path: Path
    role: Role
    spi_in: Spi
    spi_out: Spi
    esp_suite: EspSuite
    hip_cipher: HipCipher | HipTransform
    dh_group: DhGroup
    exchange_s: float
    """Seconds since the first I1 (Initiator) or the I2 (Responder)."""


@dataclass(frozen=True, slots=True)
class Closed:
    """An association that existed is gone: "peer", "idle", "operator", "unreachable"."""

    local: Hit
    peer: Hit
    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A base exchange of ours came to nothing.

    `reason` is a name of `CONTROL_REASONS`, "no_answer", or "operator"; `notify_type` is the last
    NOTIFY that the peer sent meanwhile.
    """

    local: Hit
    peer: Hit
    reason: str
    notify_type: int | None = None


@dataclass(frozen=True, slots=True)
class NotifyReceived:
    """A NOTIFY whose signature verified; shown, never acted upon (RFC 7401 section 6.13)."""

    local: Hit
    peer: Hit
    notify_type: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """New security associations carry the data; the old inbound one goes after a while.

    `reason` is "time", "octets", "packets", "operator", "move", or "peer" when the peer asked.
    """

    local: Hit
    peer: Hit
    spi_in: Spi
    spi_out: Spi
    with_dh: bool
    reason: str


@dataclass(frozen=True, slots=True)
class HandedOver:
    """Data and control packets take another path.

    `reason` is "address" when our addresses changed, "peer" when the peer's locators did,
    "failover" when the earlier path carried nothing.
    """

    local: Hit
    peer: Hit
    path: Path
    previous: Path
    reason: str


@dataclass(frozen=True, slots=True)
class PeerFound:
    """An authentic R1 answered an I1 to the NULL HIT: this is who is at that address.

    What becomes of the base exchange is told by `Established` or `Failed` of the same pair.
    """

    local: Hit
    peer: Hit
    path: Path
    is_anonymous: bool


@dataclass(frozen=True, slots=True)
class PeerNotFound:
    """An I1 to the NULL HIT led to nobody that we may speak to.

    `reason` is "no_answer", "operator", "peer_changed" (somebody else is there than was expected),
    "anonymous", "policy", or another name of `CONTROL_REASONS`.
    """

    local: Hit
    peer: Hit
    """Who answered; the NULL HIT if nobody authentic did."""
    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class PeerIsAnonymous:
    """A peer, of whom an authentic R1 or I2 is there, wants its HI not stored (section 5.1.2)."""

    local: Hit
    peer: Hit


@dataclass(frozen=True, slots=True)
class IdentityGone:
    """An identity of ours that was retired has lost its last association."""

    local: Hit

    @property
    def peer(self) -> Hit:
        """Nobody."""
        return NULL_HIT


@dataclass(frozen=True, slots=True)
class CertificateJudged:
    """Certificates of a peer were looked at, or have ended.

    `standing` is "verified", "unverified", "refused" or "expired"; `detail` says why not, without
    text of the peer; `until_s` is the Unix time at which the first of a verified chain ends.
    """

    local: Hit
    peer: Hit
    standing: str
    detail: str
    until_s: int | None


Event = (
    Established
    | Closed
    | Failed
    | NotifyReceived
    | Rekeyed
    | HandedOver
    | PeerFound
    | PeerNotFound
    | PeerIsAnonymous
    | IdentityGone
    | CertificateJudged
)
