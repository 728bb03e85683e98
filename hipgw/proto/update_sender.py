"""UPDATEs of ours: numbering, retransmission, acknowledgement (RFC 7401 section 6.11).

An UPDATE goes to the best path first.  When that stays silent, it goes to all other pairs of
addresses as well (RFC 8047 section 4.2.7), and to the peer's rendezvous servers (RFC 8046 section
3.2.3), unless it asks about one address.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from functools import partial
from typing import Final

from hipgw.errors import LocalProtocolError
from hipgw.proto.association import Association
from hipgw.proto.core import Core, TimerKind
from hipgw.proto.jobs import SignPacket
from hipgw.proto.keying import Keying
from hipgw.proto.locators import PeerLocator
from hipgw.proto.packets import with_unsigned_echoes
from hipgw.proto.pairs import all_paths, rendezvous_paths
from hipgw.proto.shotgun import Shotgun
from hipgw.proto.states import State
from hipgw.proto.update_state import (
    UPDATE_ID_MODULUS,
    WINDOW,
    Answer,
    Outstanding,
    Purpose,
    Reply,
    Updates,
)
from hipgw.values import Address, Path
from hipgw.wire import (
    Ack,
    EchoRequestSigned,
    EchoResponseSigned,
    PacketType,
    Parameter,
    Seq,
)

NONCE_OCTETS: Final = 16

Acked = Callable[[Association, Outstanding, Path, float], None]
Unanswered = Callable[[Association, Outstanding, float], None]
Beside = Callable[[Association, Purpose, tuple[Parameter, ...]], Sequence[Parameter]]


class UpdateSender:
    """Sends UPDATEs and acknowledgements; who sent an UPDATE hears of its end.

    `acked` and `unanswered` are filled by the parts that know what an UPDATE is for.
    """

    def __init__(self, core: Core, shotgun: Shotgun) -> None:
        self._core: Final = core
        self._shotgun: Final = shotgun
        self.acked: Final[dict[Purpose, Acked]] = {}
        self.unanswered: Final[dict[Purpose, Unanswered]] = {}
        self.beside: Beside | None = None
        """What else an UPDATE may carry, if there is room."""

    # --- with SEQ ---

    def send(
        self,
        association: Association,
        purpose: Purpose,
        parameters: Iterable[Parameter],
        *,
        path: Path | None = None,
        wide_after: int | None = None,
        tries_most: int | None = None,
        locator: PeerLocator | None = None,
        replies: Sequence[Reply] = (),
    ) -> Outstanding | None:
        """Number, sign and send an UPDATE, and again until it is acknowledged.

        Args:
            association: to whom; ESTABLISHED.
            purpose: names who hears of the end.
            parameters: all but SEQ, ACK and echoes.
            path: where it goes first; None for the path in use.
            wide_after: tries on that path alone; None for all of them.
            tries_most: after so many tries it counts as unanswered; None for `update_tries`.
            locator: the locator at the far end of `path` that an echo is to verify.
            replies: UPDATEs of the peer that this one acknowledges.

        Returns:
            What is outstanding now; None when nothing could be sent, and `replies` wait still.
        """
        core, config, updates = self._core, self._core.config, association.updates
        keying, first = association.keying, updates.first_outstanding()
        if keying is None or association.state is not State.ESTABLISHED:
            return None
        if first is not None and (updates.next_id - first) % UPDATE_ID_MODULUS >= WINDOW:
            core.note("update_window_full")
            return None
        nonce = b"" if locator is None else core.randomness(NONCE_OCTETS)
        everything = [*parameters, Seq(updates.next_id), *_acknowledging(replies)]
        if nonce:
            everything.append(EchoRequestSigned(nonce))
        if self.beside is not None:
            everything += self.beside(association, purpose, tuple(everything))
        octets = self._build(association, keying, everything)
        if octets is None:
            return None
        outstanding = Outstanding(
            updates.next_id,
            purpose,
            association.path if path is None else path,
            follows=path is None,
            wide_after=0 if config.shotgun and wide_after is not None else wide_after,
            tries_most=config.update_tries if tries_most is None else tries_most,
            nonce=nonce,
            locator=locator,
        )
        if locator is not None:
            locator.verifying = outstanding.update_id
        updates.outstanding[outstanding.update_id] = outstanding
        updates.next_id = (updates.next_id + 1) % UPDATE_ID_MODULUS
        core.compute(
            SignPacket(association.dialect, association.local, octets),
            partial(self._on_signed, association, (updates, outstanding), tuple(replies)),
        )
        return outstanding

    def _build(
        self, association: Association, keying: Keying, parameters: Iterable[Parameter]
    ) -> bytes | None:
        """All but the signature; None when an echo that the peer asked for leaves no room."""
        local, peer, dialect = association.local.hit, association.peer, association.dialect
        try:
            octets = dialect.build(PacketType.UPDATE, local, peer, parameters)
            mac_key, _ = dialect.mac_keys_after_exchange(keying.hip)
            return dialect.with_mac(octets, keying.protection, mac_key)
        except LocalProtocolError:
            self._core.note("update_too_long")
            return None

    def _on_signed(
        self,
        association: Association,
        what: tuple[Updates, Outstanding],
        replies: tuple[Reply, ...],
        result: object,
        now: float,
    ) -> None:
        updates, outstanding = what
        if association.updates is not updates or association.state is not State.ESTABLISHED:
            return
        is_wanted = updates.outstanding.get(outstanding.update_id) is outstanding
        if not is_wanted or not isinstance(result, bytes):
            if is_wanted:
                self._core.note("update_not_sent")
                self.cancel(association, outstanding)
            for reply in replies:
                self.acknowledge(association, reply)
            return
        unsigned = (echo for reply in replies for echo in reply.unsigned)
        result = with_unsigned_echoes(result, unsigned)
        outstanding.octets = result
        outstanding.sent_s = now
        outstanding.delay_s = self._first_delay_s(association)
        bound_to = outstanding.path if outstanding.nonce else None
        for reply in replies:
            updates.window.answered(reply.update_id, Answer(result, bound_to))
        self._transmit(association, outstanding, now)
        self._arm(association, now)

    def _first_delay_s(self, association: Association) -> float:
        """Twice the round-trip time (section 6.11), within bounds."""
        config, reach = self._core.config, association.reach
        delay_s = config.retry_first_s
        if reach.rtt_s is not None:
            delay_s = max(2.0 * reach.rtt_s, config.update_retry_least_s)
        return min(max(delay_s, reach.backed_off_s), config.retry_most_s)

    def _transmit(self, association: Association, outstanding: Outstanding, now: float) -> None:
        """One try, over one path or over all."""
        core = self._core
        if outstanding.follows:
            outstanding.path = association.path
        paths = [outstanding.path]
        if outstanding.wide_after is not None:
            usable = all_paths(core, association)
            if outstanding.path not in usable:  # an address has gone since
                paths = [association.path] if association.path in usable else usable[:1]
            if outstanding.tries >= outstanding.wide_after:
                paths += [path for path in usable if path not in paths]
            if not paths or outstanding.tries >= outstanding.wide_after:
                paths += rendezvous_paths(core, association)
        if any(path != outstanding.path for path in paths):
            self._void(outstanding)
        if not paths:
            outstanding.due_s = now + outstanding.delay_s  # stranded: that is no try
            outstanding.delay_s = min(2 * outstanding.delay_s, core.config.retry_most_s)
            return
        if outstanding.tries:
            association.retransmissions += 1
        outstanding.tries += 1
        outstanding.due_s = now + core.jitter(outstanding.delay_s)
        outstanding.delay_s = min(2 * outstanding.delay_s, core.config.retry_most_s)
        self._shotgun.hold_fire(association, outstanding.octets)
        self._shotgun.shoot(association, outstanding.octets, paths, now)

    @staticmethod
    def _void(outstanding: Outstanding) -> None:
        """The nonce goes to more than one address now, so it proves none."""
        outstanding.nonce = b""
        if outstanding.locator is not None:
            outstanding.locator.verifying = None
            outstanding.locator = None

    # --- time ---

    def _arm(self, association: Association, now: float) -> None:
        due = [one.due_s for one in association.updates.outstanding.values() if one.octets]
        if due:
            self._core.arm(association, TimerKind.UPDATE, now, max(min(due) - now, 0.0))
        else:
            self._core.cancel_timers(association, (TimerKind.UPDATE,))

    def on_due(self, association: Association, now: float) -> None:
        """Send again what is due, or give it up."""
        for outstanding in tuple(association.updates.outstanding.values()):
            if not outstanding.octets or outstanding.due_s > now:
                continue
            if outstanding.tries < outstanding.tries_most:
                self._transmit(association, outstanding, now)
                continue
            self.cancel(association, outstanding)
            self.unanswered[outstanding.purpose](association, outstanding, now)
            if association.state is not State.ESTABLISHED:
                return
        self._arm(association, now)

    def hurry(self, association: Association, now: float) -> None:
        """The ways to the peer have changed: send again at once what may take another one."""
        for outstanding in association.updates.outstanding.values():
            if outstanding.octets and outstanding.wide_after is not None:
                outstanding.due_s = now
                outstanding.delay_s = self._first_delay_s(association)
                outstanding.tries = min(outstanding.tries, outstanding.tries_most - 1)
        self._arm(association, now)

    def abandon(self, association: Association, present: Container[Address]) -> None:
        """Stop what can only be sent from addresses that have gone."""
        for outstanding in tuple(association.updates.outstanding.values()):
            if outstanding.wide_after is None and outstanding.path.local not in present:
                self.cancel(association, outstanding)

    # --- the end of it ---

    def cancel(self, association: Association, outstanding: Outstanding) -> None:
        """Stop sending; a late ACK means nothing any more."""
        self._forget(association, outstanding)
        locator = outstanding.locator
        if locator is not None and locator.verifying == outstanding.update_id:
            locator.verifying = None

    def _forget(self, association: Association, outstanding: Outstanding) -> None:
        association.updates.outstanding.pop(outstanding.update_id, None)
        self._shotgun.hold_fire(association, outstanding.octets)

    def take_acks(
        self, association: Association, update_ids: Iterable[int], now: float
    ) -> list[Outstanding]:
        """Take what an ACK names off the list; the caller tells who sent it (section 6.12.2)."""
        taken = []
        for update_id in update_ids:
            outstanding = association.updates.outstanding.get(update_id)
            if outstanding is None or not outstanding.octets:
                continue
            if outstanding.tries == 1:  # else we cannot tell which copy is answered
                association.reach.sample_rtt(now - outstanding.sent_s)
            elif outstanding.purpose not in {Purpose.VERIFY, Purpose.RECHECK}:
                delay_s = min(outstanding.delay_s / 2, 2 * self._core.config.retry_first_s)
                association.reach.backed_off_s = delay_s
            self._forget(association, outstanding)
            taken.append(outstanding)
        if taken:
            self._arm(association, now)
        return taken

    # --- without SEQ ---

    def acknowledge(self, association: Association, reply: Reply) -> None:
        """Send an ACK alone, back to where the UPDATE came from; it is not sent again by itself."""
        keying = association.keying
        if keying is None:
            return
        octets = self._build(association, keying, _acknowledging((reply,)))
        if octets is None:
            octets = self._build(association, keying, (Ack((reply.update_id,)),))
        if octets is None:
            return
        self._core.compute(
            SignPacket(association.dialect, association.local, octets),
            partial(self._on_ack_signed, association, association.updates, reply),
        )

    def _on_ack_signed(
        self,
        association: Association,
        updates: Updates,
        reply: Reply,
        result: object,
        _now: float,
    ) -> None:
        if association.updates is not updates:
            return
        if not isinstance(result, bytes):
            updates.window.give_up(reply.update_id)
            self._core.drop("hip_long")
            return
        octets = with_unsigned_echoes(result, reply.unsigned)
        updates.window.answered(reply.update_id, Answer(octets))
        self._core.transmit(octets, reply.path)


def _acknowledging(replies: Sequence[Reply]) -> list[Parameter]:
    """ACK of all of them, and the echo that the last one asks for: there may be one only."""
    if not replies:
        return []
    parameters: list[Parameter] = [Ack(tuple(reply.update_id for reply in replies))]
    echoes = [reply.echo for reply in replies if reply.echo is not None]
    if echoes:
        parameters.append(EchoResponseSigned(echoes[-1]))
    return parameters
