"""The Responder: I1 to R1 without state, I2 to R2 after a solved puzzle (RFC 7401 6.7, 6.9).

Order of checks of an I2, cheapest first: is it a repetition, generation and nonce of the puzzle,
solution, proposals, ceilings; then, in a job, Diffie-Hellman, MAC, HIT, signature.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from hmac import compare_digest
from typing import Final

from hipgw.proto.announcing import exchange_locators
from hipgw.proto.association import Acceptance, Association
from hipgw.proto.certificate_check import CertificateCheck, Judgement
from hipgw.proto.certificate_offers import check_of, note_sent, offer_for
from hipgw.proto.core import Core, TimerKind
from hipgw.proto.dialect import Dialect
from hipgw.proto.events import Role
from hipgw.proto.half_open import HalfOpen, HalfOpenSlots, SlotKey
from hipgw.proto.keying import Proposal
from hipgw.proto.limits import SourceLimiter, source_of
from hipgw.proto.local_identity import LocalIdentity
from hipgw.proto.notifying import Notifier
from hipgw.proto.packets import esp_info_is_fit
from hipgw.proto.puzzle_load import PuzzleLoad
from hipgw.proto.puzzle_nonce import stamp_of
from hipgw.proto.r1_pool import Generation, R1Pool
from hipgw.proto.refusals import Refused, RefusedError
from hipgw.proto.responder_jobs import AcceptedI2, AcceptI2
from hipgw.proto.states import State, Trigger
from hipgw.values import Direction, Hit, HitSuite, NotifyType, Path, Spi
from hipgw.wire import (
    CONTROL_ANONYMOUS,
    Cert,
    EchoRequestUnsigned,
    Encrypted,
    EspInfo,
    HipMac,
    HipPacket,
    HipSignature,
    HostId,
    LocatorSet,
    PacketType,
    Solution,
)

Accepted = Callable[[Association, CertificateCheck, Judgement | None, float], None]


class Responder:
    """Answers I1 and I2."""

    def __init__(self, core: Core, pool: R1Pool, notifier: Notifier, now: float) -> None:
        config = core.config
        self._core: Final = core
        self._pool: Final = pool
        self._notifier: Final = notifier
        self.when_accepted: Final[list[Accepted]] = []
        """Who is told of an accepted I2, with what was found of its certificates."""
        self._slots: Final = HalfOpenSlots()
        self.load: Final = PuzzleLoad(core, pool, lambda: len(self._slots), now)
        self.r1_limit: Final = SourceLimiter(
            rate=config.r1_rate,
            burst=config.r1_burst,
            source_rate=config.r1_source_rate,
            source_burst=config.r1_source_burst,
            sources_most=config.sources_most,
            now=now,
        )

    # --- I1 ---

    def on_i1(self, packet: HipPacket, path: Path, now: float) -> None:
        """Send an R1 back to where the I1 came from; no state changes (section 6.7).

        Raises:
            RefusedError, WireError: no R1 for this I1.
        """
        core = self._core
        self.load.on_i1s(1, now)
        identity = self._identity_for(packet)
        dialect = core.dialects.of(packet.version, packet.sender)
        if not dialect.may_use(identity):
            raise RefusedError("legacy_refused")
        group = dialect.group_for_i1(packet, core.config)
        association = core.find(identity.hit, packet.sender)
        if association is not None:
            if association.state is State.I1_SENT and identity.hit < packet.sender:
                raise RefusedError("hit_race_lost")  # the peer answers our I1, we drop theirs
            if not association.allows(Trigger.I1_RECEIVED):
                raise RefusedError("state_unexpected")
        if not self.r1_limit.allows(path.peer, now):
            raise RefusedError("r1_rate")
        r1 = self._pool.r1_for(dialect, packet.sender, identity.hit, group, path, now)
        core.transmit(r1, path)
        if association is not None:
            association.move(Trigger.I1_RECEIVED, now)

    def _identity_for(self, packet: HipPacket) -> LocalIdentity:
        """Who answers: the receiver, or in opportunistic mode one of the Initiator's suite."""
        core = self._core
        if not packet.receiver.is_null:
            if core.is_retired(packet.receiver):
                raise RefusedError("hit_not_ours")
            return core.identities[packet.receiver]
        if not core.answers_opportunistic:
            raise RefusedError("hit_not_ours")
        return self._identity_for_anyone(packet)

    def _identity_for_anyone(self, packet: HipPacket) -> LocalIdentity:
        """Of the Initiator's suite, or else suite 1 (section 4.1.8); public ones before others."""
        core = self._core
        dialect = core.dialects.of(packet.version, packet.sender)
        offered = sorted(
            (one for one in core.offered(packet.version) if dialect.may_use(one)),
            key=lambda one: core.traits_of(one.hit).is_anonymous,
        )
        if not offered:
            raise RefusedError("hit_not_ours")
        for wanted in (packet.sender.suite, HitSuite.RSA_DSA_SHA256):
            for identity in offered:
                if identity.public.suite == wanted:
                    return identity
        return offered[0]

    # --- I2 ---

    def on_i2(self, packet: HipPacket, path: Path, now: float) -> None:
        """Check what is cheap, then have the rest done in a job (section 6.9).

        Raises:
            RefusedError, WireError: the I2 goes no further.
        """
        core = self._core
        identity = core.identities[packet.receiver]
        solution = packet.require(Solution)
        dialect = core.dialects.of(packet.version, packet.sender)
        association = core.find(identity.hit, packet.sender)
        if association is not None and self._is_repeated(association, solution):
            self._resend_r2(association, now)
            return
        hits = packet.sender, packet.receiver
        generation = self.solved_generation(dialect, hits, solution, path, now)
        if generation.is_used(solution):
            raise RefusedError("replayed")
        # From here on the sender has solved a puzzle and may be told what is wrong.
        self.load.on_solved(now)
        if self._pool.is_spent(generation):
            raise RefusedError("busy", NotifyType.RESPONDER_BUSY_PLEASE_RETRY)
        if association is not None:
            self._check_state(association, generation, solution)
        half_open, job = self._open(dialect, packet, generation, path, now)
        key = identity.hit, packet.sender, solution.i
        job_id = core.compute(job, partial(self._on_accepted, key))
        self._slots.take(key, half_open, job_id)

    def _open(
        self,
        dialect: Dialect,
        packet: HipPacket,
        generation: Generation,
        path: Path,
        now: float,
    ) -> tuple[HalfOpen, AcceptI2]:
        """Check what does not need the keys, and prepare the job that does the rest."""
        core, config = self._core, self._core.config
        identity, solution = core.identities[packet.receiver], packet.require(Solution)
        if not dialect.counter_is_right(packet, generation.counter):
            raise RefusedError("r1_counter_old")
        if not config.permits(packet.sender):
            raise RefusedError("policy", NotifyType.BLOCKED_BY_POLICY)
        if not dialect.accepts_hit(packet.sender, config):
            raise RefusedError("hit_suite")  # silent (section 6.9 step 2)
        is_anonymous = bool(packet.controls & CONTROL_ANONYMOUS)
        if is_anonymous and not config.accept_anonymous:
            raise RefusedError("anonymous", NotifyType.BLOCKED_BY_POLICY)
        proposal = dialect.proposal_from_i2(packet, config)
        made = generation.r1_for(packet.sender, identity.hit, proposal.dh_group)
        key = None if made is None else made.key_of(proposal.dh_group)
        if made is None or key is None:
            raise RefusedError("dh_group", NotifyType.INVALID_DH_CHOSEN)
        mac, signature = packet.require(HipMac), packet.require(HipSignature)
        host_id, encrypted = packet.get(HostId), packet.all(Encrypted)
        if host_id is None and not encrypted:
            raise RefusedError("hip_missing")
        spi_out = self._peer_spi(packet.require(EspInfo), proposal)
        source = source_of(path.peer)
        self._make_room((identity.hit, packet.sender, solution.i), source, now)
        half_open = HalfOpen(
            identity,
            packet.sender,
            dialect,
            path,
            solution,
            generation,
            core.sas.reserve_spi(),
            spi_out,
            now,
            source,
            tuple([record for one in packet.all(LocatorSet) for record in one.locators]),
            is_anonymous,
            check_of(core, packet.sender, (packet.all(Cert),)),
        )
        return half_open, AcceptI2(
            dialect,
            identity,
            packet.sender,
            packet.octets,
            proposal,
            solution.i,
            solution.j,
            key,
            mac,
            signature,
            host_id,
            encrypted,
            made.host_id_tlv,
            half_open.spi_in,
            exchange_locators(core, path, half_open.spi_in),
            half_open.check,
            offer_for(core, PacketType.R2, identity.hit),
            tuple([request.data for request in packet.all(EchoRequestUnsigned)]),
        )

    def solved_generation(
        self,
        dialect: Dialect,
        hits: tuple[Hit, Hit],
        solution: Solution,
        path: Path,
        now: float,
    ) -> Generation:
        """The generation of a puzzle that `solution` really solves: one or two hashes.

        Args:
            dialect: of the Initiator.
            hits: of Initiator and Responder.
            solution: out of the I2.
            path: of the I2.
            now: monotonic seconds.

        Raises:
            RefusedError: not our puzzle, too old, or not solved.
        """
        generation = self._pool.generation_of(solution, now)
        k = generation.k_for(hits[0])
        octets = dialect.nonce_octets(hits[1])
        ours = generation.puzzle_i(octets, *hits, path, stamp_of(solution.i))
        if (
            solution.k != k
            or not compare_digest(solution.i, ours)
            or not dialect.puzzle_is_solved(k, hits, (solution.i, solution.j))
        ):
            raise RefusedError("puzzle_wrong")
        return generation

    @staticmethod
    def _is_repeated(association: Association, solution: Solution) -> bool:
        acceptance = association.acceptance
        return (
            acceptance is not None
            and association.state is State.R2_SENT
            and acceptance.i == solution.i
            and acceptance.j == solution.j
        )

    def _resend_r2(self, association: Association, now: float) -> None:
        """Answer a repeated I2 with the R2 we have, to the address we know (Table 5)."""
        if association.acceptance is not None:
            association.move(Trigger.I2_VALID, now)
            association.retransmissions += 1
            self._core.transmit(association.acceptance.r2, association.path)

    def _check_state(
        self, association: Association, generation: Generation, solution: Solution
    ) -> None:
        """Refuse where the state machine has no place for an I2 (Table 4; section 6.9 step 6)."""
        if self._pool.tick_of(generation, solution) <= association.agreed_r1:
            raise RefusedError("replayed")
        if association.state is State.I2_SENT and association.local.hit < association.peer:
            raise RefusedError("hit_race_lost")
        if association.state is not State.E_FAILED and not association.allows(Trigger.I2_VALID):
            raise RefusedError("state_unexpected")

    @staticmethod
    def _peer_spi(esp_info: EspInfo, proposal: Proposal) -> Spi:
        """The peer's inbound SPI, out of an ESP_INFO fit for an I2 (RFC 7402 section 5.1.1)."""
        if not esp_info_is_fit(esp_info, proposal.protection.keymat_octets):
            raise RefusedError("hip_malformed")
        return Spi(esp_info.new_spi)

    def _make_room(self, key: SlotKey, source: bytes, now: float) -> None:
        core, config, slots = self._core, self._core.config, self._slots
        if key in slots:
            # The same I2 is being looked at: its sender need not repeat it (section 5.2.19).
            raise RefusedError("replayed", NotifyType.I2_ACKNOWLEDGEMENT)
        if slots.of_source(source) >= config.half_open_per_source or not (
            core.has_room() or core.find(key[0], key[1]) is not None or self._one_gives_way(now)
        ):
            raise RefusedError("busy", NotifyType.RESPONDER_BUSY_PLEASE_RETRY)
        if len(slots) >= config.half_open_most:
            evicted = slots.who_gives_way(source)
            if evicted is None:
                raise RefusedError("busy", NotifyType.RESPONDER_BUSY_PLEASE_RETRY)
            self._evict(evicted, now)

    def _evict(self, key: SlotKey, now: float) -> None:
        """Give up an I2 whose source holds more than its share of the slots."""
        half_open, job_id = self._slots.free(key)
        self._core.abandon(job_id)
        self._core.sas.release_spi(half_open.spi_in)
        self._core.note("half_open_evicted")
        refused = Refused("busy", NotifyType.RESPONDER_BUSY_PLEASE_RETRY)
        self._notifier.refuse(refused, key[0], half_open.peer, half_open.path, now)

    def _one_gives_way(self, now: float) -> bool:
        """Forget one association that is not proven; False when there is none to forget."""
        core = self._core
        while True:
            association = core.unproven.oldest_of_fullest(now, core.config.unproven_least_s)
            if association is None:
                return False
            if association.allows(Trigger.GIVE_WAY):
                break
            core.unproven.forget(association)
        core.note("unproven_evicted")
        core.closed(association, "evicted")
        core.end(association, Trigger.GIVE_WAY, now)
        return True

    def _on_accepted(self, key: SlotKey, result: object, now: float) -> None:
        """Take the verdict of the job; states may have moved since it began."""
        half_open, _ = self._slots.free(key)
        association = self._core.find(key[0], key[1])
        refused = self._late_refusal(half_open, association, result, now)
        if isinstance(result, AcceptedI2) and refused is None:
            self._accept(half_open, association, result, now)
            return
        self._core.sas.release_spi(half_open.spi_in)
        self._notifier.refuse(refused or Refused("busy"), *key[:2], half_open.path, now)

    def _late_refusal(
        self, half_open: HalfOpen, association: Association | None, result: object, now: float
    ) -> Refused | None:
        if isinstance(result, Refused):
            return result
        if half_open.local.hit not in self._core.identities:
            return Refused("hit_not_ours")
        if half_open.generation.is_used(half_open.solution):
            return Refused("replayed")
        if self._pool.is_spent(half_open.generation):
            return Refused("busy", NotifyType.RESPONDER_BUSY_PLEASE_RETRY)
        if association is None:
            has_room = self._core.has_room() or self._one_gives_way(now)
            return None if has_room else Refused("busy")
        try:
            self._check_state(association, half_open.generation, half_open.solution)
        except RefusedError as refusal:
            return refusal.refused
        return None

    def _accept(
        self,
        half_open: HalfOpen,
        association: Association | None,
        accepted: AcceptedI2,
        now: float,
    ) -> None:
        """Install both SAs, send the R2, and only then remove what it replaces (6.9, 4.4.4)."""
        core = self._core
        self._pool.use(half_open.generation, half_open.solution, now)
        if association is not None and association.state is State.E_FAILED:
            core.end(association, Trigger.HOLD_OVER, now)  # the peer is alive: no need to wait
            association = None
        replaced: list[tuple[Direction, Spi]] = []
        if association is None:
            association = Association(
                half_open.local,
                half_open.peer,
                half_open.dialect,
                half_open.path,
                Role.RESPONDER,
                now,
                now,
            )
            core.add(association)
        else:
            replaced = core.sas.detach(association)
            core.cancel_timers(association)
            association.dialect = half_open.dialect
            association.restart(half_open.path, Role.RESPONDER, now)
        association.keying = accepted.keying
        association.peer_identity = accepted.identity
        association.peer_host_id = accepted.host_id
        core.note_anonymity(association, is_anonymous=half_open.is_anonymous)
        association.agreed_r1 = self._pool.tick_of(half_open.generation, half_open.solution)
        association.acceptance = Acceptance(
            half_open.solution.i,
            half_open.solution.j,
            accepted.r2,
            half_open.received_s,
        )
        association.reach.offered = half_open.locators
        association.move(Trigger.I2_VALID, now)
        core.sas.install_in(association, half_open.spi_in, accepted.keying)
        core.sas.install_out(association, half_open.spi_out, accepted.keying)
        core.transmit(accepted.r2, association.path)
        for direction, spi in replaced:
            if (direction, spi) != (Direction.OUT, half_open.spi_out):
                core.sas.remove(association, direction, spi)
        core.arm(association, TimerKind.LIFE, now, core.config.exchange_complete_s)
        if len(core.unproven) >= core.config.unproven_most:
            self._one_gives_way(now)
        core.unproven.add(association, now)
        note_sent(core, association, accepted.r2, now)
        for tell in self.when_accepted:
            tell(association, half_open.check, accepted.judgement, now)
