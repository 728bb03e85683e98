"""The address monitor against the kernel, in an empty namespace of its own.

hipgwwatch-PID:   lo   w0 --- w1
"""

from __future__ import annotations

import asyncio
import os
import struct
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import ip_address

import pytest

from hipgw.netlink.links import add_veth, bring_up
from hipgw.netlink.monitor import (
    QUIET_S,
    AddressMonitor,
    UsableAddress,
    matters,
    usable_addresses,
)
from hipgw.netlink.namespaces import create_namespace, remove_namespace, run_inside
from hipgw.values import Address
from tests.netns.streams import until

pytestmark = pytest.mark.netns

PATIENCE_S = 60.0
Story = Callable[["Watched"], Awaitable[None]]


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"hipgwwatch-{os.getpid()}"
    create_namespace(name)

    def make() -> None:
        add_veth("w0", "w1", name, mtu=1500)
        for link in ("w0", "w1"):
            ip(f"link set {link} addrgenmode none")
            bring_up(link)

    run_inside(name, make)
    yield name
    remove_namespace(name)


def ip(line: str) -> None:
    subprocess.run(["ip", *line.split()], check=True)


def everything(_interface: str, _address: Address) -> bool:
    return True


class Watched:
    """A monitor that runs, with every report that it has made."""

    def __init__(self, monitor: AddressMonitor) -> None:
        self.monitor = monitor
        self.reports: list[tuple[UsableAddress, ...]] = []

    def now(self) -> list[str]:
        return [str(entry.address) for entry in self.reports[-1]]

    async def until(self, addresses: list[str]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not self.reports or self.now() != addresses:
                await asyncio.sleep(0.01)


def watch(namespace: str, story: Story, is_wanted: Callable[[str, Address], bool]) -> Watched:
    async def run() -> Watched:
        watched = Watched(AddressMonitor(is_wanted))
        task = asyncio.create_task(watched.monitor.run(watched.reports.append))
        try:
            await story(watched)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return watched

    return run_inside(namespace, lambda: asyncio.run(run()))


def test_addresses_come_and_go(namespace: str) -> None:
    async def story(watched: Watched) -> None:
        await watched.until([])
        ip("address add 10.9.0.1/24 dev w0")
        await watched.until(["10.9.0.1"])
        ip("address add fd00:9::1/64 dev w0 nodad")
        await watched.until(["10.9.0.1", "fd00:9::1"])
        ip("address delete 10.9.0.1/24 dev w0")
        await watched.until(["fd00:9::1"])

    watched = watch(namespace, story, everything)
    assert len(watched.reports) == len(set(watched.reports)) == 4


def test_only_what_others_can_reach_is_reported(namespace: str) -> None:
    async def story(watched: Watched) -> None:
        ip("address add 127.0.0.9/8 dev lo scope host")
        ip("address add fe80::9/64 dev w0 nodad")
        ip("address add 10.9.7.3/24 dev w0 scope link")
        ip("address add fd00:9::2/64 dev w0 nodad preferred_lft 0")
        ip("address add 10.9.1.1/24 dev w1")
        ip("address add 10.9.0.1/24 dev w0")
        await watched.until(["10.9.0.1"])

    watch(namespace, story, lambda interface, _: interface == "w0")


def test_an_address_without_a_carrier_is_not_usable(namespace: str) -> None:
    async def story(watched: Watched) -> None:
        ip("address add 10.9.0.1/24 dev w0")
        await watched.until(["10.9.0.1"])
        ip("link set w1 down")
        await watched.until([])
        ip("link set w1 up")
        await watched.until(["10.9.0.1"])

    watch(namespace, story, everything)


def usable(namespace: str, count: int) -> tuple[UsableAddress, ...]:
    """What is usable, once so many addresses are: the kernel tells of a carrier up to 1 s later."""
    found: list[tuple[UsableAddress, ...]] = []

    def are_there() -> bool:
        found.append(run_inside(namespace, lambda: usable_addresses(everything)))
        return len(found[-1]) >= count

    until(are_there, lambda: f"{count} addresses: {found[-1]}")
    return found[-1]


def test_the_better_default_route_is_preferred(namespace: str) -> None:
    def prepare() -> None:
        ip("address add 10.9.0.1/24 dev w0")
        ip("address add 10.9.1.1/24 dev w1")
        ip("route add default via 10.9.0.2 metric 600")
        ip("route add default via 10.9.1.2 metric 100")

    run_inside(namespace, prepare)
    found = usable(namespace, 2)
    preferences = {str(entry.address): entry.preference for entry in found}
    assert preferences == {"10.9.0.1": -1, "10.9.1.1": 0}


def test_a_burst_is_looked_at_a_few_times_and_its_end_is_right(namespace: str) -> None:
    most = 0.0

    async def story(watched: Watched) -> None:
        nonlocal most
        ip("address add 10.9.0.1/24 dev w0")
        await watched.until(["10.9.0.1"])
        began_s, before = time.monotonic(), watched.monitor.counters["looks"]
        lines = [f"address add 10.9.{n // 250 + 1}.{n % 250 + 1}/32 dev w0" for n in range(500)]
        lines += [line.replace(" add ", " delete ") for line in lines]
        batch = "\n".join([*lines, "address add fd00:9::1/64 dev w0 nodad"])
        await asyncio.to_thread(
            subprocess.run, ["ip", "-batch", "-"], input=batch, text=True, check=True
        )
        await watched.until(["10.9.0.1", "fd00:9::1"])
        # One after each quiet moment at the most, however slow the burst comes.
        most = before + 2 + (time.monotonic() - began_s) / QUIET_S

    watched = watch(namespace, story, everything)
    assert watched.monitor.counters["looks"] <= most


def test_lost_events_lose_no_address(namespace: str) -> None:
    async def story(watched: Watched) -> None:
        await watched.until([])
        lines = [
            f"address {verb} 10.9.{n // 250 + 1}.{n % 250 + 1}/32 dev w0"
            for verb in ("add", "delete")
            for n in range(2000)
        ]
        batch = "\n".join([*lines, "address add 10.9.0.1/24 dev w0"])
        # The loop does not read meanwhile, so the kernel's buffer overflows.
        subprocess.run(["ip", "-batch", "-"], input=batch, text=True, check=True)
        await watched.until(["10.9.0.1"])

    assert watch(namespace, story, everything).monitor.counters["overruns"] >= 1


def test_only_default_routes_matter() -> None:
    def message(kind: int, prefix_bits: int) -> bytes:
        body = bytes([2, prefix_bits]) + bytes(10)
        return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body

    assert matters(message(24, 0))
    assert not matters(message(24, 24))
    assert matters(message(24, 24) + message(25, 0))
    assert matters(message(20, 24))
    assert not matters(b"")
    assert not matters(bytes(64))


def test_hits_are_left_to_the_filter(namespace: str) -> None:
    run_inside(namespace, lambda: ip("address add 2001:22::5/128 dev w0 nodad"))
    hit = ip_address("2001:22::5")
    assert [entry.address for entry in usable(namespace, 1)] == [hit]
    assert run_inside(namespace, lambda: usable_addresses(lambda _, one: one != hit)) == ()
