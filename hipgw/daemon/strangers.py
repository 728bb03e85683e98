"""Has the data path answer I1s of strangers with the R1s that the engine has made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hipgw._fastpath.answer_i1 import I1Desk
from hipgw.proto import ClaimI1s, PublishR1s
from hipgw.values import Hit


class Strangers:
    """Brings the engine's effects into the data path's terms."""

    def __init__(self, desk: I1Desk) -> None:
        self._desk: Final = desk
        self._has_association: Callable[[Hit, Hit], bool] = lambda _local, _peer: False
        self._ours: frozenset[Hit] = frozenset()
        self._apart: frozenset[Hit] = frozenset()
        """Both of these."""
        self._quirky: frozenset[Hit] = frozenset()
        """As `set_apart` says."""
        self._puzzled: frozenset[Hit] = frozenset()
        """As the engine says: they get other puzzles."""

    def publish(self, offer: PublishR1s) -> None:
        """Answer with these from now on; ValueError for R1s that cannot be filled in.

        The limits that have not changed go on where they were.
        """
        limits, ours = offer.limits, frozenset(one.local for one in offer.r1s)
        self._claim(self._ours, self._quirky | self._puzzled | offer.apart)
        self._desk.publish(
            opaque=offer.opaque,
            secret=offer.secret,
            began_us=offer.began_us,
            binds_addresses=offer.is_bound_to_addresses,
            groups=bytes(offer.dh_groups),
            r1s=[
                (one.local.packed, int(one.group), one.octets, one.opaque_at, one.nonce_octets)
                for one in offer.r1s
            ],
            rate=limits.rate,
            burst=limits.burst,
            source_rate=limits.source_rate,
            source_burst=limits.source_burst,
            sources_most=limits.sources_most,
        )
        self._puzzled = offer.apart
        self._claim(ours, self._quirky | self._puzzled)

    def set_apart(self, peers: frozenset[Hit], has_association: Callable[[Hit, Hit], bool]) -> None:
        """Leave I1s of these peers to the engine, always: it has R1s of another form for them.

        Args:
            peers: all of them.
            has_association: whether the engine has one of ours (local HIT, peer's HIT).
        """
        self._has_association = has_association
        self._quirky = peers
        self._claim(self._ours, peers | self._puzzled)

    def _claim(self, ours: frozenset[Hit], peers: frozenset[Hit]) -> None:
        before = {(local, peer) for local in self._ours for peer in self._apart}
        after = {(local, peer) for local in ours for peer in peers}
        self._ours, self._apart = ours, peers
        for local, peer in before ^ after:
            is_claimed = (local, peer) in after or self._has_association(local, peer)
            self._desk.claim(local.packed, peer.packed, is_claimed)

    def claim(self, claim: ClaimI1s) -> None:
        """Leave I1s of a pair to the engine, or no longer."""
        if claim.local not in self._ours or claim.peer not in self._apart:
            self._desk.claim(claim.local.packed, claim.peer.packed, claim.is_claimed)
