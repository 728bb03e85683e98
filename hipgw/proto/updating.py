"""UPDATE: received, checked, acknowledged (RFC 7401 sections 5.3.5, 6.12).

What an UPDATE asks for beyond an acknowledgement and an echo - rekeying (ESP_INFO,
DIFFIE_HELLMAN), new locators (LOCATOR_SET) - is counted and not acted on.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from hipgw.proto.association import Association
from hipgw.proto.authentic import Authenticator
from hipgw.proto.core import Core
from hipgw.proto.jobs import Keying, SignPacket
from hipgw.proto.notifying import Notifier
from hipgw.proto.packets import build_packet, with_mac
from hipgw.proto.refusals import Refused, RefusedError
from hipgw.proto.states import State, Trigger
from hipgw.values import NotifyType, Path
from hipgw.wire import (
    Ack,
    DiffieHellman,
    EchoRequestSigned,
    EchoResponseSigned,
    EspInfo,
    HipPacket,
    LocatorSet,
    PacketType,
    Parameter,
    ParameterType,
    Seq,
)

UPDATE_ID_MODULUS: Final = 1 << 32
WINDOW: Final = 32
"""How far a SEQ may be ahead of the last one seen."""
SEQ_WORK: Final = 1 << 16
"""Keeps Update IDs apart from packet types among the work of one association."""
NOT_ACTED_ON: Final[tuple[type[Parameter], ...]] = (EspInfo, LocatorSet, DiffieHellman)


class Updater:
    """Answers UPDATEs."""

    def __init__(self, core: Core, authenticator: Authenticator, notifier: Notifier) -> None:
        self._core: Final = core
        self._authenticator: Final = authenticator
        self._notifier: Final = notifier

    def on_update(self, packet: HipPacket, path: Path, now: float) -> None:
        """Check an UPDATE (section 6.12).

        Raises:
            RefusedError, WireError: the UPDATE goes no further.
        """
        association, keying = self._authenticator.expect(packet, Trigger.UPDATE_VALID)
        sequence, acknowledgement = packet.get(Seq), packet.get(Ack)
        if sequence is None:
            self._check_ack_only(association, acknowledgement)
            work = None
        else:
            self._check_sequence(association, sequence.update_id, path, now)
            work = SEQ_WORK + sequence.update_id
        self._authenticator.check(
            packet, association, keying, partial(self._on_verified, packet, path), work=work
        )

    @staticmethod
    def _check_ack_only(association: Association, acknowledgement: Ack | None) -> None:
        """An ACK must name a SEQ of ours that is outstanding (section 6.12.2)."""
        if acknowledgement is None:
            return  # INVALID_SYNTAX, but only after the signature (section 5.2.19)
        if not association.updates.outstanding.intersection(acknowledgement.update_ids):
            raise RefusedError("state_unexpected")

    def _check_sequence(
        self, association: Association, update_id: int, path: Path, now: float
    ) -> None:
        """New, known or out of the window, modulo 2^32 (section 6.12.1)."""
        updates = association.updates
        last = UPDATE_ID_MODULUS - 1 if updates.last_seen is None else updates.last_seen
        ahead = (update_id - last) % UPDATE_ID_MODULUS
        if 0 < ahead <= WINDOW:
            return
        if ahead == 0 and updates.last_answer and self._core.reply_limit.allows(path.peer, now):
            self._core.transmit(updates.last_answer, path)
            association.retransmissions += 1
        raise RefusedError("replayed")

    def _on_verified(
        self,
        packet: HipPacket,
        path: Path,
        association: Association,
        keying: Keying,
        now: float,
    ) -> None:
        core, sequence = self._core, packet.get(Seq)
        if sequence is None and packet.get(Ack) is None:
            self._notifier.refuse(
                Refused("hip_missing", NotifyType.INVALID_SYNTAX),
                association.local.hit,
                association.peer,
                path,
                now,
            )
            return
        if association.state is State.R2_SENT:
            core.establish(association, Trigger.UPDATE_VALID, now)
        else:
            association.move(Trigger.UPDATE_VALID, now)
        association.last_heard_s = now
        for acknowledgement in packet.all(Ack):
            association.updates.outstanding.difference_update(acknowledgement.update_ids)
        for kind in NOT_ACTED_ON:
            if packet.get(kind) is not None:
                core.note(f"update_{ParameterType(kind.TYPE).name.lower()}_ignored")
        if sequence is not None:
            self._acknowledge(packet, sequence, path, association, keying)

    def _acknowledge(
        self,
        packet: HipPacket,
        sequence: Seq,
        path: Path,
        association: Association,
        keying: Keying,
    ) -> None:
        updates = association.updates
        last = UPDATE_ID_MODULUS - 1 if updates.last_seen is None else updates.last_seen
        if 0 < (sequence.update_id - last) % UPDATE_ID_MODULUS <= WINDOW:
            updates.last_seen = sequence.update_id
            updates.last_answer = b""
        parameters: list[Parameter] = [Ack((sequence.update_id,))]
        echo = packet.get(EchoRequestSigned)
        if echo is not None:
            parameters.append(EchoResponseSigned(echo.data))
        octets = build_packet(
            PacketType.UPDATE, association.local.hit, association.peer, parameters
        )
        octets = with_mac(octets, keying.suite, keying.hip.mac_out)
        self._core.compute(
            SignPacket(association.local, octets),
            partial(self._on_ack_signed, association, sequence.update_id, path),
        )

    def _on_ack_signed(
        self, association: Association, update_id: int, path: Path, result: object, _now: float
    ) -> None:
        if not isinstance(result, bytes):
            self._core.drop("hip_long")
            return
        if association.updates.last_seen == update_id:
            association.updates.last_answer = result
        self._core.transmit(result, path)
