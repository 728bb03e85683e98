"""The Initiator up to its I2: I1, and R1 to I2 (RFC 7401 sections 6.6, 6.8).

Nothing of an R1 is used before its HIP_SIGNATURE_2 is verified; what is read earlier can only lead
to a drop.  The R2 is the business of `concluder`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from hipgw.crypto import HostIdentity
from hipgw.proto.announcing import exchange_locators
from hipgw.proto.association import NOTHING, Association, HeldR1, Initiation
from hipgw.proto.certificate_check import MISSING, REFUSED
from hipgw.proto.certificate_offers import note_sent, offer_for
from hipgw.proto.core import Core, JobEnd, TimerKind
from hipgw.proto.dialect import Dialect
from hipgw.proto.events import Role
from hipgw.proto.initiator_jobs import AnsweredR1, AnswerR1, PuzzleUnsolved, VerifyR1
from hipgw.proto.keying import Proposal
from hipgw.proto.locators import listed
from hipgw.proto.negotiation import UnacceptableError
from hipgw.proto.notifying import Notifier
from hipgw.proto.r1_choice import R1Choice
from hipgw.proto.refusals import Refused, RefusedError
from hipgw.proto.shotgun import Shotgun
from hipgw.proto.states import State, Trigger
from hipgw.values import NotifyType, Path, Spi
from hipgw.wire import (
    CONTROL_ANONYMOUS,
    Cert,
    EchoRequestSigned,
    EchoRequestUnsigned,
    HipPacket,
    HipSignature2,
    HostId,
    LocatorRecord,
    LocatorSet,
    PacketType,
    ParameterType,
    Puzzle,
    R1Counter,
    find_tlv,
)

R1_JOBS_MOST: Final = 2
"""R1s of one peer that are verified at the same time; anyone can send more."""
IV_OCTETS: Final = 16
REFUSALS: Final[dict[int, str]] = {
    NotifyType.CREDENTIALS_REQUIRED: MISSING,
    NotifyType.INVALID_CERTIFICATE: REFUSED,
}
"""NOTIFYs of a Responder after which sending the same I2 again is of no use."""


@dataclass(frozen=True, slots=True, eq=False)
class ReceivedR1:
    """An R1 and the I1 it answers."""

    association: Association
    initiation: Initiation
    packet: HipPacket
    path: Path
    received_s: float

    @property
    def counter(self) -> int:
        """R1_COUNTER, 0 without one: it is optional (section 5.2.3)."""
        parameter = self.packet.get(R1Counter)
        return 0 if parameter is None else parameter.counter

    @property
    def locators(self) -> tuple[LocatorRecord, ...]:
        """Of its LOCATOR_SETs, which its signature covers."""
        return tuple(record for one in self.packet.all(LocatorSet) for record in one.locators)

    @property
    def is_wanted(self) -> bool:
        """Whether the exchange that it belongs to is still the one under way."""
        return self.association.initiation is self.initiation and self.association.allows(
            Trigger.R1_VALID
        )


@dataclass(frozen=True, slots=True, eq=False)
class VerifiedR1:
    """An authentic R1 and what its answer is to be made of."""

    r1: ReceivedR1
    serial: int
    identity: HostIdentity
    proposal: Proposal
    spi_in: Spi
    path: Path
    """Where the I2 goes."""

    @property
    def is_wanted(self) -> bool:
        """Whether no later R1 has taken over."""
        return self.r1.is_wanted and self.r1.initiation.answering == self.serial

    @property
    def deadline_s(self) -> float:
        """When the puzzle expires (section 6.8 step 12)."""
        return self.r1.received_s + self.r1.packet.require(Puzzle).lifetime_s


class Initiator:
    """Starts base exchanges and answers R1s."""

    def __init__(self, core: Core, notifier: Notifier, shotgun: Shotgun) -> None:
        self._core: Final = core
        self._shotgun: Final = shotgun
        self._choice: Final = R1Choice(core)
        self._notifier: Final = notifier

    # --- I1 ---

    def begin(
        self,
        association: Association,
        paths: Sequence[Path],
        now: float,
        *,
        via: Sequence[Path] = (),
    ) -> None:
        """Send the first I1s, on several paths if there are (section 6.6.1; RFC 8004 section 3.3).

        Args:
            association: with whom.
            paths: to the peer itself.
            now: monotonic seconds.
            via: to rendezvous servers of the peer; there is a path or a server.
        """
        core = self._core
        initiation = Initiation(tuple(paths), now, via=tuple(via))
        if association.state is State.CLOSED:  # which keeps its keys and its time limit
            core.cancel_timers(association, (TimerKind.RETRY,))
        else:
            core.sas.remove_all(association)
            core.cancel_timers(association)
            association.restart(initiation.ways[0], Role.INITIATOR, now)
        association.move(Trigger.DATA_TO_SEND, now)
        association.initiation = initiation
        self._send_first_i1(association, initiation, now)

    def renew_i1(self, association: Association) -> None:
        """Our groups have changed: the next I1 offers the new ones."""
        if association.initiation is not None:
            association.initiation.i1 = self._build_i1(association)

    def _build_i1(self, association: Association) -> bytes:
        dialect, local, peer = association.dialect, association.local.hit, association.peer
        return dialect.build(PacketType.I1, local, peer, dialect.i1_parameters(self._core.config))

    def _shoot_i1(self, association: Association, initiation: Initiation, now: float) -> None:
        """All paths, one after the other, until an R1 is being answered."""
        paths = initiation.ways[: self._core.config.shotgun_paths_most]
        self._shotgun.hold_fire(association, initiation.i1)
        self._shotgun.shoot(association, initiation.i1, paths, now)

    def _send_first_i1(self, association: Association, initiation: Initiation, now: float) -> None:
        config = self._core.config
        initiation.i1 = self._build_i1(association)
        initiation.tries = 1
        initiation.delay_s = config.retry_first_s
        initiation.sent_s = now
        if self._is_paced(initiation):
            self._shoot_i1(association, initiation, now)
        else:
            paths = initiation.paths[: config.i1_paths_most]
            self._choice.begin(initiation, paths)
            for path in paths:
                self._core.transmit(initiation.i1, path)
        self.arm_retry(association, initiation, now)

    def _is_paced(self, initiation: Initiation) -> bool:
        """Whether I1s go one after the other: with rendezvous servers the first answer wins."""
        return self._core.config.shotgun or bool(initiation.via)

    def arm_retry(self, association: Association, initiation: Initiation, now: float) -> None:
        """Wait for the answer to the present I1 or I2."""
        core, config = self._core, self._core.config
        delay_s = core.jitter(initiation.delay_s)
        if self._is_paced(initiation) and not initiation.i2:  # counted from the last copy
            copies = min(len(initiation.ways), config.shotgun_paths_most)
            delay_s += (copies - 1) * config.shotgun_pace_s
        core.arm(association, TimerKind.RETRY, now, delay_s)

    def on_retry(self, association: Association, now: float) -> None:
        """Send the I1 or I2 again, or give up (Tables 3, 4)."""
        core, config, initiation = self._core, self._core.config, association.initiation
        if initiation is None:
            return
        told = REFUSALS.get(initiation.notify_type or 0)
        if told is not None and initiation.i2:
            # Signed, and no R2 came since; but it may be an old one, so not sooner than here.
            core.fail(association, Trigger.RETRIES_OVER, told, now)
            return
        if initiation.tries >= config.tries:
            core.fail(association, Trigger.RETRIES_OVER, "no_answer", now)
            return
        association.move(Trigger.RETRY, now)
        association.retransmissions += 1
        if initiation.wants_new_r1:
            core.transmit(initiation.i1, association.path)
        elif initiation.i2:
            core.transmit(initiation.i2, association.path)
        elif self._is_paced(initiation):
            self._shoot_i1(association, initiation, now)
        else:
            initiation.unanswered.clear()
            path = initiation.paths[initiation.tries % len(initiation.paths)]
            core.transmit(initiation.i1, path)
        initiation.tries += 1
        initiation.delay_s = min(2 * initiation.delay_s, config.retry_most_s)
        self.arm_retry(association, initiation, now)

    # --- R1 ---

    def on_r1(self, packet: HipPacket, path: Path, now: float) -> None:
        """Check what is cheap, then have the signature verified (section 6.8).

        Raises:
            RefusedError, WireError: the R1 goes no further.
        """
        association = self._core.find(packet.receiver, packet.sender)
        if association is None:
            raise RefusedError("no_association")
        initiation = association.initiation
        if initiation is None or not association.allows(Trigger.R1_VALID):
            raise RefusedError("state_unexpected")
        self._choice.note(initiation, path)
        r1 = ReceivedR1(association, initiation, packet, path, now)
        try:
            self._check_counter(r1)
            self.examine(r1, association.dialect, partial(self._on_r1_verified, r1))
        finally:
            self._end_wait(association, initiation, now)

    def examine(self, r1: ReceivedR1, dialect: Dialect, then: JobEnd) -> None:
        """Check what is cheap, then have the signature verified; `then` gets the verdict.

        Raises:
            RefusedError, WireError: the R1 goes no further.
        """
        packet, initiation = r1.packet, r1.initiation
        for kind in dialect.R1_NEEDS:
            packet.require(kind)
        dialect.check_r1(packet, packet.sender)
        host_id = packet.require(HostId)
        if not dialect.hit_matches(host_id, packet.sender):
            raise RefusedError("hit_mismatch")
        if initiation.r1_jobs >= R1_JOBS_MOST:
            raise RefusedError("busy")
        initiation.r1_jobs += 1
        signature = packet.require(HipSignature2)
        job = VerifyR1(dialect, packet.sender, host_id, packet.octets, signature)
        self._core.compute(job, then)

    @staticmethod
    def _check_counter(r1: ReceivedR1) -> None:
        """Counters never go back; once an R1 is being answered only a larger one counts (6.8)."""
        known = r1.initiation.r1_counter
        committed = (
            r1.initiation.is_answering
            or r1.initiation.held is not None
            or r1.association.state is State.I2_SENT
        )
        committed = committed and not r1.initiation.wants_new_r1
        if known is not None and (r1.counter < known or (committed and r1.counter == known)):
            raise RefusedError("r1_counter_old")

    def _on_r1_verified(self, r1: ReceivedR1, result: object, now: float) -> None:
        r1.initiation.r1_jobs -= 1
        if not isinstance(result, HostIdentity):
            self._core.drop(result.reason if isinstance(result, Refused) else "busy")
            self._end_wait(r1.association, r1.initiation, now)
            return
        if not r1.is_wanted:
            self._core.drop("state_unexpected")
            return
        self.take(r1, result, now)

    def take(self, r1: ReceivedR1, identity: HostIdentity, now: float) -> None:
        """Answer an authentic R1, unless a better one may come or there is something against it."""
        try:
            self._check_counter(r1)
            self._use_r1(r1, identity, now)
        except UnacceptableError as error:
            self._abandon(r1, error.refused, now)
        except RefusedError as error:
            self._core.drop(error.refused.reason)

    def _abandon(self, r1: ReceivedR1, refused: Refused, now: float) -> None:
        """The peer offers nothing that we accept: say so and fail (RFC 7402 section 6.4)."""
        association = r1.association
        self._notifier.refuse(refused, association.local.hit, association.peer, r1.path, now)
        if association.allows(Trigger.R1_UNACCEPTABLE):
            self._core.fail(association, Trigger.R1_UNACCEPTABLE, refused.reason, now)

    def _use_r1(self, r1: ReceivedR1, identity: HostIdentity, now: float) -> None:
        core, association, initiation = self._core, r1.association, r1.initiation
        dialect = association.dialect
        suites = dialect.suites_accepted(r1.packet)
        if suites is not None and association.local.public.suite not in suites:
            self._try_other_identity(r1, suites, now)
            return
        proposal = dialect.proposal_from_r1(r1.packet, core.config)
        if r1.packet.require(Puzzle).k > core.config.puzzle_k_most:
            raise RefusedError("puzzle_too_hard")
        initiation.r1_counter = r1.counter
        if self._choice.is_to_wait(initiation):
            held = HeldR1(r1.packet, r1.path, r1.received_s, identity)
            self._choice.hold(association, initiation, held, now)
            return
        self._choice.end(association, initiation)
        initiation.answering = core.next_serial()
        initiation.is_answering = True
        initiation.wants_new_r1 = False
        self._shotgun.hold_fire(association, initiation.i1)
        if association.state is not State.I2_SENT:  # an I2 under way is still sent again
            core.cancel_timers(association, (TimerKind.RETRY,))
        spi_in, path = core.sas.reserve_spi(), self._path_of_i2(r1)
        self._answer(VerifiedR1(r1, initiation.answering, identity, proposal, spi_in, path))

    def on_r1_wait_over(self, association: Association, now: float) -> None:
        """No better R1 has come: answer the one that is held."""
        initiation = association.initiation
        held = None if initiation is None else initiation.held
        if initiation is None or held is None:
            return
        self._choice.end(association, initiation)
        r1 = ReceivedR1(association, initiation, held.packet, held.path, held.received_s)
        if r1.is_wanted:
            self.take(r1, held.identity, now)

    def _end_wait(self, association: Association, initiation: Initiation, now: float) -> None:
        if association.initiation is initiation and self._choice.is_over(initiation):
            self.on_r1_wait_over(association, now)

    def _path_of_i2(self, r1: ReceivedR1) -> Path:
        """Where the I2 goes: to the preferred locator of the R1, if it names one (8047 4.2.8)."""
        for record in r1.locators:
            one = listed(record, r1.path, None)
            if one is None or not one.is_preferred:
                continue
            version = one.address.version
            sources = [r1.path.local, *(here.address for here in self._core.local_addresses or ())]
            local = next((here for here in sources if here.version == version), None)
            if local is not None:
                ports = r1.path.local_port, one.port
                return Path(local, one.address, r1.path.encapsulation, *ports)
        return r1.path

    def _try_other_identity(self, r1: ReceivedR1, suites: Sequence[int], now: float) -> None:
        """The Responder cannot verify our suite: begin again as another of us (Table 3)."""
        core, association, initiation = self._core, r1.association, r1.initiation
        initiation.tried.add(association.local.public.suite)
        is_anonymous = core.traits_of(association.local.hit).is_anonymous
        for identity in core.offered(association.dialect.VERSION):
            suite = identity.public.suite
            if (
                suite in suites
                and association.dialect.may_use(identity)
                and core.traits_of(identity.hit).is_anonymous == is_anonymous
                and suite not in initiation.tried
                and core.find(identity.hit, association.peer) is None
                and association.allows(Trigger.R1_OTHER_SUITE)
            ):
                association.move(Trigger.R1_OTHER_SUITE, now)
                core.change_local(association, identity)
                initiation.r1_counter = None
                core.note("identity_changed")
                self._send_first_i1(association, initiation, now)
                return
        raise UnacceptableError("hit_suite", NotifyType.UNSUPPORTED_HIT_SUITE)

    # --- I2 ---

    def _answer(self, verified: VerifiedR1) -> None:
        """Have the puzzle tried and, once solved, the I2 built."""
        core, config = self._core, self._core.config
        packet, association = verified.r1.packet, verified.r1.association
        dialect = association.dialect
        echo = packet.get(EchoRequestSigned)
        traits = core.traits_of(association.local.hit)
        job = AnswerR1(
            dialect,
            association.local,
            association.peer,
            verified.proposal,
            packet.require(Puzzle),
            core.randomness(dialect.nonce_octets(association.peer)),
            config.puzzle_tries,
            packet.get(R1Counter),
            None if echo is None else echo.data,
            tuple(request.data for request in packet.all(EchoRequestUnsigned)),
            dialect.host_id_of(association.local, traits.di_type, traits.di),
            verified.spi_in,
            core.randomness(IV_OCTETS),
            exchange_locators(core, verified.path, verified.spi_in),
            traits.controls,
            offer_for(core, PacketType.I2, association.local.hit),
        )
        core.compute(job, partial(self._on_answered, verified))

    def _on_answered(self, verified: VerifiedR1, result: object, now: float) -> None:
        core, r1 = self._core, verified.r1
        if not verified.is_wanted:
            core.sas.release_spi(verified.spi_in)
            core.drop("state_unexpected")
            return
        if isinstance(result, AnsweredR1):
            self._send_i2(verified, result, now)
            return
        reason = "busy"
        if isinstance(result, PuzzleUnsolved):
            if now < verified.deadline_s:
                self._answer(verified)
                return
            reason = "puzzle_expired"
        elif isinstance(result, Refused):
            reason = result.reason
        core.sas.release_spi(verified.spi_in)
        core.drop(reason)
        r1.initiation.is_answering = False
        if r1.association.state is not State.I2_SENT:
            self.arm_retry(r1.association, r1.initiation, now)

    def _send_i2(self, verified: VerifiedR1, answered: AnsweredR1, now: float) -> None:
        """Install the inbound SA, then send the I2 that names it (RFC 7402 section 6.4)."""
        core, r1 = self._core, verified.r1
        association, initiation, packet = r1.association, r1.initiation, r1.packet
        replaced = core.sas.detach(association)
        if association.state is State.CLOSED:
            core.cancel_timers(association)
            association.restart(r1.path, Role.INITIATOR, now)
            association.initiation = initiation
        association.move(Trigger.R1_VALID, now)
        association.path = verified.path
        association.reach.offered = r1.locators
        association.reach.hints = initiation.paths
        is_timed = r1.path == initiation.ways[0] or not self._is_paced(initiation)
        if initiation.tries == 1 and not initiation.i2 and is_timed:
            association.reach.sample_rtt(r1.received_s - initiation.sent_s)
        association.keying = answered.keying
        association.peer_identity = verified.identity
        association.peer_host_id = packet.require(HostId)
        core.note_anonymity(association, is_anonymous=bool(packet.controls & CONTROL_ANONYMOUS))
        association.verifying = NOTHING
        association.credentials, association.shown_in_r1 = None, packet.all(Cert)
        host_id = find_tlv(packet.octets, ParameterType.HOST_ID)
        if host_id is not None:
            offset, length = host_id
            initiation.peer_host_id_tlv = packet.octets[offset : offset + length]
        initiation.is_answering = False
        initiation.i2 = answered.octets
        initiation.tries = 1
        initiation.delay_s = core.config.retry_first_s
        core.sas.install_in(association, verified.spi_in, answered.keying)
        core.transmit(answered.octets, association.path)
        note_sent(core, association, answered.octets, now)
        for direction, spi in replaced:
            core.sas.remove(association, direction, spi)
        self.arm_retry(association, initiation, now)
