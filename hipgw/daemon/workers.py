"""The threads that live in the data path, and what happens when one of them ends.

Each is one call without the GIL until `stop()`.  A worker that ends by itself cannot be repaired
from here: the daemon says so and stops, so that its supervisor starts it afresh.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable, Mapping
from typing import Final

from hipgw.drivers.scheduling import ask_for_slices

JOIN_S: Final = 2.0

log = logging.getLogger(__name__)

OnDeath = Callable[[str], None]
"""Called on the loop's thread with a sentence."""


class Workers:
    """Starts, watches and joins worker threads."""

    def __init__(
        self,
        bodies: Mapping[str, Callable[[], object]],
        stop: Callable[[], object],
        loop: asyncio.AbstractEventLoop,
        on_death: OnDeath,
        pins: Mapping[str, int] | None = None,
        *,
        slice_us: int = 0,
    ) -> None:
        """Prepare.

        Args:
            bodies: name of each thread -> what it runs until `stop`.
            stop: makes all of them return; safe from any thread.
            loop: where `on_death` is called.
            on_death: told when a worker ends although nobody stopped it.
            pins: name of a thread -> the core that it is kept on.
            slice_us: how long each runs at a time; 0: as the kernel likes.
        """
        self._pins = dict(pins or {})
        self._slice_us = slice_us
        self._stop = stop
        self._loop = loop
        self._on_death = on_death
        self._is_stopping = False
        self._threads = [
            threading.Thread(target=self._live, args=(name, body), name=name, daemon=True)
            for name, body in bodies.items()
        ]

    def start(self) -> None:
        """Start every thread."""
        for thread in self._threads:
            thread.start()

    def _live(self, name: str, body: Callable[[], object]) -> None:
        # Signals are for the loop's thread: here they would only interrupt system calls.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        self._pin(name)
        self._cut_slices(name)
        reason = "it returned"
        try:
            body()
        except Exception as error:  # the top of a thread: nobody else would hear of it
            reason = f"{type(error).__name__}: {error}"
        if not self._is_stopping:
            sentence = f"worker {name} died ({reason}); stopping: start the daemon again"
            self._loop.call_soon_threadsafe(self._on_death, sentence)

    def _pin(self, name: str) -> None:
        """Keep this thread on its core; one that is gone since the start is no reason to stop."""
        core = self._pins.get(name)
        if core is None:
            return
        try:
            os.sched_setaffinity(0, {core})
        except OSError as error:
            log.warning("worker not pinned", extra={"worker": name, "reason": error.strerror})

    def _cut_slices(self, name: str) -> None:
        """Ask for short turns; a kernel that gives none is no reason to stop."""
        if not self._slice_us:
            return
        try:
            ask_for_slices(self._slice_us)
        except OSError as error:
            log.warning("worker's slice not set", extra={"worker": name, "reason": error.strerror})

    def stop(self) -> bool:
        """Stop and join; False when a thread did not end in time."""
        self._is_stopping = True
        self._stop()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(JOIN_S)
        return not any(thread.is_alive() for thread in self._threads)
