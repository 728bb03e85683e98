"""One object per pair of hosts; it holds all state there is about them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from hipgw.crypto import DhPrivateKey, HostIdentity
from hipgw.proto.association_view import AssociationView, HeartbeatView
from hipgw.proto.credentials import Credentials
from hipgw.proto.credit import Credit
from hipgw.proto.dialect import Dialect
from hipgw.proto.events import Role
from hipgw.proto.keying import Keying
from hipgw.proto.local_identity import LocalIdentity
from hipgw.proto.locators import Announced, PeerLocators
from hipgw.proto.rekey_jobs import DerivedSas, Material
from hipgw.proto.states import TRANSITIONS, State, Trigger
from hipgw.proto.update_state import Reply, Updates
from hipgw.values import WEAK_DH_GROUPS, Address, Direction, Hit, HitSuite, Path, Spi
from hipgw.wire import HIP_VERSION, Cert, EspInfo, HipPacket, HostId, LocatorRecord


@dataclass(frozen=True, slots=True, eq=False)
class HeldR1:
    """An authentic R1 that waits a moment for a better one."""

    packet: HipPacket
    path: Path
    received_s: float
    identity: HostIdentity


NO_BEAT: Final = HeartbeatView()
NOTHING: Final[frozenset[int]] = frozenset()
"""One for all: an empty set of its own would cost every idle association 216 octets."""
UNBOUND: Final[Mapping[Address, Spi]] = {}
ALL_WELL: Final[Mapping[Path, float]] = {}
"""Likewise: who has something to say puts a dictionary in their place; these stay empty."""


@dataclass(slots=True, eq=False)
class Initiation:
    """Our side of a base exchange as Initiator, from the first I1 to the R2."""

    paths: tuple[Path, ...]
    """To the peer itself."""
    started_s: float
    i1: bytes = b""
    sent_s: float = 0.0
    """When the first I1 was sent."""
    tries: int = 1
    delay_s: float = 0.0
    tried: set[HitSuite] = field(default_factory=set)
    """Suites of local identities that HIT_SUITE_LISTs have refused."""
    r1_counter: int | None = None
    """Largest counter of a verified R1."""
    r1_jobs: int = 0
    unanswered: set[Path] = field(default_factory=set)
    """Of several first I1s: where no R1 has come from yet."""
    held: HeldR1 | None = None
    answering: int = 0
    """Serial of the R1 that is being answered; a later one supersedes it."""
    is_answering: bool = False
    i2: bytes = field(default=b"", repr=False)
    peer_host_id_tlv: bytes = field(default=b"", repr=False)
    """HOST_ID of the R1 as it came, which HIP_MAC_2 covers (RFC 7401 section 5.2.13)."""
    notify_type: int | None = None
    """Of the last NOTIFY that came meanwhile."""
    wants_new_r1: bool = False
    """Whether the peer has refused our I2 and an I1 is to fetch another puzzle."""
    refusals: int = 0
    """How often that was."""
    acknowledgements: int = 0
    """I2_ACKNOWLEDGEMENTs that have come."""
    via: tuple[Path, ...] = ()
    """To rendezvous servers that forward I1s to the peer (RFC 8004)."""

    @property
    def ways(self) -> tuple[Path, ...]:
        """Where I1s go: to the peer itself first."""
        return self.paths + self.via


@dataclass(slots=True, eq=False)
class Acceptance:
    """Our side of a base exchange as Responder: what a repeated I2 is compared with."""

    i: bytes = field(repr=False)
    j: bytes = field(repr=False)
    r2: bytes = field(repr=False)
    started_s: float


@dataclass(slots=True, eq=False)
class Rekey:
    """A rekey under way, from the wish to the switch (RFC 7402 sections 6.8 to 6.10)."""

    spi_in: Spi
    reason: str
    is_answer: bool
    """Whether our ESP_INFO answers the peer's; else ours is the request, or both cross."""
    with_dh: bool
    dh: DhPrivateKey | None = field(default=None, repr=False)
    keymat_index: int = 0
    """What our ESP_INFO says."""
    is_prepared: bool = False
    """Whether our own half is settled: key drawn, index chosen."""
    update_ids: set[int] = field(default_factory=set)
    """UPDATEs of ours that carry our ESP_INFO."""
    is_acked: bool = False
    theirs: EspInfo | None = None
    their_dh: bytes | None = field(default=None, repr=False)
    replies: list[Reply] = field(default_factory=list)
    """UPDATEs of the peer that are acknowledged once the new inbound SA is there."""
    deriving: int = 0
    """Serial of the key derivation whose result counts."""
    derived: DerivedSas | None = field(default=None, repr=False)
    """Keys of the new pair; the inbound SA is installed then."""
    locators: tuple[LocatorRecord, ...] = ()
    """To be announced with it (RFC 8046 section 3.2.2)."""
    path: Path | None = None
    """Where to send it first; None for the path in use."""


