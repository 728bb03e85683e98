"""Tunnel devices in their order: nothing is lost, and nothing in clear comes in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Network

import pytest

from hipgw.daemon.kept_tasks import Pauses
from hipgw.daemon.subnet_tunnels import NOT_YET, SubnetTunnels, tunnel_name
from hipgw.errors import HostError
from hipgw.netlink import tunnels as devices
from hipgw.values import Direction, IngressRule
from tests.unit.dataplane.test_composite import Split
from tests.unit.dataplane.test_kernel import IN, OUT
from tests.unit.dataplane.test_user import LOCAL, PEER

NAME = tunnel_name("hip0", PEER)


class Kernel:
    """Remembers what is asked of it, in order; policies of protocol 41 among it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.split = Split()
        self.log: list[str] = []
        self.refuses = False
        self.failures: list[str] = []
        """Acts that fail, each once, in this order."""
        for name in ("make_tunnel", "raise_tunnel", "lower_tunnel", "remove_tunnels"):
            monkeypatch.setattr(devices, name, self._note(name.partition("_")[0]))
        monkeypatch.setattr(devices, "remove_tunnels_of", self._note("clear"))
        self.tunnels = SubnetTunnels(
            self.split.backend,
            "hip0",
            lambda: 1446,
            lambda: self.log.append(self.route()),
            Pauses(least_s=0.001),
        )
        self.settled = 0
        self.rounds = 0
        """That must have told of a device more or less."""
        self.tunnels.on_settled = self._settle

    def _settle(self) -> None:
        self.settled += 1

    def _note(self, word: str) -> Callable[..., None]:
        def call(*_: object, mtu: int = 0) -> None:
            if self.refuses and word == "make":
                raise HostError("cannot make the tunnel: no module")
            if self.failures[:1] == [word]:
                del self.failures[0]
                raise HostError(f"cannot {word} the tunnel: no memory")
            guards = [one for one in self.split.tables.policies() if one.selector.protocol]
            self.log.append(f"{word}{f' {mtu}' if mtu else ''}, {len(guards)} policies")

        return call

    def route(self) -> str:
        return f"routes to {self.tunnels.device_for(PEER)}"

    def want(self, *rules: IngressRule) -> None:
        self.tunnels.want({PEER: rules} if rules else {}, lambda _: LOCAL, copies_class=True)

    async def said(self, *lines: str, after: int = 0) -> None:
        """Wait until the log has these lines after so many, and the last round is over."""
        wanted = list(lines)
        async with asyncio.timeout(60):
            while self.log[after:] != wanted or self.settled < self.rounds:
                assert self.log[after:] == wanted[: len(self.log) - after]
                await asyncio.sleep(0.001)


RULE = IngressRule(is_pass=False, source=IPv4Network("192.168.8.0/24"))


def tell(monkeypatch: pytest.MonkeyPatch, story: Callable[[Kernel], Awaitable[None]]) -> None:
    async def run() -> None:
        kernel = Kernel(monkeypatch)
        task = asyncio.create_task(kernel.tunnels.run())
        await story(kernel)
        task.cancel()
        kernel.tunnels.close()

    asyncio.run(run())


def test_a_device_is_made_first_and_carries_while_the_kernel_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(kernel: Kernel) -> None:
        kernel.want(RULE)
        assert kernel.split.backend.reason_of_routes(PEER) == NOT_YET
        kernel.rounds = 1
        await kernel.said("make, 0 policies")
        assert kernel.split.backend.reason_of_routes(PEER) == ""
        kernel.split.backend.install(IN)
        kernel.split.backend.install(OUT)
        await kernel.said("raise 1406, 2 policies", f"routes to {NAME}", after=1)
        kernel.split.backend.remove(Direction.OUT, OUT.spi, LOCAL, PEER)
        kernel.split.backend.remove(Direction.IN, IN.spi, LOCAL, PEER)
        await kernel.said("routes to hip0", "lower, 2 policies", after=3)
        async with asyncio.timeout(60):
            while kernel.split.tables.policies():
                await asyncio.sleep(0.001)

    tell(monkeypatch, story)


def test_other_rules_are_another_device_and_packets_go_through_hip0_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(kernel: Kernel) -> None:
        kernel.want(RULE)
        kernel.rounds = 1
        await kernel.said("make, 0 policies")
        kernel.split.backend.install(IN)
        kernel.split.backend.install(OUT)
        await kernel.said("raise 1406, 2 policies", f"routes to {NAME}", after=1)
        kernel.want(RULE, RULE)
        await kernel.said(
            "routes to hip0",
            "lower, 2 policies",
            "remove, 0 policies",
            "make, 0 policies",
            "raise 1406, 2 policies",
            f"routes to {NAME}",
            after=3,
        )
        kernel.want()
        await kernel.said("routes to hip0", "lower, 2 policies", "remove, 0 policies", after=9)

    tell(monkeypatch, story)


def test_a_kernel_without_tunnels_leaves_the_peer_to_user_space(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(kernel: Kernel) -> None:
        kernel.refuses, kernel.rounds = True, 1
        kernel.want(RULE)
        await kernel.said()
        assert "no module" in kernel.split.backend.reason_of_routes(PEER)
        kernel.split.backend.install(OUT)
        assert kernel.split.keys_in_user_space() == {OUT.spi}
        assert kernel.route() == "routes to hip0"
        kernel.refuses, kernel.rounds = False, 2
        kernel.want(RULE)  # a reload asks again
        await kernel.said("make, 0 policies")
        assert kernel.split.backend.reason_of_routes(PEER) == ""

    tell(monkeypatch, story)


def test_what_the_kernel_refuses_for_a_moment_is_tried_again_without_another_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(kernel: Kernel) -> None:
        kernel.want(RULE)
        kernel.rounds = 1
        await kernel.said("make, 0 policies")
        kernel.split.backend.install(IN)
        kernel.split.backend.install(OUT)
        await kernel.said("raise 1406, 2 policies", f"routes to {NAME}", after=1)
        kernel.failures, kernel.rounds = ["lower", "remove", "remove"], 2
        kernel.want()
        await kernel.said("routes to hip0", "lower, 2 policies", "remove, 0 policies", after=3)
        assert kernel.failures == []

    tell(monkeypatch, story)


def test_a_device_made_in_a_round_that_failed_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(kernel: Kernel) -> None:
        kernel.want(RULE)
        kernel.rounds = 1
        await kernel.said("make, 0 policies")
        kernel.split.backend.install(IN)
        kernel.split.backend.install(OUT)
        await kernel.said("raise 1406, 2 policies", f"routes to {NAME}", after=1)
        kernel.failures, kernel.rounds = ["raise", "remove"], 2
        kernel.want(RULE, RULE)
        await kernel.said(
            "routes to hip0",
            "lower, 2 policies",
            "remove, 0 policies",
            "make, 0 policies",
            "raise 1406, 2 policies",
            f"routes to {NAME}",
            after=3,
        )

    tell(monkeypatch, story)
