"""Which LSI belongs to which HIT: the rules, without the file that keeps them over a restart.

An LSI is a local alias of a HIT (RFC 5338 section 3 uses the word; it never goes on the wire).
Three kinds of entry, the stronger first:

* own: of an identity of this host; the first one is the first address of the prefix, 1.0.0.1.
* fixed: chosen by the operator in the configuration, a hosts file or at run time.
* automatic: the next free one.  These are kept over restarts, so an application's notes stay true.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Network
from itertools import islice
from typing import Final

from hipgw.errors import LocalProtocolError
from hipgw.values import Hit, Lsi

OWN_RESERVED: Final = 4
"""Addresses at the start of the prefix that no peer gets by itself: HIPL gives 1.0.0.1 to 1.0.0.4
to the host's own identities."""
AUTOMATIC_LIMIT: Final = 16_384
"""Automatic entries kept; above it the longest unused one gives way, so that a stream of strangers
cannot fill the state file."""


LOOKED_AT: Final = 16
"""Entries that are looked at when one has to give way."""


class LsiKind(IntEnum):
    """Who chose an LSI; a larger number wins over a smaller one."""

    AUTOMATIC = 0
    FIXED = 1
    OWN = 2


class LsiConflictError(LocalProtocolError):
    """An LSI that cannot be given to this HIT; says who has it."""


class LsiTable:
    """HIT <-> LSI, each at most once."""

    def __init__(self, prefix: IPv4Network, automatic_limit: int = AUTOMATIC_LIMIT) -> None:
        self.prefix: Final = prefix
        self._automatic_limit = automatic_limit
        self._lsi_of: dict[Hit, Lsi] = {}
        self._hit_of: dict[Lsi, Hit] = {}
        self._kind: dict[Hit, LsiKind] = {}
        """Of those that are not automatic, which most are."""
        self._first = int(prefix.network_address) + 1
        self._last = int(prefix.broadcast_address) - 1
        self._cursor = min(self._first + OWN_RESERVED, self._last)

    def __len__(self) -> int:
        return len(self._lsi_of)

    def lsi_of(self, hit: Hit) -> Lsi | None:
        """The LSI of a HIT, or None when it has none yet."""
        return self._lsi_of.get(hit)

    def hit_of(self, lsi: Lsi) -> Hit | None:
        """The HIT behind an LSI, or None."""
        return self._hit_of.get(lsi)

    def automatic(self) -> dict[Hit, Lsi]:
        """Entries to keep over a restart, longest unused first."""
        return {h: x for h, x in self._lsi_of.items() if h not in self._kind}

    def give_own(self, hit: Hit) -> Lsi:
        """The LSI of an identity of this host: the lowest address that is not taken.

        Raises:
            LsiConflictError: all are.
        """
        if self._kind.get(hit) is LsiKind.OWN:
            return self._lsi_of[hit]
        lsi = self.lowest_free()
        self._put(hit, lsi, LsiKind.OWN)
        return lsi

    def lowest_free(self) -> Lsi:
        """What the next identity of this host would get.

        Raises:
            LsiConflictError: no address of the prefix is free.
        """
        for number in range(self._first, self._last + 1):
            if _lsi(number) not in self._hit_of:
                return _lsi(number)
        raise self._no_room()

    def release_own(self, hit: Hit) -> None:
        """An identity of this host is no more; its LSI is free again."""
        if self._kind.get(hit) is LsiKind.OWN:
            self._forget(hit)

    def fix(self, hit: Hit, lsi: Lsi, *, may_move_others: bool = False) -> None:
        """Give a HIT the LSI that the operator chose.

        Args:
            hit: who gets it.
            lsi: what it gets.
            may_move_others: an automatic entry of another HIT may be forgotten for it (at start,
                when no application holds that LSI).

        Raises:
            LsiConflictError: outside the prefix, or another HIT has it.
        """
        self._check_usable(lsi)
        holder = self._hit_of.get(lsi)
        if holder is not None and holder != hit:
            if not (may_move_others and holder not in self._kind):
                raise LsiConflictError(f"LSI {lsi} already belongs to {holder}, not to {hit}")
            self._forget(holder)
        kind = self._kind.get(hit, LsiKind.FIXED)
        if kind is LsiKind.OWN and self._lsi_of[hit] != lsi:
            raise LsiConflictError(f"{hit} is an identity of this host: it keeps its LSI")
        self._put(hit, lsi, max(kind, LsiKind.FIXED))

    def restore(self, entries: Mapping[Hit, Lsi]) -> list[Hit]:
        """Take automatic entries of an earlier run; returns the HITs whose LSI is not free now."""
        refused = []
        for hit, lsi in entries.items():
            if hit in self._lsi_of:
                continue
            try:
                self._check_usable(lsi)
            except LsiConflictError:
                refused.append(hit)
                continue
            if lsi in self._hit_of:
                refused.append(hit)
            else:
                self._put(hit, lsi, LsiKind.AUTOMATIC)
        return refused

    def give(self, hit: Hit, is_in_use: Callable[[Hit], bool] = lambda _: False) -> Lsi:
        """The LSI of a peer, allocated now if it has none.

        Args:
            hit: the peer.
            is_in_use: tells whether a HIT must keep its LSI although the table is full.

        Raises:
            LsiConflictError: no address of the prefix is free.
        """
        known = self._lsi_of.get(hit)
        if known is not None:
            if hit not in self._kind:
                self._lsi_of[hit] = self._lsi_of.pop(hit)
            return known
        if len(self._lsi_of) >= self._automatic_limit:
            self._forget_one(is_in_use)
        lsi = self._next_free()
        self._put(hit, lsi, LsiKind.AUTOMATIC)
        return lsi

    def _next_free(self) -> Lsi:
        start = min(self._first + OWN_RESERVED, self._last)
        for number in _ring(start, self._cursor, self._last):
            if _lsi(number) not in self._hit_of:
                self._cursor = number
                return _lsi(number)
        raise self._no_room()

    def _no_room(self) -> LsiConflictError:
        return LsiConflictError(
            f"no LSI of {self.prefix} is free: give [network] lsi_prefix a shorter prefix"
        )

    def _forget_one(self, is_in_use: Callable[[Hit], bool]) -> None:
        """Forget the longest unused automatic entry.

        What is in use goes to the end of the line, so a table of entries in use costs a short look
        and not a search.
        """
        for hit in tuple(islice(self._lsi_of, LOOKED_AT)):
            if hit not in self._kind and not is_in_use(hit):
                self._forget(hit)
                return
            self._lsi_of[hit] = self._lsi_of.pop(hit)

    def _forget(self, hit: Hit) -> None:
        lsi = self._lsi_of.pop(hit)
        del self._hit_of[lsi]
        self._kind.pop(hit, None)

    def _put(self, hit: Hit, lsi: Lsi, kind: LsiKind) -> None:
        if hit in self._lsi_of:
            self._forget(hit)
        self._lsi_of[hit] = lsi
        self._hit_of[lsi] = hit
        if kind is not LsiKind.AUTOMATIC:
            self._kind[hit] = kind

    def _check_usable(self, lsi: Lsi) -> None:
        number = int(IPv4Address(lsi.packed))
        if not self._first <= number <= self._last:
            raise LsiConflictError(f"LSI {lsi} is not a host address of {self.prefix}")


def _ring(start: int, cursor: int, last: int) -> Iterable[int]:
    """Every number of start..last once, beginning at the cursor."""
    yield from range(cursor, last + 1)
    yield from range(start, cursor)


def _lsi(number: int) -> Lsi:
    return Lsi(number.to_bytes(4, "big"))
