"""What the operator decides for one `Endpoint`; frozen, so a reload makes a new one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Final

from hipgw.crypto import USABLE_TRANSFORMS
from hipgw.errors import LocalProtocolError
from hipgw.proto.certificate_policy import NO_CERTIFICATES, CertificatePolicy
from hipgw.values import (
    DH_GROUPS_V1_ONLY,
    ESP_SUITES_V1_ONLY,
    NO_QUIRKS,
    Address,
    DhGroup,
    EspSuite,
    HipCipher,
    HipTransform,
    Hit,
    HitSuite,
    Quirks,
)
from hipgw.wire import LIFETIME_UNBOUNDED_S

PUZZLE_PEERS_MOST: Final = 64
"""Each difficulty among them costs R1s of its own in every generation."""
_POSITIVE: Final = (
    "rekey_timeout_s",
    "sa_pair_idle_s",
    "update_tries",
    "update_retry_least_s",
    "update_rate",
    "update_burst",
    "locators_most",
    "locator_lifetime_s",
    "verify_tries",
    "verifications_most",
    "opportunistic_most",
    "opportunistic_r1_most",
    "shotgun_paths_most",
    "announce_rate",
    "announce_burst",
    "puzzle_i1_rate",
    "puzzle_i2_rate",
    "half_open_most",
    "unproven_most",
)
_USABLE_V1: Final[dict[str, frozenset[IntEnum]]] = {
    "v1_dh_groups": DH_GROUPS_V1_ONLY | {DhGroup.MODP_1536, DhGroup.MODP_3072},
    "v1_transforms": frozenset(USABLE_TRANSFORMS),
    "v1_esp_suites": ESP_SUITES_V1_ONLY,
}
_NOT_NEGATIVE: Final = (
    "rekey_s",
    "rekey_octets",
    "rekey_packets",
    "sa_grace_s",
    "sa_hold_s",
    "recheck_s",
    "heartbeat_s",
    "r1_wait_most_s",
    "shotgun_pace_s",
    "puzzle_step_s",
    "puzzle_calm_s",
    "unproven_least_s",
)


def rendezvous_of_nobody(_peer: Hit) -> Sequence[Address]:
    """The default: no peer has a rendezvous server that we know of."""
    return ()


class IcmpReplies(Enum):
    """Which ICMP messages of RFC 7401 section 5.4 are sent."""

    OFF = "off"
    SHOULD = "should"
    """A version that is not ours; over IPv6 also a puzzle that is not solved."""
    MAY = "may"
    """Also what the RFC leaves to us."""


def permit_everyone(peer: Hit) -> bool:
    """The default policy: any peer may have an association."""
    return not peer.is_null


def is_nobody(_peer: Hit) -> bool:
    """The default: no peer may use algorithms of old."""
    return False


def is_never() -> bool:
    """The default: HIPv1 is not spoken."""
    return False


def has_no_quirks(_peer: Hit) -> Quirks:
    """The default: every peer is taken to follow the RFCs."""
    return NO_QUIRKS


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """Preferences (most preferred first), timers (seconds) and ceilings of an endpoint."""

    # Groups that `hipgw.crypto.usable_dh_groups` leaves out must not be named.
    dh_groups: tuple[DhGroup, ...] = (
        DhGroup.NIST_P256,
        DhGroup.NIST_P384,
        DhGroup.NIST_P521,
        DhGroup.MODP_3072,
    )
    hip_ciphers: tuple[HipCipher, ...] = (HipCipher.AES_128_CBC, HipCipher.AES_256_CBC)
    esp_suites: tuple[EspSuite, ...] = (
        EspSuite.AES_GCM_16,
        EspSuite.AES_128_CBC_HMAC_SHA256,
        EspSuite.AES_256_CBC_HMAC_SHA256,
    )
    hit_suites: tuple[HitSuite, ...] = (
        HitSuite.ECDSA_SHA384,
        HitSuite.RSA_DSA_SHA256,
        HitSuite.EDDSA_CSHAKE128,
    )
    """Suites of peers that we accept, sent as HIT_SUITE_LIST."""
    permits: Callable[[Hit], bool] = permit_everyone
    """Whether a peer may have an association with us; asked after a solved puzzle."""
    rendezvous_of: Callable[[Hit], Sequence[Address]] = rendezvous_of_nobody
    """Rendezvous servers of a peer, to which UPDATEs go as well when the direct ways are silent."""
    is_legacy: Callable[[Hit], bool] = is_nobody
    """Whether a peer may use what is of old: HIPv1, DSA, RSA below 2048 bits, weak groups; asked
    for every packet."""
    speaks_v1: Callable[[], bool] = is_never
    """Whether there may be such a peer, so that R1s of HIPv1 are made; asked for each generation.
    """
    v1_dh_groups: tuple[DhGroup, ...] = (DhGroup.MODP_3072, DhGroup.MODP_1536)
    """For HIPv1, most preferred first; an R1 has the first two (RFC 5201 section 5.2.6)."""
    v1_transforms: tuple[HipTransform, ...] = (
        HipTransform.AES_128_CBC_HMAC_SHA1,
        HipTransform.TRIPLE_DES_CBC_HMAC_SHA1,
    )
    v1_esp_suites: tuple[EspSuite, ...] = (
        EspSuite.V1_AES_128_CBC_HMAC_SHA1,
        EspSuite.V1_TRIPLE_DES_CBC_HMAC_SHA1,
    )
    compatibility: Callable[[Hit], Quirks] = has_no_quirks
    """Where a peer is known to leave the RFCs, and is followed; asked for every packet."""
    extended_peers: frozenset[Hit] = frozenset()
    """Peers whose next keys come with sequence numbers of 64 bits (RFC 7402 section 3.3.6); HIP has
    no way to agree on it, so they must be set up for it as well."""
    answer_opportunistic: bool = False
    """Whether an I1 to the NULL HIT gets an R1 (RFC 7401 section 4.1.8)."""
    accept_anonymous: bool = True
    """Whether a peer may be anonymous: an Initiator, or a Responder that we asked for by address
    (RFC 7401 sections 5.1.2, 6.8)."""
    opportunistic_most: int = 64
    """I1s to the NULL HIT that may wait for R1s at the same time."""
    opportunistic_r1_most: int = 4
    """R1s that are verified for one of those: anyone may send one."""
    r1_wait_most_s: float = 0.1
    """How long, at most, a first R1 waits for a better one after I1s to several addresses
    (RFC 7401 sections 6.6.1, 6.8); otherwise for twice its own round trip; 0 never waits."""
    domain_identifier_type: int = 0
    """DI type of our HOST_IDs: 0 none, 1 FQDN in wire form, 2 NAI (RFC 7401 section 5.2.9)."""
    domain_identifier: bytes = b""

    # Puzzle and R1 (RFC 7401 sections 4.1.1, 4.1.2)
    puzzle_k: int = 0
    """K of our puzzles, or the least with `puzzle_auto`."""
    puzzle_auto: bool = False
    """Whether K follows the load, from `puzzle_k` to `puzzle_k_ceiling`."""
    puzzle_k_ceiling: int = 16
    puzzle_i1_rate: float = 1000.0
    """I1s per second at which K begins to rise."""
    puzzle_i2_rate: float = 100.0
    """I2s with a solved puzzle per second likewise."""
    puzzle_step_s: float = 5.0
    """Least time between two changes of K: each costs new R1s."""
    puzzle_calm_s: float = 30.0
    """How long the load must be low before K falls."""
    puzzle_k_most: int = 22
    """Largest K that we solve."""
    puzzle_ks: Mapping[Hit, int] = field(default_factory=dict)
    """K of the puzzles for single peers, whatever `puzzle_k` and the load say; not to be changed.
    """
    puzzle_lifetime: int = 39
    """Lifetime field: 2^(value - 32) seconds."""
    puzzle_tries: int = 131_072
    """J values tried in one job: below 50 ms with SHA-384, which finds 3 million a second."""
    r1_period_s: float = 300.0
    """How long one secret, its Diffie-Hellman keys and its R1s are offered."""
    r1_counter: int = 0
    """The R1 generation counter last stored (StoreR1Counter)."""

    # Retransmission (section 4.4.4; values of ours)
    retry_first_s: float = 0.5
    retry_most_s: float = 8.0
    retry_jitter: float = 0.1
    """Share of the delay by which a retransmission may be late."""
    tries: int = 6
    """Times an I1 or I2 is sent before E-FAILED."""
    close_retry_most_s: float = 64.0
    i2_acknowledged_s: float = 4.0
    """How long an I2 is not sent again once the peer says that it has queued it."""
    i1_paths_most: int = 3
    """Paths that the first I1 takes at once (section 6.6.1)."""

    # Life of an association
    exchange_complete_s: float = 30.0
    ual_s: float = 900.0
    """Unused Association Lifetime; 0 keeps idle associations for ever."""
    msl_s: float = 120.0
    failed_hold_s: float = 20.0
    failed_hold_most_s: float = 320.0
    """E-FAILED lasts twice as long after each exchange with a peer that fails, up to this."""

    # Rekey (RFC 7402 sections 6.8 to 6.10, 3.3.7); a limit of 0 is none
    rekey_s: float = 3600.0
    """Age of a pair of security associations at which it is replaced."""
    rekey_octets: int = 0
    """Inner octets of one security association after which its pair is replaced."""
    rekey_packets: int = 3 << 30
    """Packets likewise, without extended sequence numbers, where ESP ends at 2^32."""
    rekey_with_dh: bool = False
    """Whether our rekeys, and our answers to the peer's, hold a new Diffie-Hellman key."""
    rekey_on_move: bool = False
    """Whether new locators are announced together with a rekey (RFC 8046 section 3.2.2)."""
    sa_pair_idle_s: float = 300.0
    """How long a further pair of security associations (RFC 8047) may be unused."""
    rekey_timeout_s: float = 60.0
    """How long a rekey may wait for the peer's half before it is given up."""
    sa_grace_s: float = 5.0
    """How long a replaced inbound SA stays once the peer is known to use the new one."""
    sa_hold_s: float = 120.0
    """How long it stays when that is not known."""

    # UPDATE (RFC 7401 section 6.11): first repetition after twice the round-trip time, or after
    # `retry_first_s` as long as that is not known
    update_tries: int = 8
    """Times an UPDATE is sent before CLOSING (UPDATE_RETRY_MAX)."""
    update_retry_least_s: float = 0.1
    update_rate: float = 20.0
    """New UPDATEs of one peer that are worked on, per second."""
    update_burst: float = 40.0

    # Locators (RFC 8046, 8047)
    announce_locators: bool = False
    """Whether R1, I2 and R2 hold our locators; UPDATEs always do."""
    locators_most: int = 16
    """Locators kept per peer, and announced to it."""
    locator_lifetime_s: int = LIFETIME_UNBOUNDED_S
    """Lifetime of our locators; a finite one is renewed after two thirds of it."""
    announce_rate: float = 250.0
    """Peers told of changed addresses per second, those that data goes to first."""
    announce_burst: float = 64.0
    """Peers told at once."""
    verify_tries: int = 5
    """Times an address of a peer is asked for an echo."""
    verifications_most: int = 4
    """Addresses of one peer that are asked at the same time."""
    recheck_s: float = 60.0
    """How often the best path is tried again while another one is in use; 0 is never."""

    # Heartbeat: an UPDATE when data is sent and nothing comes back; 0 is off
    heartbeat_s: float = 0.0
    heartbeat_always: bool = False
    """Whether silence alone, without data of ours, is reason enough."""

    # Shotgun: I1s and UPDATEs over all pairs of addresses, one after the other
    shotgun: bool = False
    shotgun_pace_s: float = 0.02
    """Between two copies of a packet on different paths."""
    shotgun_paths_most: int = 16

    certificates: CertificatePolicy = NO_CERTIFICATES
    """Own certificates, trusted authorities, and whom certificates are required of."""

    # Ceilings (rates in packets per second)
    associations_most: int = 100_000
    half_open_most: int = 256
    half_open_per_source: int = 16
    unproven_most: int = 16_384
    """Associations whose peer has sent nothing but a good I2; above, the oldest give way."""
    unproven_least_s: float = 2.0
    """Age below which they do not."""
    solutions_most: int = 65_536
    """Used puzzle solutions remembered of one R1 generation; then a new one begins."""
    r1_rate: float = 5000.0
    r1_burst: float = 5000.0
    r1_source_rate: float = 20.0
    r1_source_burst: float = 40.0
    reply_rate: float = 200.0
    """NOTIFYs, repeated acknowledgements and verifications of NOTIFYs, all peers together."""
    reply_burst: float = 200.0
    reply_source_rate: float = 2.0
    reply_source_burst: float = 5.0
    icmp_replies: IcmpReplies = IcmpReplies.SHOULD
    """Which bad packets of strangers are answered with ICMP (section 5.4)."""
    icmp_rate: float = 10.0
    icmp_burst: float = 10.0
    icmp_source_rate: float = 1.0
    icmp_source_burst: float = 2.0
    sources_most: int = 16_384
    """Sources remembered by each rate limiter."""

    def __post_init__(self) -> None:
        for name in ("dh_groups", "hip_ciphers", "esp_suites", "hit_suites"):
            if not getattr(self, name):
                raise LocalProtocolError(f"{name} is empty: name at least one")
        for name in ("hip_ciphers", "esp_suites"):
            if len(getattr(self, name)) > 6:
                raise LocalProtocolError(f"{name} holds more than 6 suites (RFC 7401 5.2.8)")
        self._check_v1()
        self._check_upkeep()
        if not 0 <= self.puzzle_k <= 255:
            raise LocalProtocolError(f"puzzle_k is {self.puzzle_k}: expected 0 to 255")
        if len(self.puzzle_ks) > PUZZLE_PEERS_MOST:
            raise LocalProtocolError(
                f"{len(self.puzzle_ks)} peers with puzzles of their own: expected at most "
                f"{PUZZLE_PEERS_MOST}"
            )
        if not all(0 <= k <= 255 for k in self.puzzle_ks.values()):
            raise LocalProtocolError("puzzle_ks: expected 0 to 255 for each peer")
        if not 0 <= self.puzzle_k_ceiling <= 64:
            raise LocalProtocolError(f"puzzle_k_ceiling is {self.puzzle_k_ceiling}: expected 0-64")
        if not 0 <= self.puzzle_k_most <= 64:
            raise LocalProtocolError(f"puzzle_k_most is {self.puzzle_k_most}: expected 0 to 64")
        if len(self.domain_identifier) > 255:
            raise LocalProtocolError("domain_identifier has more than 255 octets")
        if not 32 <= self.puzzle_lifetime <= 63:
            raise LocalProtocolError(f"puzzle_lifetime is {self.puzzle_lifetime}: expected 32-63")
        if self.r1_period_s < self.puzzle_lifetime_s:
            raise LocalProtocolError(
                f"r1_period_s {self.r1_period_s} is below the puzzle lifetime "
                f"{self.puzzle_lifetime_s} s: a valid solution would be refused"
            )

    def _check_v1(self) -> None:
        for name, usable in _USABLE_V1.items():
            chosen = getattr(self, name)
            unusable = [one.name for one in chosen if one not in usable]
            if unusable or not 1 <= len(chosen) <= 6:
                raise LocalProtocolError(
                    f"{name}: expected 1 to 6 of {', '.join(sorted(one.name for one in usable))},"
                    f" found {', '.join(unusable) or len(chosen)}"
                )

    def _check_upkeep(self) -> None:
        for name in _POSITIVE:
            if getattr(self, name) <= 0:
                raise LocalProtocolError(f"{name} is {getattr(self, name)}: expected more than 0")
        for name in _NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise LocalProtocolError(f"{name} is {getattr(self, name)}: expected 0 or more")
        if self.locator_lifetime_s > LIFETIME_UNBOUNDED_S:
            raise LocalProtocolError(f"locator_lifetime_s is above {LIFETIME_UNBOUNDED_S}")

    @property
    def puzzle_lifetime_s(self) -> float:
        """Seconds that a puzzle of ours stays valid."""
        return puzzle_lifetime_s(self.puzzle_lifetime)


def puzzle_lifetime_s(field: int) -> float:
    """Seconds that the Lifetime field of a PUZZLE means (RFC 7401 section 5.2.4)."""
    return float(2.0 ** (field - 32))
