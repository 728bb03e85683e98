"""Tasks of the loop that last as long as the daemon."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

AGAIN_S: Final = 1.0
AGAIN_MOST_S: Final = 60.0

log = logging.getLogger(__name__)


class Pauses:
    """Between one failure and the next attempt: each twice as long as the last, up to a ceiling."""

    def __init__(self, *, least_s: float = AGAIN_S, most_s: float = AGAIN_MOST_S) -> None:
        """Begin with the shortest."""
        self._least_s = least_s
        self.most_s: Final = most_s
        self._next_s = least_s

    def take_s(self) -> float:
        """How long to wait now."""
        pause_s = self._next_s
        self._next_s = min(2 * pause_s, self.most_s)
        return pause_s

    def reset(self) -> None:
        """It went well; the next pause is the shortest again."""
        self._next_s = self._least_s


async def keep_running(
    name: str,
    body: Callable[[], Awaitable[None]],
    *,
    pauses: Pauses | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Run `body` until it returns; one that raises is begun again after a pause.

    A task that ended silently would leave the daemon without its housekeeping.  What it raised is
    a bug, or a host that is out of something for a moment; the first is written down in full.  One
    that has run for as long as the longest pause starts afresh.

    Args:
        name: in the log.
        body: makes the coroutine.
        pauses: between an end and the next begin; those of `Pauses()` when None.
        clock: monotonic seconds.
        sleep: waits for so many seconds.
    """
    pauses = pauses or Pauses()
    failures = 0
    while True:
        began_s = clock()
        try:
            await body()
        except Exception as error:
            if clock() - began_s >= pauses.most_s:
                failures = 0
                pauses.reset()
            failures += 1
            pause_s = pauses.take_s()
            fields = {"task": name, "count": failures, "error": repr(error), "again_s": pause_s}
            log.log(
                logging.ERROR,
                "task failed, beginning it again",
                extra=fields,
                exc_info=failures == 1,
            )
            await sleep(pause_s)
        else:
            return
