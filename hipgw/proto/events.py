"""Facts for the operator; the engine does not care whether anyone reads them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from hipgw.values import DhGroup, EspSuite, HipCipher, Hit, Path, Spi


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
    hip_cipher: HipCipher
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


Event = Established | Closed | Failed | NotifyReceived | Rekeyed | HandedOver
