"""Associations that are not where they belong, because the kernel's answer came after them.

Keys never change sides, so an association moves by a rekey; a few at a time, so that a gateway with
thousands of peers does not rekey with all of them at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hipgw.dataplane.interface import Carrier
from hipgw.values import Direction, Hit

if TYPE_CHECKING:
    from hipgw.daemon.gateway import Gateway
    from hipgw.daemon.sa_home import SaRecord

MOVES_PER_TURN: Final = 50


class KernelMoves:
    """Brings associations to the side that they belong to."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._misplaced: dict[tuple[Hit, Hit], None] = {}

    def look(self) -> None:
        """The kernel can do more than before, or less: find whom that concerns."""
        sas = self._gateway.sas
        for record in sas.records():
            is_current = record.direction is Direction.OUT and sas.is_current(record)
            if is_current and not self._is_right(record):
                self._misplaced[record.local_hit, record.peer_hit] = None

    def tick(self) -> None:
        """Once a second: rekey some, and again those whose rekey could not begin."""
        for pair in list(self._misplaced)[:MOVES_PER_TURN]:
            del self._misplaced[pair]
            record = self._gateway.sas.outbound_of(*pair)
            if record is not None and not self._is_right(record):
                self._misplaced[pair] = None  # goes to the end
                self._rekey(*pair)

    def _is_right(self, record: SaRecord) -> bool:
        split = self._gateway.sas.split
        if split is None:
            return True
        pair = record.local_hit, record.peer_hit
        reason = split.reason_for_user(*pair, record.suite, record.path)
        return (self._gateway.sas.carrier_of(record) is Carrier.USER) == bool(reason)

    def _rekey(self, local: Hit, peer: Hit) -> None:
        engine = self._gateway.engine
        engine.step(lambda now: self._begin(local, peer, now))

    def _begin(self, local: Hit, peer: Hit, now: float) -> None:
        self._gateway.engine.endpoint.rekey_association(peer, now, local=local)