@dataclass(slots=True, eq=False)
class SaPair:
    """A pair of security associations beside the one in use (RFC 8047 section 5.1)."""

    spi_in: Spi
    keymat_index: int
    """What our ESP_INFO says."""
    used_s: float
    """When data last came on it; before that, when it was asked for."""
    spi_out: Spi | None = None
    update_id: int | None = None
    """UPDATE of ours that carries our ESP_INFO."""
    is_acked: bool = False
    theirs: EspInfo | None = None
    replies: list[Reply] = field(default_factory=list)
    """UPDATEs of the peer that are acknowledged once the inbound SA is there."""
    derived: DerivedSas | None = field(default=None, repr=False)
    is_spent: bool = False
    """Whether it was in use once: it receives, and is never sent on again."""

    @property
    def is_incomplete(self) -> bool:
        """Whether it is still being made."""
        return not self.is_spent and (self.derived is None or not self.is_acked)

    @property
    def is_ready(self) -> bool:
        """Whether data may go out on it."""
        return not self.is_spent and not self.is_incomplete


@dataclass(slots=True, eq=False)
class EspState:
    """The security associations of a pair beyond the present two SPIs, and their use."""

    material: Material | None = field(default=None, repr=False)
    """What the next keys are drawn from; None as long as that is the base exchange's."""
    rekey: Rekey | None = None
    retired: dict[Spi, float] = field(default_factory=dict)
    """Inbound SAs that a rekey replaced, and when each is removed."""
    pairs: tuple[SaPair, ...] = ()
    """Pairs beside the one in use, in the order in which they came."""
    bound: Mapping[Address, Spi] = field(default_factory=lambda: UNBOUND)
    """Addresses of ours that have an inbound SPI of their own."""
    rekeys: int = 0
    rekeyed_s: float | None = None
    _octets: dict[int, int] | None = field(default=None, repr=False)
    """Inner octets carried so far; by SPI, that of an outbound SA negative."""
    last_sent_s: float | None = None
    """When data was last seen to be sent."""
    last_received_s: float | None = None
    credit: Credit = field(default_factory=Credit)
    is_limited: bool = False
    """Whether the outbound SA has a limit, which a LimitPath set."""

    @property
    def is_opening(self) -> bool:
        """Whether a pair is being made: then no rekey begins."""
        return any(pair.is_incomplete for pair in self.pairs)

    def carry(self, direction: Direction, spi: Spi, octets: int) -> int:
        """One SA has carried so many octets in all; returns how many that is more than before."""
        if self._octets is None:
            self._octets = {}
        key = spi if direction is Direction.IN else -spi
        before = self._octets.get(key, 0)
        self._octets[key] = octets
        return octets - before

    def forget(self, direction: Direction, spi: Spi) -> None:
        """One SA is gone."""
        if self._octets is not None:
            self._octets.pop(spi if direction is Direction.IN else -spi, None)


@dataclass(slots=True, eq=False)
class Heartbeat:
    """Probes sent and answered."""

    sent: int = 0
    received: int = 0
    lost: int = 0
    rtt_sum_s: float = 0.0
    rtts: int = 0
    """Answers to first copies: only those tell a round-trip time."""

    def view(self) -> HeartbeatView:
        """A snapshot."""
        mean_s = self.rtt_sum_s / self.rtts if self.rtts else None
        return HeartbeatView(self.sent, self.received, self.lost, mean_s)


