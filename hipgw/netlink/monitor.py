"""Watches addresses, links and default routes, and says which addresses of this host can be used.

An event only tells that something has changed; what is there now is asked of the kernel afresh.  So
a burst of events costs one look, and events that the kernel could not deliver (an overrun of the
socket's buffer) cost nothing at all.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket as sockets
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from hipgw.errors import HostError
from hipgw.netlink.rtnetlink_events import (
    IFF_UP,
    READ_OCTETS,
    READS_PER_WAKE,
    RTM_DELADDR,
    RTM_DELROUTE,
    RTM_NEWLINK,
    RTM_NEWROUTE,
    RTMGRP_IPV4_IFADDR,
    RTMGRP_IPV4_ROUTE,
    RTMGRP_IPV6_IFADDR,
    RTMGRP_IPV6_ROUTE,
    RTMGRP_LINK,
    messages,
    open_events,
)
from hipgw.values import Address

QUIET_S: Final = 0.02
"""A burst is over when nothing came for so long: `ip address` deletes and adds in one command."""
BURST_LIMIT_S: Final = 0.3
"""A burst that does not end is looked at nevertheless."""
RETRY_S: Final = 1.0

GROUPS: Final = (
    RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE
)
ROUTE_PREFIX_OFFSET: Final = 1
"""rtm_dst_len of struct rtmsg, rtnetlink(7)."""

IFF_RUNNING: Final = 0x40
IFA_F_OPTIMISTIC: Final = 0x04
IFA_F_DADFAILED: Final = 0x08
IFA_F_DEPRECATED: Final = 0x20
IFA_F_TENTATIVE: Final = 0x40
SCOPE_GLOBAL: Final = 0
MAIN_TABLE: Final = 254


class UsableAddress(NamedTuple):
    """An address of this host that others can reach."""

    interface: str
    address: Address
    preference: int
    """0, and less where another default route of the family has a better metric."""


Filter = Callable[[str, Address], bool]
Report = Callable[[tuple[UsableAddress, ...]], None]


def usable_addresses(is_wanted: Filter) -> tuple[UsableAddress, ...]:
    """Addresses of global scope on interfaces that are up and have a carrier, in kernel order.

    Addresses that wait for duplicate address detection, have failed it, or are deprecated
    (RFC 4862 section 5.5.4) are left out.

    Args:
        is_wanted: is asked about each interface name and address.

    Raises:
        HostError: the kernel refuses to answer.
    """
    # This import takes 0.15 s, and whoever only opens the events has no need of it.
    from hipgw.netlink.rtnetlink import message_attributes, with_rtnetlink  # noqa: PLC0415

    def task(socket: Any) -> tuple[UsableAddress, ...]:
        names = {
            link["index"]: str(message_attributes(link)["IFLA_IFNAME"])
            for link in socket.get_links()
            if link["flags"] & IFF_UP and link["flags"] & IFF_RUNNING
        }
        preferences = _preferences(
            [
                (int(route["family"]), message_attributes(route))
                for route in socket.get_default_routes()
            ]
        )
        found = []
        for message in socket.get_addr():
            attributes = message_attributes(message)
            name = names.get(message["index"])
            flags = int(attributes.get("IFA_FLAGS", message["flags"]))
            if name is None or message["scope"] != SCOPE_GLOBAL or not _is_settled(flags):
                continue
            # On a point-to-point link IFA_ADDRESS is the far end, and IFA_LOCAL is ours.
            text = attributes.get("IFA_LOCAL") or attributes["IFA_ADDRESS"]
            address = ipaddress.ip_address(str(text))
            if is_wanted(name, address):
                preference = preferences.get((int(message["family"]), int(message["index"])), 0)
                found.append(UsableAddress(name, address, preference))
        return tuple(found)

    return with_rtnetlink("list usable addresses", task)


def _is_settled(flags: int) -> bool:
    waiting = flags & IFA_F_TENTATIVE and not flags & IFA_F_OPTIMISTIC
    return not waiting and not flags & (IFA_F_DADFAILED | IFA_F_DEPRECATED)


def _preferences(routes: list[tuple[int, dict[str, Any]]]) -> dict[tuple[int, int], int]:
    """Preference by family and interface index, from the metrics of the default routes."""
    metrics: dict[tuple[int, int], int] = {}
    for family, route in routes:
        if "RTA_OIF" not in route or route.get("RTA_TABLE", MAIN_TABLE) != MAIN_TABLE:
            continue
        key = family, int(route["RTA_OIF"])
        metric = int(route.get("RTA_PRIORITY", 0))
        metrics[key] = min(metric, metrics.get(key, metric))
    ranks = {
        family: sorted({metric for (other, _), metric in metrics.items() if other == family})
        for family, _ in metrics
    }
    return {key: -ranks[key[0]].index(metric) for key, metric in metrics.items()}


class AddressMonitor:
    """Reports the usable addresses at the start, and again whenever they have changed.

    Attributes:
        counters: "events" that mattered, "overruns", "looks", "failures" of a look.
    """

    def __init__(
        self, is_wanted: Filter, *, quiet_s: float = QUIET_S, limit_s: float = BURST_LIMIT_S
    ) -> None:
        """Prepare; nothing is opened before `run`.

        Args:
            is_wanted: is asked about each interface name and address, on another thread.
            quiet_s: how long nothing must come before a burst counts as over.
            limit_s: how long a burst may last.
        """
        self._is_wanted = is_wanted
        self._quiet_s = quiet_s
        self._limit_s = limit_s
        self._changed = asyncio.Event()
        self.counters: Counter[str] = Counter()

    async def run(self, report: Report) -> None:
        """Watch until cancelled; `report` is called on the loop's thread.

        Raises:
            HostError: the kernel gives no events.
        """
        loop = asyncio.get_running_loop()
        with open_events(GROUPS, "watch addresses and links") as channel:
            loop.add_reader(channel, self._read, channel)
            try:
                await self._watch(report)
            finally:
                loop.remove_reader(channel)

    async def _watch(self, report: Report) -> None:
        last: tuple[UsableAddress, ...] | None = None
        while True:
            self._changed.clear()
            self.counters["looks"] += 1
            try:
                found = await asyncio.to_thread(usable_addresses, self._is_wanted)
            except HostError:
                self.counters["failures"] += 1
                await asyncio.sleep(RETRY_S)
                continue
            if found != last:
                last = found
                report(found)
            await self._burst()

    async def _burst(self) -> None:
        """Wait for an event, and then for the end of its burst."""
        await self._changed.wait()
        loop = asyncio.get_running_loop()
        limit = loop.time() + self._limit_s
        while self._changed.is_set() and loop.time() < limit:
            self._changed.clear()
            await asyncio.sleep(self._quiet_s)

    def _read(self, channel: sockets.socket) -> None:
        for _ in range(READS_PER_WAKE):
            try:
                octets = channel.recv(READ_OCTETS)
            except BlockingIOError:
                return
            except OSError:
                # ENOBUFS, netlink(7): events were lost.
                self.counters["overruns"] += 1
                self._changed.set()
                continue
            if matters(octets):
                self.counters["events"] += 1
                self._changed.set()


def matters(octets: bytes) -> bool:
    """Whether a datagram of rtnetlink tells of a link, an address, or a default route.

    Other routes come by the thousand where a routing daemon runs, and change no address.
    """
    for kind, body in messages(octets):
        if RTM_NEWLINK <= kind <= RTM_DELADDR:
            return True
        prefix = body[ROUTE_PREFIX_OFFSET : ROUTE_PREFIX_OFFSET + 1]
        if kind in {RTM_NEWROUTE, RTM_DELROUTE} and prefix == b"\0":
            return True
    return False
