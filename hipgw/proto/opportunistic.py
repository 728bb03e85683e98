"""Opportunistic mode of the Initiator: who is at an address? (RFC 7401 section 4.1.8).

An I1 to the NULL HIT asks.  The R1 that answers decides the peer's HIT, so it must come from where
the I1 went, to where it came from.  Whoever sees the I1, or guesses our HIT, can still answer in
the peer's place: the operator chooses this mode with that in mind, and may name the HIT expected at
the address.  Nothing of an R1 is used before its signature is verified; a few are verified, and the
first good one ends the attempt.  It is answered itself, so the exchange takes two round trips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from hipgw.crypto import HostIdentity
from hipgw.errors import LocalProtocolError
from hipgw.proto.association import Association
from hipgw.proto.core import Core
from hipgw.proto.dialect import Dialect
from hipgw.proto.events import PeerFound, PeerNotFound, Role
from hipgw.proto.initiator import Initiator, ReceivedR1
from hipgw.proto.local_identity import LocalIdentity
from hipgw.proto.refusals import Refused, RefusedError
from hipgw.proto.states import State, Trigger
from hipgw.values import NULL_HIT, Address, Hit, Path
from hipgw.wire import CONTROL_ANONYMOUS, HipPacket, PacketType


@dataclass(slots=True, eq=False)
class Attempt:
    """I1s to the NULL HIT at one address."""

    association: Association
    """In I1-SENT, with the NULL HIT for a peer: it is in the table once the peer is known."""
    paths: tuple[Path, ...]
    expected: Hit | None
    verified: int = 0
    """R1s whose signature was looked at."""
    seen: Hit = NULL_HIT
    """An authentic host that is not the one expected."""


class Opportunist:
    """Sends I1s to the NULL HIT and takes the R1s that answer them."""

    def __init__(self, core: Core, initiator: Initiator) -> None:
        self._core: Final = core
        self._initiator: Final = initiator
        self._attempts: Final[dict[tuple[Hit, Address], Attempt]] = {}

    def __len__(self) -> int:
        return len(self._attempts)

    def _dialect_for(self, identity: LocalIdentity) -> Dialect:
        """How to speak to somebody unknown; LocalProtocolError when `identity` may not."""
        try:
            dialect = self._core.dialects.of(identity.version, NULL_HIT)
        except RefusedError as refusal:
            raise LocalProtocolError(
                f"{identity.hit} is of HIPv1, which unknown hosts may not speak here"
            ) from refusal
        if not dialect.may_use(identity):
            raise LocalProtocolError(f"{identity.hit} has a weak key: not for unknown hosts")
        return dialect

    def seek(
        self,
        identity: LocalIdentity,
        paths: Sequence[Path],
        expected: Hit | None,
        now: float,
    ) -> None:
        """Ask who is at an address; asking again while an answer is awaited does no harm.

        Args:
            identity: who asks.
            paths: ways to one and the same address.
            expected: the only HIT that will do, or None for anyone's.
            now: monotonic seconds.

        Raises:
            LocalProtocolError: no path, paths to several addresses, or an identity of old that
                only peers may see that are allowed it.
        """
        core = self._core
        if len({path.peer for path in paths}) != 1:
            raise LocalProtocolError("opportunistic mode wants paths to one address")
        key = identity.hit, paths[0].peer
        if key in self._attempts:
            return
        if len(self._attempts) >= core.config.opportunistic_most or not core.has_room():
            core.events.append(PeerNotFound(identity.hit, NULL_HIT, paths[0], "busy"))
            return
        dialect = self._dialect_for(identity)
        association = Association(identity, NULL_HIT, dialect, paths[0], Role.INITIATOR, now, now)
        self._attempts[key] = Attempt(association, tuple(paths), expected)
        self._initiator.begin(association, paths, now)

    def give_up(self, local: Hit, address: Address) -> None:
        """Wait no longer for who is at an address."""
        attempt = self._attempts.get((local, address))
        if attempt is not None:
            self._fail(attempt, "operator")

    def on_retry(self, association: Association, now: float) -> None:
        """Send the I1 again, or give up: at once when only somebody else has answered."""
        attempt = self._attempts[association.local.hit, association.path.peer]
        initiation = association.initiation
        if not attempt.seen.is_null:
            self._fail(attempt, "peer_changed", attempt.seen)
        elif initiation is None or initiation.tries >= self._core.config.tries:
            self._fail(attempt, "no_answer")
        else:
            self._initiator.on_retry(association, now)

    def on_r1(self, packet: HipPacket, path: Path, now: float) -> None:
        """Take an R1 that answers an I1 to the NULL HIT; every other goes to the Initiator.

        Raises:
            RefusedError, WireError: the R1 goes no further.
        """
        attempt = self._attempts.get((packet.receiver, path.peer))
        known = self._core.find(packet.receiver, packet.sender)
        is_exchanging = known is not None and known.initiation is not None
        if attempt is None or path not in attempt.paths or is_exchanging:
            self._initiator.on_r1(packet, path, now)
            return
        initiation = attempt.association.initiation
        dialect = self._core.dialects.of(packet.version, packet.sender)
        if not dialect.can_verify(packet.sender):
            raise RefusedError("hit_suite")
        if initiation is None or attempt.verified >= self._core.config.opportunistic_r1_most:
            raise RefusedError("busy")
        initiation.unanswered.discard(path)
        r1 = ReceivedR1(attempt.association, initiation, packet, path, now)
        self._initiator.examine(r1, dialect, partial(self._on_verified, attempt, r1))
        attempt.verified += 1

    def _on_verified(self, attempt: Attempt, r1: ReceivedR1, result: object, now: float) -> None:
        core, peer = self._core, r1.packet.sender
        r1.initiation.r1_jobs -= 1
        if not isinstance(result, HostIdentity):
            core.drop(result.reason if isinstance(result, Refused) else "busy")
            return
        if self._attempts.get(_key(attempt)) is not attempt:
            core.drop("state_unexpected")  # another R1 was first
            return
        if attempt.expected not in {None, peer}:
            attempt.seen = peer
            core.drop("peer_changed")
            return
        refusal = self._refusal(r1)
        if refusal is not None:
            core.drop(refusal)
            self._fail(attempt, refusal, peer)
            return
        self._found(attempt, r1, result, now)

    def _refusal(self, r1: ReceivedR1) -> str | None:
        """What the operator has against this peer (section 6.8 for the A bit)."""
        config = self._core.config
        if r1.packet.controls & CONTROL_ANONYMOUS and not config.accept_anonymous:
            return "anonymous"
        return None if config.permits(r1.packet.sender) else "policy"

    def _found(self, attempt: Attempt, r1: ReceivedR1, identity: HostIdentity, now: float) -> None:
        """Go on as with any peer whose HIT is known."""
        core, association, peer = self._core, attempt.association, r1.packet.sender
        local = association.local
        del self._attempts[_key(attempt)]
        core.cancel_timers(association)
        is_anonymous = bool(r1.packet.controls & CONTROL_ANONYMOUS)
        core.events.append(PeerFound(local.hit, peer, r1.path, is_anonymous))
        known = core.find(local.hit, peer)
        if known is not None and known.state is State.E_FAILED:
            core.end(known, Trigger.HOLD_OVER, now)  # the peer is alive: no need to wait
            known = None
        if known is not None:
            if known.allows(Trigger.DATA_TO_SEND) and known.initiation is None:
                self._initiator.begin(known, attempt.paths, now)
            return
        association.peer = peer
        association.dialect = dialect = core.dialects.of(local.version, peer)
        core.add(association)
        r1.initiation.i1 = dialect.build(
            PacketType.I1, local.hit, peer, dialect.i1_parameters(core.config)
        )
        self._initiator.arm_retry(association, r1.initiation, now)
        self._initiator.take(r1, identity, now)

    def _fail(self, attempt: Attempt, reason: str, peer: Hit = NULL_HIT) -> None:
        association = attempt.association
        del self._attempts[_key(attempt)]
        self._core.cancel_timers(association)
        association.initiation = None
        self._core.events.append(
            PeerNotFound(association.local.hit, peer, association.path, reason)
        )


def _key(attempt: Attempt) -> tuple[Hit, Address]:
    association = attempt.association
    return association.local.hit, association.path.peer
