"""UPDATE received: checked, acted on, acknowledged (RFC 7401 sections 5.3.5, 6.12).

Order of checks, cheapest first: state, MAC, window, rate, rules that need no key; then the
signature, in a job.  Nothing of an UPDATE takes effect before both MAC and signature are right.
The ACK part comes first, then locators, then security associations, then the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from hipgw.proto.association import Association
from hipgw.proto.authentic import Authenticator
from hipgw.proto.core import Core
from hipgw.proto.keying import Keying
from hipgw.proto.limits import TokenBucket
from hipgw.proto.mobility import Mobility
from hipgw.proto.notifying import Notifier
from hipgw.proto.parallel import ParallelSas
from hipgw.proto.refusals import Refused, RefusedError
from hipgw.proto.rekeying import Rekeyer
from hipgw.proto.states import State, Trigger
from hipgw.proto.steering import Steering
from hipgw.proto.update_sender import UpdateSender
from hipgw.proto.update_state import Reply, Standing, is_later
from hipgw.proto.verification import Verifier
from hipgw.values import NotifyType, Path
from hipgw.wire import (
    Ack,
    EchoRequestSigned,
    EchoRequestUnsigned,
    EchoResponseSigned,
    EspInfo,
    HipPacket,
    LocatorSet,
    Seq,
)

SEQ_WORK: Final = 1 << 16
ACK_WORK: Final = 1 << 33
"""Keep SEQs, ACKs and packet types apart among the work of one association."""

Authentic = Callable[[Association, HipPacket, float], None]


class Updater:
    """Takes UPDATEs apart and has each part done."""

    def __init__(
        self,
        core: Core,
        authenticator: Authenticator,
        notifier: Notifier,
        *,
        sender: UpdateSender,
        rekeyer: Rekeyer,
        parallel: ParallelSas,
        verifier: Verifier,
        steering: Steering,
        mobility: Mobility,
    ) -> None:
        self._core: Final = core
        self._authenticator: Final = authenticator
        self._notifier: Final = notifier
        self._sender: Final = sender
        self._rekeyer: Final = rekeyer
        self._parallel: Final = parallel
        self._verifier: Final = verifier
        self._steering: Final = steering
        self._mobility: Final = mobility
        self.when_authentic: Final[list[Authentic]] = []
        """Who else is shown each UPDATE whose MAC and signature are right."""

    # --- before the signature ---

    def on_update(self, packet: HipPacket, path: Path, now: float) -> None:
        """Check an UPDATE (section 6.12).

        Raises:
            RefusedError, WireError: the UPDATE goes no further.
        """
        association, keying = self._authenticator.expect(packet, Trigger.UPDATE_VALID)
        sequence, acknowledgement = packet.get(Seq), packet.get(Ack)
        if sequence is None:
            work = self._check_ack_only(association, acknowledgement)
        else:
            self._check_sequence(association, sequence.update_id, path, now)
            self._rekeyer.check(packet, association, keying)
            work = SEQ_WORK + sequence.update_id
        self._authenticator.check(
            packet, association, keying, partial(self._on_verified, packet, path), work=work
        )

    @staticmethod
    def _check_ack_only(association: Association, acknowledgement: Ack | None) -> int | None:
        """An ACK must name a SEQ of ours that is outstanding (section 6.12.2)."""
        if acknowledgement is None:
            return None  # INVALID_SYNTAX, but only after the signature (section 5.2.19)
        outstanding = association.updates.outstanding
        named = [update_id for update_id in acknowledgement.update_ids if update_id in outstanding]
        if not named:
            raise RefusedError("state_unexpected")
        return ACK_WORK + named[0]

    def _check_sequence(
        self, association: Association, update_id: int, path: Path, now: float
    ) -> None:
        """New, known or out of the window (section 6.12.1); new ones within a rate."""
        updates, config = association.updates, self._core.config
        standing = updates.window.standing(update_id)
        if standing is Standing.NEW:
            if updates.bucket is None:
                updates.bucket = TokenBucket(config.update_rate, config.update_burst, now)
            if not updates.bucket.take(now):
                raise RefusedError("update_rate")
            return
        if standing is Standing.KNOWN and not updates.window.is_pending(update_id):
            self._answer_again(association, update_id, path, now)
        raise RefusedError("replayed")

    def _answer_again(
        self, association: Association, update_id: int, path: Path, now: float
    ) -> None:
        """Acknowledge again what is sent again, within a rate (section 6.12.1 step 2).

        A nonce goes only where it was meant for: the answer to a copy from elsewhere is bare.
        """
        core = self._core
        if not core.reply_limit.allows(path.peer, now):
            return
        association.retransmissions += 1
        answer = association.updates.window.answer_to(update_id)
        if answer is not None and answer.bound_to in {None, path}:
            core.transmit(answer.octets, path)
        else:
            self._sender.acknowledge(association, Reply(update_id, path))

    # --- after it ---

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
        window = association.updates.window
        if sequence is not None:
            if window.standing(sequence.update_id) is not Standing.NEW:
                core.drop("replayed")
                return
            window.record(sequence.update_id)
        if association.state is State.R2_SENT:
            core.establish(association, Trigger.UPDATE_VALID, now)
        else:
            association.move(Trigger.UPDATE_VALID, now)
        association.last_heard_s = now
        self._take_acks(packet, path, association, now)
        for show in self.when_authentic:
            show(association, packet, now)
        if association.keying is not keying or association.state is not State.ESTABLISHED:
            return
        self._steering.on_arrival(association, path, is_new=sequence is not None)
        if sequence is None:
            self._mobility.settle(association, now)
            return
        echo = packet.get(EchoRequestSigned)
        unsigned = tuple(request.data for request in packet.all(EchoRequestUnsigned))
        reply = Reply(sequence.update_id, path, None if echo is None else echo.data, unsigned)
        self._act(packet, reply, association, now)

    def _take_acks(
        self, packet: HipPacket, path: Path, association: Association, now: float
    ) -> None:
        update_ids = [one for ack in packet.all(Ack) for one in ack.update_ids]
        echo = packet.get(EchoResponseSigned)
        for outstanding in self._sender.take_acks(association, update_ids, now):
            self._verifier.on_ack(outstanding, b"" if echo is None else echo.data)
            self._sender.acked[outstanding.purpose](association, outstanding, path, now)

    def _act(self, packet: HipPacket, reply: Reply, association: Association, now: float) -> None:
        """Do what an UPDATE with a SEQ asks for, and see to it that it is acknowledged."""
        updates = association.updates
        listing, info = packet.get(LocatorSet), packet.get(EspInfo)
        if listing is not None and self._is_newest(updates.located_by, reply):
            updates.located_by = reply.update_id
            self._mobility.on_locator_set(association, listing.locators, reply.path, now)
        if (
            info is not None
            and info.old_spi != info.new_spi  # else it replaces nothing, nor an earlier one
            and self._is_newest(updates.rekeyed_by, reply)
        ):
            updates.rekeyed_by = reply.update_id
            is_of_pair = not info.old_spi or not info.new_spi
            taker = self._parallel if is_of_pair else self._rekeyer
            if taker.on_esp_info(association, info, packet, reply, now):
                return  # it is acknowledged once the new inbound SA is there
        is_acknowledged = self._verifier.verify_all(association, reply) or (
            listing is not None and self._verifier.verify_again(association, reply)
        )
        if not is_acknowledged:
            self._sender.acknowledge(association, reply)
        self._mobility.settle(association, now)

    @staticmethod
    def _is_newest(last: int | None, reply: Reply) -> bool:
        return last is None or is_later(reply.update_id, last)
