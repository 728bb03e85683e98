"""The engine's face: five entry points, two outlets, and the way of a packet to its handler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from hipgw.crypto import PrivateHostIdentity
from hipgw.errors import LocalProtocolError, WireError
from hipgw.proto.association import Association, AssociationView
from hipgw.proto.authentic import Authenticator
from hipgw.proto.closing import Closer
from hipgw.proto.concluder import Concluder
from hipgw.proto.config import EndpointConfig
from hipgw.proto.core import Core, TimerKind
from hipgw.proto.effects import Effect, JobId
from hipgw.proto.events import Event, Failed, Role
from hipgw.proto.initiator import Initiator
from hipgw.proto.notifying import Notifier
from hipgw.proto.r1_pool import R1Pool
from hipgw.proto.refusals import RefusedError
from hipgw.proto.responder import Responder
from hipgw.proto.states import State, Trigger
from hipgw.proto.updating import Updater
from hipgw.values import Encapsulation, Hit, HitSuite, NotifyType, Path, Spi
from hipgw.wire import (
    HIP_VERSION,
    HipPacket,
    Notification,
    PacketType,
    ParameterType,
    Solution,
    checksum_is_right,
    find_tlv,
    parse_packet,
    peek_header,
)

Handler = Callable[[HipPacket, Path, float], None]

_SUITES: Final = frozenset(int(suite) for suite in HitSuite)
_KEYED: Final = frozenset({State.I2_SENT, State.R2_SENT, State.ESTABLISHED})
_NEVER_NOTIFIED: Final = frozenset({PacketType.I1, PacketType.R1, PacketType.NOTIFY})


class Endpoint:
    """All associations of a host's identities; performs no I/O and reads no clock.

    `now` is monotonic seconds.  After any call the caller takes the effects and applies them in
    order, and asks `next_deadline` when to call `handle_deadline`.  Nothing that a peer sends
    raises.  Not thread-safe: one thread calls; only jobs run elsewhere.
    """

    def __init__(
        self,
        identities: Sequence[PrivateHostIdentity],
        config: EndpointConfig,
        randomness: Callable[[int], bytes],
        now: float,
    ) -> None:
        """Make an endpoint and ask for its first R1s.

        Args:
            identities: our host identities, the default one first.
            config: what the operator decided.
            randomness: gives that many unpredictable octets.
            now: monotonic seconds.

        Raises:
            LocalProtocolError: no identity.
        """
        core = Core(identities, config, randomness, now)
        self._core: Final = core
        self._pool: Final = R1Pool(core, now)
        self._notifier: Final = Notifier(core)
        authenticator = Authenticator(core)
        self._responder: Final = Responder(core, self._pool, self._notifier, now)
        self._initiator: Final = Initiator(core, self._notifier)
        self._closer: Final = Closer(core, authenticator)
        updater = Updater(core, authenticator, self._notifier)
        self._handlers: Final[dict[PacketType, Handler]] = {
            PacketType.I1: self._responder.on_i1,
            PacketType.R1: self._initiator.on_r1,
            PacketType.I2: self._responder.on_i2,
            PacketType.R2: Concluder(core).on_r2,
            PacketType.UPDATE: updater.on_update,
            PacketType.NOTIFY: self._notifier.on_notify,
            PacketType.CLOSE: self._closer.on_close,
            PacketType.CLOSE_ACK: self._closer.on_close_ack,
        }

    # --- entry points ---

    def receive_datagram(self, payload: bytes, path: Path, now: float) -> None:
        """Take one HIP packet, without the marker of UDP encapsulation.

        Args:
            payload: the octets, from anyone.
            path: `local` is the address it came to, `peer` the one it came from.
            now: monotonic seconds.
        """
        core = self._core
        core.note("datagrams_received")
        try:
            self._receive(payload, path, now)
        except RefusedError as refusal:
            _, _, sender, receiver = peek_header(payload)
            self._notifier.refuse(refusal.refused, receiver, sender, path, now)
        except WireError as error:
            core.drop(error.reason)
            if error.reason == "hip_critical" and error.parameter_type is not None:
                self._tell_critical(payload, error.parameter_type, path, now)

    def want_association(
        self, peer: Hit, paths: Sequence[Path], now: float, *, local: Hit | None = None
    ) -> None:
        """See to it that there is an association with `peer`; asking again does no harm.

        Args:
            peer: HIT of the host that data waits for.
            paths: where it may be reached, best first.
            now: monotonic seconds.
            local: which of our identities; None for the one in use, else the first.

        Raises:
            LocalProtocolError: `peer` or `local` cannot be meant, or a new exchange has no path.
        """
        core = self._core
        self._check_pair(peer, local)
        identity, association = core.pair(peer, local)
        if association is not None:
            association.last_heard_s = now
            core.unwanted.discard(association)
            if not association.allows(Trigger.DATA_TO_SEND) or (
                association.state is State.CLOSED and association.initiation is not None
            ):
                return
        if not paths:
            raise LocalProtocolError(f"no path to {peer}: give at least one address")
        refusal = self._reason_not_to(peer, association)
        if refusal is not None:
            core.events.append(Failed(identity.hit, peer, refusal))
            return
        if association is None:
            association = Association(identity, peer, paths[0], Role.INITIATOR, now, now)
            core.add(association)
        self._initiator.begin(association, paths, now)

    def close_association(self, peer: Hit, now: float, *, local: Hit | None = None) -> None:
        """End the association with `peer`, if there is one.

        In I2-SENT the peer may have taken our I2 already: forgetting it could leave both hosts with
        different keys, so the CLOSE follows as soon as there is an answer.

        Raises:
            LocalProtocolError: `local` is not ours.
        """
        self._check_pair(peer, local)
        _, association = self._core.pair(peer, local)
        if association is None:
            return
        if association.state is State.I2_SENT:
            self._core.unwanted.add(association)
        if not association.allows(Trigger.CLOSE_REQUESTED):
            return
        if association.state in {State.R2_SENT, State.ESTABLISHED}:
            self._closer.close(association, Trigger.CLOSE_REQUESTED, "operator", now)
        elif association.state is State.E_FAILED:
            self._core.end(association, Trigger.CLOSE_REQUESTED, now)
        else:
            self._core.fail(association, Trigger.CLOSE_REQUESTED, "operator", now)

    def esp_received(self, spi: Spi, now: float) -> None:
        """Valid ESP came in on one of our SPIs; call it for the first, and later as often as liked.

        Ends R2-SENT and keeps the association from being idle.
        """
        association = self._core.by_spi(spi)
        if association is None or not association.allows(Trigger.DATA_RECEIVED):
            return
        association.last_heard_s = now
        if association.state is State.R2_SENT:
            self._core.establish(association, Trigger.DATA_RECEIVED, now)
        else:
            association.move(Trigger.DATA_RECEIVED, now)

    def next_deadline(self) -> float | None:
        """When `handle_deadline` is due (monotonic seconds), or None."""
        return self._core.timers.next_deadline()

    def handle_deadline(self, now: float) -> None:
        """Do what is due; harmless when nothing is."""
        while (key := self._core.timers.take_due(now)) is not None:
            association, kind = key
            if association is None:
                self._pool.renew(now)
            elif kind is TimerKind.RETRY:
                self._on_retry(association, now)
            else:
                self._on_life(association, now)

    def job_done(self, job: JobId, result: object, now: float) -> None:
        """Take what a job returned; a job of an unknown number is ignored."""
        then = self._core.end_of_job(job)
        if then is None:
            return
        then(result, now)
        for association in tuple(self._core.unwanted):
            if association.state in {State.R2_SENT, State.ESTABLISHED}:
                self._core.unwanted.discard(association)
                self._closer.close(association, Trigger.CLOSE_REQUESTED, "operator", now)

    # --- outlets ---

    def take_effects(self) -> list[Effect]:
        """Work for the loop, to be done in this order."""
        effects, self._core.effects = self._core.effects, []
        return effects

    def take_events(self) -> list[Event]:
        """What has happened since the last call."""
        events, self._core.events = self._core.events, []
        return events

    # --- views ---

    def associations(self) -> list[AssociationView]:
        """Snapshots of all associations."""
        return [association.view() for association in self._core.associations.values()]

    @property
    def counters(self) -> dict[str, int]:
        """Dropped packets by reason; every reason of `CONTROL_REASONS` is there."""
        return dict(self._core.counters)

    @property
    def activity(self) -> dict[str, int]:
        """Packets by type and direction (`i1_sent`, `r1_received`, ...) and other happenings."""
        return dict(self._core.activity)

    @property
    def identities(self) -> tuple[Hit, ...]:
        """HITs of our identities, the default one first."""
        return tuple(self._core.identities)

    # --- packets ---

    def _receive(self, payload: bytes, path: Path, now: float) -> None:
        """Checks that every packet must pass, in order (digest of RFC 7401 sections 5.1, 6)."""
        core = self._core
        kind, version, sender, receiver = peek_header(payload)
        if version != HIP_VERSION:
            raise RefusedError("hip_version")
        if path.encapsulation is Encapsulation.RAW and not checksum_is_right(
            payload, path.peer, path.local
        ):
            raise RefusedError("hip_checksum")
        if receiver not in core.identities and not (receiver.is_null and kind == PacketType.I1):
            raise RefusedError("hit_not_ours")
        if sender in core.identities:
            raise RefusedError("hit_reflected")
        if sender.version != HIP_VERSION:
            raise RefusedError("hit_suite")
        packet = parse_packet(payload)
        core.note(f"{packet.packet_type.name.lower()}_received")
        handler = self._handlers.get(packet.packet_type)
        if handler is None:
            raise RefusedError("hip_type")
        handler(packet, path, now)

    def _tell_critical(self, payload: bytes, number: int, path: Path, now: float) -> None:
        """NOTIFY 1 for an unknown critical parameter, to who has earned it (section 5.2.19).

        That is a peer with keys, at the address we know, or an Initiator with a solved puzzle.
        """
        kind, _, sender, receiver = peek_header(payload)
        if kind in _NEVER_NOTIFIED:
            return
        association = self._core.find(receiver, sender)
        identity = self._core.identities.get(receiver)
        if identity is None:
            return
        if association is not None and association.state in _KEYED:
            path = association.path
        elif kind != PacketType.I2 or not self._is_puzzle_solved(payload, path, now):
            return
        self._notifier.send(
            identity,
            sender,
            path,
            Notification(
                int(NotifyType.UNSUPPORTED_CRITICAL_PARAMETER_TYPE), number.to_bytes(2, "big")
            ),
            now,
        )

    def _is_puzzle_solved(self, payload: bytes, path: Path, now: float) -> bool:
        """Whether an I2 that cannot be parsed as a whole solves a puzzle of ours."""
        _, _, sender, receiver = peek_header(payload)
        try:
            found = find_tlv(payload, ParameterType.SOLUTION)
            if found is None:
                return False
            offset, _ = found
            length = int.from_bytes(payload[offset + 2 : offset + 4], "big")
            solution = Solution.parse(payload[offset + 4 : offset + 4 + length])
            self._responder.solved_generation(receiver, sender, solution, path, now)
        except (RefusedError, WireError):
            return False
        return True

    # --- deadlines ---

    def _on_retry(self, association: Association, now: float) -> None:
        if association.state is State.CLOSING:
            self._closer.on_retry(association, now)
        else:
            self._initiator.on_retry(association, now)

    def _on_life(self, association: Association, now: float) -> None:
        """The time of the present state is over (Tables 5, 6, 8, 9)."""
        core = self._core
        if association.state is State.R2_SENT:
            core.establish(association, Trigger.EXCHANGE_COMPLETE, now)
        elif association.state is State.ESTABLISHED:
            idle_at = association.last_heard_s + core.config.ual_s
            if idle_at > now:
                core.timers.set((association, TimerKind.LIFE), idle_at)
            else:
                self._closer.close(association, Trigger.IDLE, "idle", now)
        elif association.state is State.E_FAILED or association.initiation is None:
            core.end(association, Trigger.HOLD_OVER, now)
        else:  # CLOSED, while an I1 of ours is under way: that decides
            core.arm(association, TimerKind.LIFE, now, core.config.failed_hold_s)

    # --- what a caller may ask ---

    def _check_pair(self, peer: Hit, local: Hit | None) -> None:
        identities = self._core.identities
        if local is not None and local not in identities:
            raise LocalProtocolError(f"{local} is not a HIT of this host")
        if peer in identities:
            raise LocalProtocolError(f"{peer} is this host: no association with oneself")
        if peer.version != HIP_VERSION:
            raise LocalProtocolError(f"{peer} is not a HIT of HIP version 2 (2001:20::/28)")

    def _reason_not_to(self, peer: Hit, association: Association | None) -> str | None:
        if peer.suite not in _SUITES:
            return "hit_suite"
        if not self._core.config.permits(peer):
            return "policy"
        if association is None and not self._core.has_room():
            return "busy"
        return None