@dataclass(slots=True, eq=False)
class Reach:
    """Where each side can be reached, and what is known about the ways between."""

    locators: PeerLocators | None = None
    """Of the peer; None as long as that is the address of the base exchange alone."""
    offered: tuple[LocatorRecord, ...] = ()
    """LOCATOR_SET of the peer's R1, I2 or R2, used once the base exchange is over."""
    hints: tuple[Path, ...] = ()
    """Where else our own side said the peer might be."""
    announced: Announced | None = None
    announced_s: float = 0.0
    proven: frozenset[Address] = frozenset()
    """Local addresses at which an authentic packet has arrived."""
    failed: Mapping[Path, float] = field(default_factory=lambda: ALL_WELL)
    """Paths that did not carry an UPDATE or its ACK, and since when."""
    refuge: Path | None = None
    """Where an answer came from when another path had failed; none of the others is known to work.
    """
    is_local_gone: bool = False
    """Whether the local address of the path in use has been taken away."""
    is_stranded: bool = False
    """Whether there is no pair of addresses to send between."""
    rtt_s: float | None = None
    backed_off_s: float = 0.0
    """Delay after which an answer came to an UPDATE sent again: it counts until a round trip is
    measured, or a path that has become slower would never be measured (RFC 6298 section 5)."""
    heartbeat: Heartbeat | None = None
    """None until the first probe ends."""
    shots: tuple[tuple[bytes, Path], ...] = ()
    """Copies of a packet that wait for their turn."""

    def note_failed(self, path: Path, now: float) -> None:
        """A path did not carry an UPDATE or its ACK."""
        self.failed = {**self.failed, path: now}

    def forget_failed(self, paths: Collection[Path]) -> None:
        """Paths work, or are no more."""
        if self.failed:
            left = {path: since for path, since in self.failed.items() if path not in paths}
            self.failed = left or ALL_WELL

    def sample_rtt(self, rtt_s: float) -> None:
        """Smooth one measured round trip into the estimate (RFC 6298 section 2)."""
        self.backed_off_s = 0.0
        self.rtt_s = rtt_s if self.rtt_s is None else 0.875 * self.rtt_s + 0.125 * rtt_s


@dataclass(slots=True, eq=False)
class Closing:
    """A CLOSE of ours that waits for its CLOSE_ACK (section 6.14)."""

    echo: bytes = field(repr=False)
    until_s: float
    reason: str
    delay_s: float
    octets: bytes = field(default=b"", repr=False)
    """The signed CLOSE; empty until the signature is there."""


