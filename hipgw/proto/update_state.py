"""UPDATEs of one association, both ways, as data (RFC 7401 sections 6.11, 6.12)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from hipgw.proto.limits import TokenBucket
from hipgw.proto.locators import PeerLocator
from hipgw.values import Path

UPDATE_ID_MODULUS: Final = 1 << 32
WINDOW: Final = 32
"""How far a SEQ may be ahead of the last one seen, and how far behind it is remembered."""
ANSWERS_KEPT: Final = 4
_MASK: Final = (1 << WINDOW) - 1


class Standing(Enum):
    """What a SEQ is to us."""

    NEW = "new"
    KNOWN = "seen before"
    OUTSIDE = "out of the window"


@dataclass(frozen=True, slots=True)
class Answer:
    """The UPDATE that acknowledged a SEQ, to be sent again when that SEQ comes again.

    `bound_to` is the one path it may take: it holds a nonce that proves who answers from there
    (RFC 8046 section 5.4).  None when any will do.
    """

    octets: bytes = field(repr=False)
    bound_to: Path | None = None


class ReceiveWindow:
    """SEQs of the peer: each is worked on once, in whatever order they arrive (section 6.12.1)."""

    __slots__ = ("_answers", "_last", "_pending", "_seen", "_span")

    def __init__(self) -> None:
        self._last = UPDATE_ID_MODULUS - 1  # the first Update ID is 0 (section 5.3.5)
        self._seen = 0
        self._span = 0  # how many Update IDs up to the last one there have been, at most WINDOW
        self._answers: dict[int, Answer] | None = None
        self._pending: set[int] | None = None
        """SEQs whose answer is being made; None for none, which costs an idle peer nothing."""

    def standing(self, update_id: int) -> Standing:
        """Judge a SEQ, modulo 2^32."""
        ahead = (update_id - self._last) % UPDATE_ID_MODULUS
        if 0 < ahead <= WINDOW:
            return Standing.NEW
        behind = -ahead % UPDATE_ID_MODULUS
        if behind >= self._span:
            return Standing.OUTSIDE
        return Standing.KNOWN if self._seen >> behind & 1 else Standing.NEW

    def record(self, update_id: int) -> None:
        """Remember a SEQ that is NEW; from now on it is KNOWN."""
        ahead = (update_id - self._last) % UPDATE_ID_MODULUS
        if 0 < ahead <= WINDOW:
            self._last = update_id
            self._span = min(self._span + ahead, WINDOW)
            self._seen = (self._seen << ahead | 1) & _MASK
        else:
            self._seen |= 1 << (-ahead % UPDATE_ID_MODULUS)
        if self._pending is None:
            self._pending = set()
        self._pending.add(update_id)

    def is_pending(self, update_id: int) -> bool:
        """Whether the answer to a SEQ is being made."""
        return self._pending is not None and update_id in self._pending

    def give_up(self, update_id: int) -> None:
        """No answer to a SEQ is being made any more."""
        if self._pending is not None:
            self._pending.discard(update_id)
            self._pending = self._pending or None

    def answered(self, update_id: int, answer: Answer) -> None:
        """Keep the answer to a SEQ; the last few are kept."""
        self.give_up(update_id)
        if self._answers is None:
            self._answers = {}
        self._answers[update_id] = answer
        while len(self._answers) > ANSWERS_KEPT:
            del self._answers[next(iter(self._answers))]

    def answer_to(self, update_id: int) -> Answer | None:
        """What was answered to a KNOWN SEQ, if it is still kept."""
        return None if self._answers is None else self._answers.get(update_id)


def is_later(update_id: int, than: int) -> bool:
    """Whether one SEQ was sent after another, modulo 2^32."""
    return 0 < (update_id - than) % UPDATE_ID_MODULUS < UPDATE_ID_MODULUS // 2


@dataclass(frozen=True, slots=True)
class Reply:
    """An UPDATE of the peer that waits for its acknowledgement."""

    update_id: int
    path: Path
    """Where it came from, which is where the ACK goes."""
    echo: bytes | None = None
    """ECHO_REQUEST_SIGNED that it held."""
    unsigned: tuple[bytes, ...] = ()
    """ECHO_REQUEST_UNSIGNEDs, which middleboxes add (RFC 7401 section 5.2.21)."""


class Purpose(Enum):
    """What an UPDATE of ours with a SEQ is for; decides what its end means."""

    REKEY = "new security associations"
    PAIR = "a further pair of security associations, or the end of one"
    LOCATORS = "our locators"
    VERIFY = "reachability of one address of the peer"
    PROBE = "is the peer there, and over which path"
    CERTIFICATES = "certificates that the base exchange had no room for, or that were asked for"
    RECHECK = "does a path that failed work again"


@dataclass(slots=True, eq=False)
class Outstanding:
    """An UPDATE of ours that is not acknowledged yet."""

    update_id: int
    purpose: Purpose
    path: Path
    """Where it is sent first."""
    follows: bool
    """Whether that is always the path in use."""
    wide_after: int | None
    """Tries on that path before all other pairs are tried as well; None: nowhere else."""
    tries_most: int
    octets: bytes = field(default=b"", repr=False)
    """Signed; empty until then."""
    nonce: bytes = field(default=b"", repr=False)
    """ECHO_REQUEST that proves `locator`, as long as it was sent to no other address."""
    locator: PeerLocator | None = None
    is_suspect: bool = False
    """Whether the first path is in doubt: an answer over another one decides against it."""
    tries: int = 0
    sent_s: float = 0.0
    due_s: float = 0.0
    delay_s: float = 0.0


@dataclass(slots=True, eq=False)
class Updates:
    """SEQs of both sides."""

    next_id: int = 0
    outstanding: dict[int, Outstanding] = field(default_factory=dict)
    window: ReceiveWindow = field(default_factory=ReceiveWindow)
    bucket: TokenBucket | None = None
    """Rate at which new UPDATEs of this peer are worked on."""
    located_by: int | None = None
    """Last SEQ whose LOCATOR_SET was used: an older one that comes late says nothing new."""
    rekeyed_by: int | None = None
    """Last SEQ whose ESP_INFO was used."""

    def first_outstanding(self) -> int | None:
        """Our oldest Update ID without an ACK."""
        return next(iter(self.outstanding), None)
