"""What becomes of the daemon when somebody else changes its interface.

Down: nothing is carried, and what comes in counts as `tun_full`; it stays down until whoever took
it down says otherwise.  Up again: the kernel has forgotten HITs and routes, so they are put back.
Gone: its descriptor carries nothing any more, and the workers live with that descriptor, so the
daemon ends, and its supervisor starts it afresh.
"""

from __future__ import annotations

import logging
from asyncio import AbstractEventLoop
from collections.abc import Callable
from contextlib import ExitStack

from hipgw.daemon.gateway import Gateway
from hipgw.errors import HostError
from hipgw.netlink.link_watch import Change, LinkWatch

log = logging.getLogger(__name__)


class InterfaceWatch:
    """The interface of a daemon that runs."""

    def __init__(self, gateway: Gateway, fail: Callable[[str], None]) -> None:
        """Look for the first time.

        Args:
            gateway: the running daemon; its interface is there.
            fail: ends the daemon, with a sentence.

        Raises:
            HostError: the interface is not there.
        """
        self._gateway = gateway
        self._fail = fail
        self._name = gateway.config.network.interface
        self._link = LinkWatch(self._name, self._on_change)

    @property
    def is_down(self) -> bool:
        """Whether nothing may be done to it, because somebody has taken it down."""
        self._link.look()
        return self._link.is_down

    def listen(self, stack: ExitStack, loop: AbstractEventLoop) -> None:
        """Hear of changes at once, until the stack closes."""
        try:
            stack.enter_context(self._link.listening(loop))
        except HostError as error:
            log.warning("changes of the interface are seen late", extra={"reason": error})

    def look(self) -> None:
        """Once a second, in case an event was lost."""
        self._link.look()

    def _on_change(self, change: Change) -> None:
        gateway = self._gateway
        if change == "mtu":
            if gateway.mtus is not None:
                gateway.mtus.heed_operator()
        elif change == "down":
            log.warning("interface is down", extra={"interface": self._name})
        elif change == "up":
            log.info("interface is up again", extra={"interface": self._name})
            gateway.own.readdress()
        else:
            self._fail(
                f"interface {self._name} was {change} by somebody else; stopping: start the "
                "daemon again"
            )

    def problems(self) -> list[dict[str, str]]:
        """An interface that is down."""
        if not self._link.is_down:
            return []
        return [
            {
                "problem": f"interface {self._name} is down",
                "remedy": f"ip link set {self._name} up",
            }
        ]