@dataclass(slots=True, eq=False)
class Association:
    """State between one of our identities and one peer."""

    local: LocalIdentity = field(repr=False)
    peer: Hit
    dialect: Dialect
    path: Path
    role: Role
    since_s: float
    """When the present state was entered."""
    last_heard_s: float
    initiation: Initiation | None = None
    acceptance: Acceptance | None = None
    keying: Keying | None = field(default=None, repr=False)
    spi_in: Spi | None = None
    spi_out: Spi | None = None
    peer_identity: HostIdentity | None = None
    peer_host_id: HostId | None = field(default=None, repr=False)
    peer_is_anonymous: bool = False
    """Whether the peer's R1 or I2 had the A bit: its HI is in no directory, and is not stored."""
    established_s: float | None = None
    updates: Updates = field(default_factory=Updates)
    esp: EspState = field(default_factory=EspState)
    reach: Reach = field(default_factory=Reach)
    closing: Closing | None = None
    credentials: Credentials | None = None
    shown_in_r1: tuple[Cert, ...] = ()
    """CERT parameters of the R1, judged together with those of the R2."""
    agreed_r1: int = 0
    """When keys were last agreed on, or the R1 was sent that led to it: a tick of the R1 clock.

    An I2 that answers an R1 of that time or before is late: it belongs to an exchange that this
    one has overtaken, and accepting it would leave the two hosts with different keys.
    """
    verifying: frozenset[int] = NOTHING
    """Packet types whose signature is being verified: one job each is enough."""
    retransmissions: int = 0
    _state: State = State.UNASSOCIATED

    @property
    def state(self) -> State:
        """The state; only `move` changes it."""
        return self._state

    def allows(self, trigger: Trigger) -> bool:
        """Whether the state machine has a move for `trigger` here."""
        return (self._state, trigger) in TRANSITIONS

    def move(self, trigger: Trigger, now: float) -> None:
        """Take the one move that the table has for `trigger`; KeyError if it has none."""
        state = TRANSITIONS[self._state, trigger]
        if state is not self._state:
            self._state = state
            self.since_s = now

    def begin_check(self, work: int) -> None:
        """A signature is being verified."""
        self.verifying |= {work}

    def end_check(self, work: int) -> None:
        """It is no longer."""
        self.verifying = (self.verifying - {work}) or NOTHING

    def restart(self, path: Path, role: Role, now: float) -> None:
        """Forget everything of an earlier base exchange; SPIs stay for the caller to remove."""
        self.path, self.role = path, role
        self.initiation = self.acceptance = self.keying = self.closing = None
        self.peer_identity = self.peer_host_id = self.established_s = None
        self.peer_is_anonymous = False
        self.updates, self.esp, self.reach = Updates(), EspState(), Reach()
        self.credentials, self.shown_in_r1 = None, ()
        self.verifying = NOTHING
        self.retransmissions = 0
        self.last_heard_s = now

    @property
    def is_legacy(self) -> bool:
        """Whether anything of old is in use that the configuration had to allow."""
        return bool(self.legacy)

    @property
    def legacy(self) -> tuple[str, ...]:
        """What of old is in use, in words: the version, keys, the Diffie-Hellman group."""
        keying, identity = self.keying, self.peer_identity
        found = []
        if self.dialect.VERSION != HIP_VERSION:
            found.append(f"HIPv{self.dialect.VERSION}")
        if self.local.is_weak:
            found.append(f"our key {self.local.public.kind}")
        if identity is not None and identity.is_weak:
            found.append(f"the peer's key {identity.kind}")
        if keying is not None and keying.dh_group in WEAK_DH_GROUPS:
            found.append(f"group {keying.dh_group.name.replace('_', '-')}")
        return tuple(found)

    def view(self) -> AssociationView:
        """A snapshot for the operator, without secrets."""
        keying, host_id = self.keying, self.peer_host_id
        identity, reach = self.peer_identity, self.reach
        return AssociationView(
            local=self.local.hit,
            peer=self.peer,
            version=self.dialect.VERSION,
            legacy=self.legacy,
            state=self._state,
            role=self.role,
            path=self.path,
            spi_in=self.spi_in,
            spi_out=self.spi_out,
            esp_suite=None if keying is None else keying.esp_suite,
            hip_cipher=None if keying is None else keying.cipher,
            dh_group=None if keying is None else keying.dh_group,
            hit_suite=None if keying is None else keying.suite,
            peer_algorithm=None if identity is None else identity.algorithm,
            peer_di_type=0 if host_id is None else host_id.di_type,
            peer_di=b"" if host_id is None else host_id.di,
            peer_is_anonymous=self.peer_is_anonymous,
            since_s=self.since_s,
            established_s=self.established_s,
            last_heard_s=self.last_heard_s,
            retransmissions=self.retransmissions,
            locators=() if reach.locators is None else reach.locators.views(),
            announced=() if reach.announced is None else reach.announced.in_order(),
            rtt_s=reach.rtt_s,
            rekeys=self.esp.rekeys,
            rekeyed_s=self.esp.rekeyed_s,
            is_rekeying=self.esp.rekey is not None,
            is_limited=self.esp.is_limited,
            heartbeat=NO_BEAT if reach.heartbeat is None else reach.heartbeat.view(),
            certificate=None if self.credentials is None else self.credentials.view(),
            quirks=self.dialect.quirks,
        )
