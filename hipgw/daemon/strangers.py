"""Has the data path answer I1s of strangers with the R1s that the engine has made."""

from __future__ import annotations

from typing import Final

from hipgw._fastpath.answer_i1 import I1Desk
from hipgw.proto import ClaimI1s, PublishR1s


class Strangers:
    """Brings the engine's effects into the data path's terms."""

    def __init__(self, desk: I1Desk) -> None:
        self._desk: Final = desk

    def publish(self, offer: PublishR1s) -> None:
        """Answer with these from now on; ValueError for R1s that cannot be filled in.

        The limits that have not changed go on where they were.
        """
        limits = offer.limits
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

    def claim(self, claim: ClaimI1s) -> None:
        """Leave I1s of a pair to the engine, or no longer."""
        self._desk.claim(claim.local.packed, claim.peer.packed, claim.is_claimed)
