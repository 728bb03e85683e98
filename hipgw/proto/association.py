"""One object per pair of hosts; it holds all state there is about them."""

from __future__ import annotations

from dataclasses import dataclass, field

from hipgw.crypto import HostIdentity, PrivateHostIdentity
from hipgw.proto.events import Role
from hipgw.proto.jobs import Keying
from hipgw.proto.states import TRANSITIONS, State, Trigger
from hipgw.values import (
    DhGroup,
    EspSuite,
    HiAlgorithm,
    HipCipher,
    Hit,
    HitSuite,
    Path,
    Spi,
)
from hipgw.wire import HostId


@dataclass(slots=True, eq=False)
class Initiation:
    """Our side of a base exchange as Initiator, from the first I1 to the R2."""

    paths: tuple[Path, ...]
    started_s: float
    i1: bytes = b""
    tries: int = 1
    delay_s: float = 0.0
    tried: set[HitSuite] = field(default_factory=set)
    """Suites of local identities that HIT_SUITE_LISTs have refused."""
    r1_counter: int | None = None
    """Largest counter of a verified R1."""
    r1_jobs: int = 0
    answering: int = 0
    """Serial of the R1 that is being answered; a later one supersedes it."""
    is_answering: bool = False
    i2: bytes = field(default=b"", repr=False)
    peer_host_id_tlv: bytes = field(default=b"", repr=False)
    """HOST_ID of the R1 as it came, which HIP_MAC_2 covers (RFC 7401 section 5.2.13)."""
    notify_type: int | None = None


@dataclass(slots=True, eq=False)
class Acceptance:
    """Our side of a base exchange as Responder: what a repeated I2 is compared with."""

    i: bytes = field(repr=False)
    j: bytes = field(repr=False)
    r2: bytes = field(repr=False)
    started_s: float


@dataclass(slots=True, eq=False)
class Updates:
    """Update IDs of one association (RFC 7401 sections 6.11, 6.12)."""

    last_seen: int | None = None
    """Largest SEQ that we acknowledged, in circular order."""
    in_work: set[int] = field(default_factory=set)
    last_answer: bytes = field(default=b"", repr=False)
    """The UPDATE that acknowledged `last_seen`; sent again when that SEQ comes again."""
    outstanding: set[int] = field(default_factory=set)
    """Our own SEQs without an ACK; nothing of this version sends any."""


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

    local: PrivateHostIdentity = field(repr=False)
    peer: Hit
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
    established_s: float | None = None
    updates: Updates = field(default_factory=Updates)
    closing: Closing | None = None
    agreed_r1: int = 0
    """R1s sent when keys were last agreed on.

    An I2 that answers one of those is late: it belongs to an exchange that this one has overtaken,
    and accepting it would leave the two hosts with different keys.
    """
    verifying: set[int] = field(default_factory=set)
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

    def restart(self, path: Path, role: Role, now: float) -> None:
        """Forget everything of an earlier base exchange; SPIs stay for the caller to remove."""
        self.path, self.role = path, role
        self.initiation = self.acceptance = self.keying = self.closing = None
        self.peer_identity = self.peer_host_id = self.established_s = None
        self.updates = Updates()
        self.verifying = set()
        self.retransmissions = 0
        self.last_heard_s = now

    def view(self) -> AssociationView:
        """A snapshot for the operator, without secrets."""
        keying, host_id = self.keying, self.peer_host_id
        identity = self.peer_identity
        return AssociationView(
            local=self.local.hit,
            peer=self.peer,
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
            since_s=self.since_s,
            established_s=self.established_s,
            last_heard_s=self.last_heard_s,
            retransmissions=self.retransmissions,
        )


@dataclass(frozen=True, slots=True)
class AssociationView:
    """What an operator may see of an association; times are those of the injected clock."""

    local: Hit
    peer: Hit
    state: State
    role: Role
    path: Path
    spi_in: Spi | None
    spi_out: Spi | None
    esp_suite: EspSuite | None
    hip_cipher: HipCipher | None
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
    """I1s, I2s, R2s and CLOSEs that were sent again."""
