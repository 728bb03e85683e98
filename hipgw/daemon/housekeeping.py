"""What is done now and then: idle associations, changed hosts files, old entries, unsaved state."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from hipgw.daemon.gateway import Gateway
from hipgw.daemon.state_keeper import StateKeeper

TICK_S: Final = 1.0
TICKS_PER_ROUND: Final = 5
SAS_PER_TICK: Final = 20_000
OVERLAP_S: Final = 0.1
"""A worker notes the time of a batch before it counts it."""

log = logging.getLogger(__name__)


class Housekeeping:
    """A task of the loop."""

    def __init__(self, gateway: Gateway, keeper: StateKeeper) -> None:
        self._gateway = gateway
        self._keeper = keeper
        self._looked_s = 0.0
        self._i1s = 0
        """I1s that the data path had seen at the last look."""

    async def run(self) -> None:
        """Run until cancelled."""
        ticks = 0
        while True:
            await asyncio.sleep(TICK_S)
            ticks += 1
            self._gateway.traffic.forget_old(self._gateway.engine.now())
            self.look_for_strangers()
            if ticks % self.ticks_between_looks() == 0:
                self.look_for_traffic()
            if self._gateway.interface is not None:
                self._gateway.interface.look()
            if self._gateway.hops is not None:
                self._gateway.hops.look()
            if self._gateway.kernel is not None:
                self._gateway.kernel.tick()
            if ticks % TICKS_PER_ROUND == 0:
                self.look_at_files()
                self.look_at_mtus()
                if self._gateway.hops is not None:
                    self._gateway.hops.refresh()

    def look_for_traffic(self) -> None:
        """Give the engine the counters of every SA that carried something since the last look.

        They rekey by use, tell idle associations and silent peers, and earn credit.
        """
        engine = self._gateway.engine
        since_s, self._looked_s = self._looked_s - OVERLAP_S, engine.now()
        carried = self._gateway.sas.used_since(since_s)
        if carried:
            endpoint = engine.endpoint

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

            engine.step(tell)

    def look_for_strangers(self) -> None:
        """Tell the engine of I1s that it has not seen itself: its puzzles follow the load."""
        engine = self._gateway.engine
        before, self._i1s = self._i1s, self._gateway.data_counters().get("i1_received", 0)
        if (count := self._i1s - before) > 0:
            engine.step(lambda now: engine.endpoint.i1s_answered(count, now))

    def ticks_between_looks(self) -> int:
        """Each SA costs some 0.1 microseconds a look, so many SAs are looked at less often."""
        return 1 if len(self._gateway.sas) <= SAS_PER_TICK else TICKS_PER_ROUND

    def look_at_mtus(self) -> None:
        """Routes that carry more or less than before, an interface that somebody changed."""
        if self._gateway.mtus is not None:
            self._gateway.mtus.look()

    def look_at_files(self) -> None:
        """Hosts files that changed, LSIs that were given since."""
        if self._gateway.resolver.refresh():
            self._gateway.lsis.apply_fixed()
            log.info("hosts files read again")
        self._keeper.look()
