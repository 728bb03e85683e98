"""What the data plane has carried: signs of life, credit, and reasons to rekey."""

from __future__ import annotations

from typing import Final

from hipgw.proto.association import Association
from hipgw.proto.core import Core
from hipgw.proto.rekeying import Rekeyer
from hipgw.proto.steering import Steering
from hipgw.values import Direction, Spi


class Accountant:
    """Takes the counters of security associations."""

    def __init__(self, core: Core, rekeyer: Rekeyer, steering: Steering) -> None:
        self._core: Final = core
        self._rekeyer: Final = rekeyer
        self._steering: Final = steering

    def count(
        self,
        association: Association,
        direction: Direction,
        spi: Spi,
        totals: tuple[int, int],
        now: float,
    ) -> bool:
        """Compare totals with the last ones; whether anything was carried meanwhile.

        Args:
            association: whose SA.
            direction: of the SA.
            spi: of the SA.
            totals: inner octets and packets since it was installed.
            now: monotonic seconds.
        """
        config, esp = self._core.config, association.esp
        octets, packets = totals
        more = esp.carry(direction, spi, octets)
        if more <= 0:
            return False
        if direction is Direction.IN:
            esp.last_received_s = now
            self._steering.earn(association, more, now)
        else:
            esp.last_sent_s = now
        if spi in {association.spi_in, association.spi_out}:
            if config.rekey_octets and octets >= config.rekey_octets:
                self._rekeyer.start(association, "octets", now)
            elif (
                config.rekey_packets
                and packets >= config.rekey_packets
                and not self._core.sas.is_extended(association)
            ):
                self._rekeyer.start(association, "packets", now)
        return True
