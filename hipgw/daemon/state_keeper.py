"""Writes what must outlive the daemon, a moment after it changed, away from the loop's thread."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path as FilePath
from typing import Final

from hipgw.daemon.lsis import LsiRegistry
from hipgw.daemon.state_files import read_json, write_json
from hipgw.values import Hit, Lsi

R1_FILE: Final = "r1_counter.json"
DELAY_S: Final = 0.2
"""Changes that come together are written together."""

log = logging.getLogger(__name__)


class R1CounterFile:
    """The R1 generation counter, which must not go back over a restart (RFC 7401 5.2.3)."""

    def __init__(self, directory: FilePath) -> None:
        self._file: Final = directory / R1_FILE
        value = read_json(self._file).get("r1_counter", 0)
        is_usable = isinstance(value, int) and 0 <= value < 2**63
        self.stored = value if is_usable else 0
        self.wanted = self.stored

    def save(self) -> None:
        """Write the counter if it rose; raises OSError."""
        if self.wanted != self.stored:
            wanted = self.wanted
            write_json(self._file, {"r1_counter": wanted})
            self.stored = wanted


class StateKeeper:
    """Saves the R1 counter and the LSIs when told that they changed."""

    def __init__(self, counter: R1CounterFile, lsis: LsiRegistry) -> None:
        self._counter = counter
        self._lsis = lsis
        self._changed = asyncio.Event()

    def store_r1_counter(self, counter: int) -> None:
        """Take note of a new counter; it is written soon."""
        self._counter.wanted = max(counter, self._counter.wanted)
        self._changed.set()

    def look(self) -> None:
        """Called now and then: LSIs may have come or gone."""
        if self._lsis.unsaved() is not None:
            self._changed.set()

    async def run(self) -> None:
        """Write whenever something changed, until cancelled."""
        while True:
            await self._changed.wait()
            await asyncio.sleep(DELAY_S)
            self._changed.clear()
            await asyncio.to_thread(self._write, self._lsis.unsaved())

    def save(self) -> None:
        """Write now, on this thread: at the end of the daemon."""
        self._write(self._lsis.unsaved())

    def _write(self, entries: dict[Hit, Lsi] | None) -> None:
        """A disk that refuses is logged and tried again at the next change."""
        try:
            self._counter.save()
            if entries is not None:
                self._lsis.save(entries)
        except OSError as error:
            log.warning("state not written", extra={"reason": error.strerror or error})
