"""ESP with an SPI that is not ours, from an address of a peer: one of us has lost its state.

RFC 7402 section 5.4.1 and RFC 7401 section 4.1.4 let such a packet start a base exchange.  A peer
that only sends would else never learn that we have begun anew.  Anyone can forge a source address,
so no more is done than an I1 to an address that we know anyway, within the rates for strangers, and
not while there is an association in whatever state: that of E-FAILED is the back-off.
"""

from __future__ import annotations

from typing import Final

from hipgw.proto.core import Core
from hipgw.values import Address, Hit


class StateLoss:
    """Decides whether ESP with an unknown SPI is reason enough for an I1."""

    def __init__(self, core: Core) -> None:
        self._core: Final = core

    def may_call(self, peer: Hit, source: Address, now: float) -> bool:
        """Whether to begin a base exchange with the peer at whose address such ESP came from."""
        core = self._core
        if peer in core.identities or any(core.find(hit, peer) for hit in core.identities):
            return False
        if not core.reply_limit.allows(source, now):
            core.note("unknown_spi_limited")
            return False
        core.note("unknown_spi_answered")
        return True
