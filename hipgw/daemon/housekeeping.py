"""What is done now and then: idle associations, changed hosts files, old entries, unsaved state."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from hipgw.daemon.gateway import Gateway
from hipgw.daemon.state_keeper import StateKeeper
from hipgw.daemon.traffic_totals import SaKey

TICK_S: Final = 1.0
TICKS_PER_ROUND: Final = 5
SAS_PER_TICK: Final = 2000

log = logging.getLogger(__name__)


class Housekeeping:
    """A task of the loop."""

    def __init__(self, gateway: Gateway, keeper: StateKeeper) -> None:
        self._gateway = gateway
        self._keeper = keeper
        self._packets: dict[SaKey, int] = {}

    async def run(self) -> None:
        """Run until cancelled."""
        ticks = 0
        while True:
            await asyncio.sleep(TICK_S)
            ticks += 1
            self._gateway.traffic.forget_old(self._gateway.engine.now())
            if ticks % self.ticks_between_looks() == 0:
                self.look_for_traffic()
            if ticks % TICKS_PER_ROUND == 0:
                self.look_at_files()

    def look_for_traffic(self) -> None:
        """Give the engine the counters of every SA that carried something since the last look.

        They rekey by use, tell idle associations and silent peers, and earn credit.
        """
        statistics = self._gateway.sas.statistics()
        carried = [
            entry for key, entry in statistics.items() if entry.packets != self._packets.get(key, 0)
        ]
        self._packets = {key: entry.packets for key, entry in statistics.items()}
        if carried:
            endpoint = self._gateway.engine.endpoint

            def tell(now: float) -> None:
                for entry in carried:
                    endpoint.sa_usage(
                        entry.spi,
                        entry.octets,
                        entry.packets,
                        now,
                        direction=entry.direction,
                        local=entry.local_hit,
                        peer=entry.peer_hit,
                    )

            self._gateway.engine.step(tell)

    def ticks_between_looks(self) -> int:
        """Each SA costs some microseconds a look, so many SAs are looked at less often."""
        return 1 if len(self._packets) <= SAS_PER_TICK else TICKS_PER_ROUND

    def look_at_files(self) -> None:
        """Hosts files that changed, LSIs that were given since."""
        if self._gateway.resolver.refresh():
            self._gateway.lsis.apply_fixed()
            log.info("hosts files read again")
        self._keeper.look()
