"""The way of a packet to its handler: checks that all must pass, and what a refusal costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from hipgw.errors import WireError
from hipgw.proto.core import Core
from hipgw.proto.dialect import Dialect
from hipgw.proto.icmp_replies import IcmpReplier
from hipgw.proto.notifying import Notifier
from hipgw.proto.refusals import DroppedPacket, RefusedError
from hipgw.proto.responder import Responder
from hipgw.proto.states import State
from hipgw.values import Encapsulation, Hit, NotifyType, Path
from hipgw.wire import (
    HipPacket,
    Notification,
    PacketType,
    ParameterType,
    Solution,
    checksum_is_right,
    find_tlv,
    peek_header,
)

Handler = Callable[[HipPacket, Path, float], None]

_KEYED: Final = frozenset({State.I2_SENT, State.R2_SENT, State.ESTABLISHED})
_OF_NEW_EXCHANGE: Final = frozenset({PacketType.I1, PacketType.I2})
_NEVER_NOTIFIED: Final = frozenset({PacketType.I1, PacketType.R1, PacketType.NOTIFY})
_RECEIVED: Final = {kind: f"{kind.name.lower()}_received" for kind in PacketType}


class Reception:
    """Takes packets of anyone."""

    def __init__(
        self,
        core: Core,
        notifier: Notifier,
        responder: Responder,
        replier: IcmpReplier,
        handlers: Mapping[PacketType, Handler],
    ) -> None:
        self._core: Final = core
        self._notifier: Final = notifier
        self._responder: Final = responder
        self._replier: Final = replier
        self._handlers: Final = handlers

    def receive(self, payload: bytes, path: Path, now: float) -> None:
        """Bring a packet to its handler, or to a counter and perhaps a NOTIFY; never raises."""
        try:
            self._receive(payload, path, now)
        except RefusedError as refusal:
            _, _, sender, receiver = peek_header(payload)
            self._notifier.refuse(refusal.refused, receiver, sender, path, now)
            if refusal.refused.notify is None:
                self._replier.on_dropped(refusal.refused.reason, payload, path, now)
        except WireError as error:
            self._core.drop(error.reason)
            self._note_dropped(error, payload, path)
            self._replier.on_dropped(error.reason, payload, path, now, error.offset_octets)
            if error.reason == "hip_critical" and error.parameter_type is not None:
                self._tell_critical(payload, error.parameter_type, path, now)

    def _note_dropped(self, error: WireError, payload: bytes, path: Path) -> None:
        """Remember whose packet could not be read, if even that can be."""
        try:
            _, _, sender, _ = peek_header(payload)
        except WireError:
            return
        self._core.latest_drops[error.reason] = DroppedPacket(sender, path, str(error))

    def _receive(self, payload: bytes, path: Path, now: float) -> None:
        """Checks that every packet must pass, in order (digest of RFC 7401 sections 5.1, 6)."""
        core = self._core
        kind, version, sender, receiver = peek_header(payload)
        dialect = self._dialect_for(kind, version, (receiver, sender))
        if path.encapsulation is Encapsulation.RAW and not checksum_is_right(
            payload, path.peer, path.local
        ):
            raise RefusedError("hip_checksum")
        local = core.identities.get(receiver)
        if local is None and not (receiver.is_null and kind == PacketType.I1):
            raise RefusedError("hit_not_ours")
        if sender in core.identities:
            raise RefusedError("hit_reflected")
        if sender.version != version:
            raise RefusedError("hit_version" if sender.version else "hit_suite")
        if local is not None and local.version != version:
            raise RefusedError("hit_version")  # HIPL 1.0.8 mixes both versions
        packet = dialect.parse(payload)
        core.note(_RECEIVED[packet.packet_type])
        handler = self._handlers.get(packet.packet_type)
        if handler is None:
            raise RefusedError("hip_type")
        handler(packet, path, now)

    def _dialect_for(self, kind: int, version: int, pair: tuple[Hit, Hit]) -> Dialect:
        """How to read a packet of that type, between our HIT and the sender's.

        An association keeps the dialect it was made with, and needs no permission for its end.

        Raises:
            RefusedError: the sender may not speak so.
        """
        core = self._core
        association = None if kind in _OF_NEW_EXCHANGE else core.find(*pair)
        if association is not None and association.state is State.CLOSING:
            return association.dialect
        allowed = core.dialects.of(version, pair[1])
        return allowed if association is None else association.dialect

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
        _, version, sender, receiver = peek_header(payload)
        try:
            dialect = self._core.dialects.of(version, sender)
            found = find_tlv(payload, ParameterType.SOLUTION)
            if found is None:
                return False
            offset, _ = found
            length = int.from_bytes(payload[offset + 2 : offset + 4], "big")
            solution = Solution.parse(payload[offset + 4 : offset + 4 + length])
            self._responder.solved_generation(dialect, (sender, receiver), solution, path, now)
        except (RefusedError, WireError):
            return False
        return True
