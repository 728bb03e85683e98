"""What is done now and then: idle associations, changed hosts files, old entries, unsaved state."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from hipgw.daemon.gateway import Gateway
from hipgw.daemon.sa_home import SaKey
from hipgw.daemon.state_keeper import StateKeeper
from hipgw.errors import LocalProtocolError
from hipgw.values import Direction, SaStatistics

TICK_S: Final = 1.0
TICKS_PER_ROUND: Final = 5

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
            if ticks % TICKS_PER_ROUND == 0:
                self.look_for_traffic()
                self.look_at_files()

    def look_for_traffic(self) -> None:
        """Tell the engine which associations carried packets: the others are idle (UAL)."""
        statistics = self._gateway.sas.statistics()
        for key, entry in statistics.items():
            if entry.packets != self._packets.get(key, 0):
                self._sign_of_life(entry)
        self._packets = {key: entry.packets for key, entry in statistics.items()}

    def _sign_of_life(self, entry: SaStatistics) -> None:
        engine = self._gateway.engine
        if entry.direction is Direction.IN:
            engine.step(lambda now: engine.endpoint.esp_received(entry.spi, now))
            return
        try:
            # Asking for what is there does nothing but note that it is in use.
            engine.step(
                lambda now: engine.endpoint.want_association(
                    entry.peer_hit, (), now, local=entry.local_hit
                )
            )
        except LocalProtocolError as error:
            # It was closed between its last packet and now.
            log.debug("association gone", extra={"peer_hit": entry.peer_hit, "reason": error})

    def look_at_files(self) -> None:
        """Hosts files that changed, LSIs that were given since."""
        if self._gateway.resolver.refresh():
            self._gateway.lsis.apply_fixed()
            log.info("hosts files read again")
        self._keeper.look()
