"""Tasks of the loop that last as long as the daemon."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

AGAIN_S: Final = 1.0

log = logging.getLogger(__name__)


async def keep_running(
    name: str, body: Callable[[], Awaitable[None]], *, again_s: float = AGAIN_S
) -> None:
    """Run `body` until it returns; one that raises is begun again.

    A task that ended silently would leave the daemon without its housekeeping.  What it raised is
    a bug, or a host that is out of something for a moment; the first is written down in full.

    Args:
        name: in the log.
        body: makes the coroutine.
        again_s: between an end and the next begin.
    """
    failures = 0
    while True:
        try:
            await body()
        except Exception as error:
            failures += 1
            fields = {"task": name, "count": failures, "error": repr(error)}
            log.log(
                logging.ERROR,
                "task failed, beginning it again",
                extra=fields,
                exc_info=failures == 1,
            )
            await asyncio.sleep(again_s)
        else:
            return
