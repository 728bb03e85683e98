"""What the data plane tells of security associations: data that came, how much, and their end."""

from __future__ import annotations

from hipgw.proto.association import Association
from hipgw.proto.core import Core
from hipgw.proto.states import State, Trigger
from hipgw.proto.upkeep import Upkeep
from hipgw.values import Direction, Hit, Spi


class SaUsage:
    """Brings it to those who act on it; see `Endpoint` for each call."""

    def __init__(self, core: Core, upkeep: Upkeep) -> None:
        self._core = core
        self._upkeep = upkeep

    def esp_received(self, spi: Spi, now: float) -> None:
        """Valid ESP came in on one of our SPIs."""
        association = self._core.sas.owner(spi)
        if association is None or not association.allows(Trigger.DATA_RECEIVED):
            return
        association.last_heard_s = now
        self._core.unproven.forget(association)
        if association.state is State.R2_SENT:
            self._core.establish(association, Trigger.DATA_RECEIVED, now)
        else:
            association.move(Trigger.DATA_RECEIVED, now)
        self._upkeep.switching.on_data(association, spi, now)
        self._upkeep.parallel.on_data(association, spi, now)

    def inbound(self, spi: Spi, counted: tuple[int, int], now: float) -> None:
        """Counters of an inbound SA: octets, packets."""
        association = self._core.sas.owner(spi)
        if self._is_more(association, Direction.IN, spi, counted, now):
            self.esp_received(spi, now)

    def outbound(
        self, local: Hit, peer: Hit, spi: Spi, counted: tuple[int, int], now: float
    ) -> None:
        """Counters of an outbound SA, if it is the one in use."""
        association = self._core.find(local, peer)
        if association is not None and association.spi_out == spi:
            self._is_more(association, Direction.OUT, spi, counted, now)

    def _is_more(
        self,
        association: Association | None,
        direction: Direction,
        spi: Spi,
        counted: tuple[int, int],
        now: float,
    ) -> bool:
        return association is not None and self._upkeep.carried(
            association, direction, spi, counted, now
        )

    def expiring(self, spi: Spi, now: float) -> None:
        """The sequence numbers of an SA, of either direction, come to their end."""
        owner = self._core.sas.owner(spi)
        for association in tuple(self._core.associations.values()):
            if association is owner or association.spi_out == spi:
                self._upkeep.rekeyer.start(association, "packets", now)
