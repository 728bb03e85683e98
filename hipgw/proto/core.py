"""What every part of the engine shares: tables, timers, and the way out for effects and events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Final

from hipgw.crypto import PrivateHostIdentity
from hipgw.errors import LocalProtocolError
from hipgw.proto.association import Association
from hipgw.proto.config import EndpointConfig
from hipgw.proto.dialects import Dialects
from hipgw.proto.effects import AbandonJob, ClaimI1s, Compute, Effect, JobId, SendDatagram
from hipgw.proto.events import Closed, Established, Event, Failed, IdentityGone, PeerIsAnonymous
from hipgw.proto.jobs import Job
from hipgw.proto.limits import FailureMemory, SourceLimiter
from hipgw.proto.local_identity import LocalIdentity
from hipgw.proto.locators import LocalAddress
from hipgw.proto.own_identities import IdentityTraits
from hipgw.proto.puzzle_nonce import R1Clock
from hipgw.proto.refusals import DroppedPacket
from hipgw.proto.sa_ledger import SaLedger
from hipgw.proto.states import State, Trigger
from hipgw.proto.timers import TimerHeap
from hipgw.proto.unproven import Unproven
from hipgw.values import Encapsulation, Hit, Path
from hipgw.values.reasons import CONTROL_REASONS
from hipgw.wire import HIP_VERSION, PacketType, with_checksum

NO_TRAITS: Final[Mapping[Hit, IdentityTraits]] = MappingProxyType({})
JobEnd = Callable[[object, float], None]
"""Takes the result of a job and the time it came back."""


class TimerKind(Enum):
    """What a deadline is for."""

    __hash__ = object.__hash__  # members are single; that of Enum is Python and hashes the name

    RETRY = "send again"
    LIFE = "end of the present state: Exchange-Complete, UAL, CLOSED, E-FAILED"
    R1 = "new R1s"
    PUZZLE = "does the load allow easier puzzles"
    UPDATE = "send UPDATEs again"
    REKEY = "age of the SAs; while they are replaced, how long that may take"
    RETIRE = "remove replaced inbound SAs"
    LOCATORS = "a locator of the peer expires, or ours want renewing"
    HEARTBEAT = "is the peer still there"
    RECHECK = "try a better path again"
    CERTIFICATES = "the rest of a group of certificates is late, or a chain ends"
    PACE = "next copy of a packet on another path"
    R1_WAIT = "answer the best R1 of those that came"
    PAIRS = "further pairs of SAs: unanswered, unused"
    ANNOUNCE = "tell the next peers where we are"


TimerKey = tuple[Association | None, TimerKind]
_SENT: Final = {int(kind): f"{kind.name.lower()}_sent" for kind in PacketType}


class Core:
    """Tables and outlets of one endpoint; knows no packet layout and no protocol step."""

    def __init__(
        self,
        identities: Sequence[PrivateHostIdentity],
        config: EndpointConfig,
        randomness: Callable[[int], bytes],
        now: float,
        traits: Mapping[Hit, IdentityTraits] = NO_TRAITS,
    ) -> None:
        if not identities:
            raise LocalProtocolError("an endpoint needs at least one host identity")
        self.dialects = Dialects(config)
        self.identities: Final[dict[Hit, LocalIdentity]] = {}
        """Ours by HIT, each once per HIP version that has a HIT for it; the default one first."""
        self.config = config
        """Replaced as a whole by `reconfiguring`; nobody keeps a part of it."""
        self.puzzle_k = config.puzzle_k
        """Difficulty of our next R1s."""
        self.answers_opportunistic = config.answer_opportunistic
        """Whether an I1 to the NULL HIT gets an R1; the operator may change it."""
        self._traits: Final[dict[Hit, IdentityTraits]] = {}
        self._usual_traits = IdentityTraits(
            di_type=config.domain_identifier_type, di=config.domain_identifier
        )
        self._retired: Final[set[Hit]] = set()
        self.certificates = config.certificates
        for key in identities:
            self.add_identity(key, traits.get(key.hit))
        self.randomness: Final = randomness
        self.associations: Final[dict[tuple[Hit, Hit], Association]] = {}
        self.timers: Final[TimerHeap[TimerKey]] = TimerHeap()
        self.counters: Final = dict.fromkeys(CONTROL_REASONS, 0)
        self.latest_drops: Final[dict[str, DroppedPacket]] = {}
        """By reason, where the sender is known."""
        self.activity: Final[dict[str, int]] = {}
        self.effects: list[Effect] = []
        self.events: list[Event] = []
        self.sas: Final = SaLedger(
            randomness, self._add_effect, lambda peer: peer in self.config.extended_peers
        )
        self.local_addresses: tuple[LocalAddress, ...] | None = None
        """Ours, best first; None as long as nobody has told."""
        self.when_established: list[Callable[[Association, float], None]] = []
        self.unproven: Final = Unproven()
        self.failures: Final = FailureMemory(config.sources_most)
        self.unwanted: Final[set[Association]] = set()
        """Associations in I2-SENT that the operator wants closed once their keys are agreed on."""
        self.r1_clock: Final = R1Clock()
        self.reply_limit: Final = SourceLimiter(
            rate=config.reply_rate,
            burst=config.reply_burst,
            source_rate=config.reply_source_rate,
            source_burst=config.reply_source_burst,
            sources_most=config.sources_most,
            now=now,
        )
        self._jobs: Final[dict[JobId, JobEnd]] = {}
        self._job_serial = 0
        self._serial = 0

    # --- our identities ---

    def traits_of(self, hit: Hit) -> IdentityTraits:
        """How one of our identities shows itself."""
        return self._traits.get(hit, self._usual_traits)

    def offered(self, version: int = HIP_VERSION) -> list[LocalIdentity]:
        """Identities for new associations, the default one first; not those on their way out."""
        return [one for one in self.identities_of(version) if one.hit not in self._retired]

    def _names_of(self, key: PrivateHostIdentity) -> list[LocalIdentity]:
        """A key under the HIT of each HIP version that has one for it."""
        return [
            LocalIdentity.of(key, dialect.VERSION)
            for dialect in self.dialects.known
            if dialect.can_name(key)
        ]

    def is_retired(self, hit: Hit) -> bool:
        """Whether an identity of ours is on its way out."""
        return hit in self._retired

    def add_identity(self, identity: PrivateHostIdentity, traits: IdentityTraits | None) -> None:
        """One more identity, or one on its way out that stays."""
        for local in self._names_of(identity):
            self._retired.discard(local.hit)
            self.identities[local.hit] = local
            if traits is not None:
                self._traits[local.hit] = traits

    def show(self, traits: Mapping[Hit, IdentityTraits]) -> bool:
        """Identities of ours show themselves so from now on; whether that is another way."""
        before = dict(self._traits)
        for hit, shown in traits.items():
            if hit in self.identities:
                names = self._names_of(self.identities[hit].key)
                self._traits.update(dict.fromkeys((one.hit for one in names), shown))
        return self._traits != before

    def retire_identity(self, hit: Hit) -> None:
        """Offer an identity no more; it goes with its last association."""
        self._retired.update(local.hit for local in self._names_of(self.identities[hit].key))
        self._drop_retired(hit)

    def _drop_retired(self, hit: Hit) -> None:
        if hit not in self._retired:
            return
        key = self.identities[hit].key
        names = {local.hit for local in self._names_of(key)}
        if any(local in names for local, _ in self.associations):
            return
        for name in names:
            self._retired.discard(name)
            self._traits.pop(name, None)
            del self.identities[name]
        self.events.append(IdentityGone(key.hit))

    def take_config(self, config: EndpointConfig) -> None:
        """Go on with another configuration; a switch that it does not change stays where it is."""
        if config.answer_opportunistic != self.config.answer_opportunistic:
            self.answers_opportunistic = config.answer_opportunistic
        self.config = config
        self.dialects = Dialects(config)
        self._usual_traits = IdentityTraits(
            di_type=config.domain_identifier_type, di=config.domain_identifier
        )

    # --- accounting ---

    def drop(self, reason: str) -> None:
        """Count one packet that goes no further."""
        self.counters[reason] += 1

    def note(self, what: str) -> None:
        """Count something that is not a drop."""
        self.activity[what] = self.activity.get(what, 0) + 1

    def next_serial(self) -> int:
        """A number larger than any before."""
        self._serial += 1
        return self._serial

    # --- randomness ---

    def jitter(self, delay_s: float) -> float:
        """`delay_s`, late by a random share, so that two hosts do not stay in step."""
        share = int.from_bytes(self.randomness(2), "big") / 65535
        return delay_s * (1.0 + self.config.retry_jitter * share)

    # --- outlets ---

    def transmit(self, octets: bytes, path: Path) -> None:
        """Send a finished packet; the checksum needs the addresses, so it is made here (5.1.1)."""
        if path.encapsulation is Encapsulation.RAW:
            octets = with_checksum(octets, path.local, path.peer)
        self.note(_SENT[octets[2] & 0x7F])
        self.effects.append(SendDatagram(octets, path))

    def _add_effect(self, effect: Effect) -> None:
        self.effects.append(effect)

    def compute(self, job: Job, then: JobEnd) -> JobId:
        """Have `job` run elsewhere; `then` gets its result."""
        self._job_serial += 1
        job_id = JobId(self._job_serial)
        self._jobs[job_id] = then
        self.effects.append(Compute(job_id, job))
        return job_id

    def abandon(self, job_id: JobId) -> None:
        """Nobody waits for this job any more."""
        if self._jobs.pop(job_id, None) is not None:
            self.effects.append(AbandonJob(job_id))

    def end_of_job(self, job_id: JobId) -> JobEnd | None:
        """Take what was to happen after a job; None when nobody waits for it."""
        return self._jobs.pop(job_id, None)

    # --- associations ---

    def find(self, local: Hit, peer: Hit) -> Association | None:
        """The association of a pair, or None."""
        return self.associations.get((local, peer))

    def pair(self, peer: Hit, local: Hit | None) -> tuple[LocalIdentity, Association | None]:
        """Which of us speaks to `peer`: the one named, else the one that does, else the first fit.

        Raises:
            KeyError: `local` is not ours.
        """
        if local is not None:
            return self.identities[local], self.find(local, peer)
        best: Association | None = None
        for hit in self.identities:
            association = self.find(hit, peer)
            if association is not None and (best is None or association.state is State.ESTABLISHED):
                best = association
        if best is not None:
            return best.local, best
        for candidate in self.offered(peer.version):
            if candidate.is_weak and not self.config.is_legacy(peer):
                continue
            return candidate, None
        return self.offered()[0], None

    def note_anonymity(self, association: Association, *, is_anonymous: bool) -> None:
        """Keep whether the peer's R1 or I2 had the A bit, and tell if so."""
        association.peer_is_anonymous = is_anonymous
        if is_anonymous:
            self.events.append(PeerIsAnonymous(association.local.hit, association.peer))

    def identities_of(self, version: int) -> list[LocalIdentity]:
        """Ours that have a HIT of a HIP version, the default one first."""
        return [local for local in self.identities.values() if local.version == version]

    def has_room(self) -> bool:
        """Whether one more association is below the ceiling."""
        return len(self.associations) < self.config.associations_most

    def add(self, association: Association) -> None:
        """Put a new association into the table."""
        self.associations[association.local.hit, association.peer] = association
        self.effects.append(ClaimI1s(association.local.hit, association.peer, is_claimed=True))

    def _take_out(self, association: Association) -> None:
        pair = association.local.hit, association.peer
        if self.associations.get(pair) is association:
            del self.associations[pair]
            self.effects.append(ClaimI1s(*pair, is_claimed=False))

    def change_local(self, association: Association, local: LocalIdentity) -> None:
        """Go on under another identity of ours."""
        before = association.local.hit
        self._take_out(association)
        association.local = local
        self.add(association)
        self._drop_retired(before)

    def discard(self, association: Association) -> None:
        """Forget an association that has become UNASSOCIATED, SAs and timers included."""
        self.sas.remove_all(association)
        self.cancel_timers(association)
        self.unwanted.discard(association)
        self.unproven.forget(association)
        association.keying = association.initiation = association.acceptance = None
        association.closing = None
        self._take_out(association)
        self._drop_retired(association.local.hit)

    # --- timers and moves that several parts share ---

    def arm(self, association: Association, kind: TimerKind, now: float, delay_s: float) -> None:
        """Set or move one of the association's timers."""
        self.timers.set((association, kind), now + delay_s)

    def cancel_timers(
        self, association: Association, kinds: Iterable[TimerKind] = tuple(TimerKind)
    ) -> None:
        """Stop timers of an association."""
        for kind in kinds:
            self.timers.cancel((association, kind))

    def establish(self, association: Association, trigger: Trigger, now: float) -> None:
        """Move to ESTABLISHED; its SAs are installed already."""
        started_s = now
        if association.initiation is not None:
            started_s = association.initiation.started_s
        elif association.acceptance is not None:
            started_s = association.acceptance.started_s
        association.move(trigger, now)
        self.failures.forget(association.peer)
        association.initiation = association.acceptance = association.closing = None
        association.established_s = association.last_heard_s = now
        self.cancel_timers(association)
        if self.config.ual_s:
            self.arm(association, TimerKind.LIFE, now, self.config.ual_s)
        keying, spi_in, spi_out = association.keying, association.spi_in, association.spi_out
        if keying is None or spi_in is None or spi_out is None:
            return
        self.events.append(
            Established(
                association.local.hit,
                association.peer,
                association.path,
                association.role,
                spi_in,
                spi_out,
                keying.esp_suite,
                keying.cipher,
                keying.dh_group,
                now - started_s,
            )
        )
        for tell in self.when_established:
            tell(association, now)

    def fail(self, association: Association, trigger: Trigger, reason: str, now: float) -> None:
        """Give up a base exchange of ours: E-FAILED, or away at once if the table says so."""
        notify_type = None
        if association.initiation is not None:
            notify_type = association.initiation.notify_type
        self.events.append(Failed(association.local.hit, association.peer, reason, notify_type))
        association.move(trigger, now)
        if association.state is State.UNASSOCIATED:
            self.discard(association)
            return
        self.sas.remove_all(association)
        self.cancel_timers(association)
        self.unwanted.discard(association)
        association.initiation = association.keying = None
        failures = self.failures.count(association.peer)
        hold_s = self.config.failed_hold_s * 2.0 ** (failures - 1)
        hold_s = min(hold_s, max(self.config.failed_hold_s, self.config.failed_hold_most_s))
        self.arm(association, TimerKind.LIFE, now, hold_s)

    def end(self, association: Association, trigger: Trigger, now: float) -> None:
        """Move to UNASSOCIATED and forget."""
        association.move(trigger, now)
        self.discard(association)

    def closed(self, association: Association, reason: str) -> None:
        """Tell the operator that an association has ended."""
        self.events.append(Closed(association.local.hit, association.peer, reason))
