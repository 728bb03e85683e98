"""What an operator may see of an association: a frozen snapshot without secrets."""

from __future__ import annotations

from dataclasses import dataclass

from hipgw.proto.credentials import CertificateView
from hipgw.proto.events import Role
from hipgw.proto.locators import LocatorView
from hipgw.proto.states import State
from hipgw.values import (
    NO_QUIRKS,
    Address,
    DhGroup,
    EspSuite,
    HiAlgorithm,
    HipCipher,
    HipTransform,
    Hit,
    HitSuite,
    Path,
    Quirks,
    Spi,
)


@dataclass(frozen=True, slots=True)
class HeartbeatView:
    """Probes of one peer since the association began; `sent` counts repetitions too."""

    sent: int = 0
    received: int = 0
    lost: int = 0
    mean_rtt_s: float | None = None


@dataclass(frozen=True, slots=True)
class AssociationView:
    """What an operator may see of an association; times are those of the injected clock."""

    local: Hit
    peer: Hit
    version: int
    """Of HIP."""
    legacy: tuple[str, ...]
    """What it uses that only `legacy` peers may, in words: HIPv1, weak keys, a weak group."""
    state: State
    role: Role
    path: Path
    spi_in: Spi | None
    spi_out: Spi | None
    esp_suite: EspSuite | None
    hip_cipher: HipCipher | HipTransform | None
    dh_group: DhGroup | None
    hit_suite: HitSuite | None
    peer_algorithm: HiAlgorithm | None
    peer_di_type: int
    """Domain identifier of the peer's HOST_ID: 0 none, 1 FQDN in wire form, 2 NAI."""
    peer_di: bytes
    since_s: float
    established_s: float | None
    last_heard_s: float
    retransmissions: int
    """I1s, I2s, R2s, UPDATEs and CLOSEs that were sent again."""
    peer_is_anonymous: bool = False
    """Whether the peer says that its identity is in no directory (A bit)."""
    locators: tuple[LocatorView, ...] = ()
    """Of the peer."""
    announced: tuple[Address, ...] = ()
    """Ours that the peer knows, the preferred one first."""
    rtt_s: float | None = None
    """Smoothed round-trip time of control packets."""
    rekeys: int = 0
    rekeyed_s: float | None = None
    """When the present security associations took over from earlier ones."""
    is_rekeying: bool = False
    is_limited: bool = False
    """Whether data goes to an address that is not verified, within credit (RFC 8046 5.6)."""
    heartbeat: HeartbeatView = HeartbeatView()
    certificate: CertificateView | None = None
    """What the peer has shown; None when neither side shows anything."""
    quirks: Quirks = NO_QUIRKS
    """Compatibility switches in use."""

    @property
    def is_legacy(self) -> bool:
        """Whether it uses anything of old."""
        return bool(self.legacy)
