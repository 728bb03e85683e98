"""One rtnetlink socket per task, usable under a running asyncio loop.

pyroute2's synchronous socket drives an event loop of its own and refuses to work in a thread whose
loop is already running.  There, the task runs in a short-lived thread, which lives in the same
network namespace as its maker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from pyroute2.iproute.linux import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from hipgw.netlink.refusals import refused

__all__ = ["NetlinkError", "link_index", "message_attributes", "with_rtnetlink"]

Result = TypeVar("Result")


def with_rtnetlink(action: str, task: Callable[[Any], Result]) -> Result:
    """Run `task` with an open rtnetlink socket in the caller's network namespace.

    Args:
        action: what is being done, for the error message ("set up interface hip0").
        task: gets a `pyroute2.IPRoute`.

    Raises:
        HostError: the kernel refused, and the task did not handle it.
    """

    def attempt() -> Result:
        try:
            with IPRoute() as socket:  # type: ignore[no-untyped-call]
                return task(socket)
        except NetlinkError as error:
            raise refused(action, error.code) from error
        except OSError as error:
            raise refused(action, error.errno or 0) from error

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return attempt()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="hipgw-netlink") as apart:
        return apart.submit(attempt).result()


def link_index(socket: Any, name: str) -> int | None:
    """Index of the interface called `name`, or None when there is none."""
    found: list[int] = list(socket.link_lookup(ifname=name))
    return found[0] if found else None


def message_attributes(message: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of a netlink message; the last of several equal ones wins."""
    return {attribute[0]: attribute[1] for attribute in message["attrs"]}
