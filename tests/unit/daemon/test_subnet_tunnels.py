"""Tunnel devices in their order: nothing is lost, and nothing in clear comes in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from hipgw.daemon.kept_tasks import Pauses
from hipgw.daemon.mss_clamp import RULES_FILE, MssClamp, clear_mss_rules
from hipgw.daemon.subnet_tunnels import NOT_YET, SubnetTunnels, tunnel_name, tunnel_prefix
from hipgw.errors import HostError
from hipgw.netlink import mss_rules
from hipgw.netlink import tunnels as devices
from hipgw.values import Direction, IngressRule
from tests.unit.dataplane.test_composite import Split
from tests.unit.dataplane.test_kernel import IN, OUT
from tests.unit.dataplane.test_user import LOCAL, PEER

NAME = tunnel_name("hip0", PEER)


class Kernel:
    """Remembers what is asked of it, in order; policies of protocol 41 among it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
        self.split = Split()
        self.log: list[str] = []
        self.refuses = False
        self.failures: list[str] = []
        """Acts that fail, each once, in this order."""
        self.has_no_mss = False
        for name in ("make_tunnel", "switch_on", "raise_tunnel", "lower_tunnel", "remove_tunnels"):
            monkeypatch.setattr(devices, name, self._note(name.partition("_")[0]))
        monkeypatch.setattr(devices, "remove_tunnels_of", self._note("clear"))
        monkeypatch.setattr(mss_rules, "install_mss_rules", self._install)
        monkeypatch.setattr(mss_rules, "remove_mss_rules", self._uninstall)
        self.tunnels = SubnetTunnels(
            self.split.backend,
            "hip0",
            lambda: 1446,
            lambda: self.log.append(self.route()),
            MssClamp("hip0", tunnel_prefix("hip0"), directory),
            pauses=Pauses(least_s=0.001),
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

    def _install(self, _: str, devices: str) -> str:
        if self.has_no_mss:
            raise HostError("no xt_TCPMSS")
        assert NAME.startswith(devices)
        self.log.append("rules")
        return "iptables, table mangle"

    def _uninstall(self, _: str, where: str) -> None:
        assert where == "iptables, table mangle"
        self.log.append("no rules")

    def want(self, *rules: IngressRule, clamps_mss: bool = False) -> None:
        self.tunnels.want(
            {PEER: rules} if rules else {},
            lambda _: LOCAL,
            copies_class=True,
            clamps_mss=clamps_mss,
        )

    async def said(self, *lines: str, after: int = 0) -> None:
        """Wait until the log has these lines after so many, and the last round is over."""
        wanted = list(lines)
        async with asyncio.timeout(60):
            while self.log[after:] != wanted or self.settled < self.rounds:
                assert self.log[after:] == wanted[: len(self.log) - after]
                await asyncio.sleep(0.001)

    async def sees(self, question: Callable[[], bool]) -> None:
        """Wait for what another thread does."""
        async with asyncio.timeout(20):
            while not question():
                await asyncio.sleep(0.001)


RULE = IngressRule(is_pass=False, source=IPv4Network("192.168.8.0/24"))


def tell(
    monkeypatch: pytest.MonkeyPatch, story: Callable[[Kernel], Awaitable[None]], directory: Path
) -> None:
    async def run() -> None:
        kernel = Kernel(monkeypatch, directory)
        task = asyncio.create_task(kernel.tunnels.run())
        await story(kernel)
        task.cancel()
        kernel.tunnels.close()

    asyncio.run(run())


def test_a_device_is_made_first_and_carries_while_the_kernel_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def story(kernel: Kernel) -> None:
        kernel.want(RULE)
        assert kernel.split.backend.reason_of_routes(PEER) == NOT_YET
        kernel.rounds = 1
        await kernel.said("make, 0 policies")
        assert kernel.split.backend.reason_of_routes(PEER) == ""
        kernel.split.backend.install(IN)
        kernel.split.backend.install(OUT)
        assert kernel.log[1:] == ["switch, 2 policies"], "before anything is sent"
        await kernel.said("raise 1406, 2 policies", f"routes to {NAME}", after=2)
        kernel.split.backend.remove(Direction.OUT, OUT.spi, LOCAL, PEER)
        kernel.split.backend.remove(Direction.IN, IN.spi, LOCAL, PEER)
        await kernel.said("routes to hip0", "lower, 2 policies", after=4)
        async with asyncio.timeout(60):
            while kernel.split.tables.policies():
                await asyncio.sleep(0.001)

    tell(monkeypatch, story, tmp_path)


def test_other_rules_are_another_device_and_packets_go_through_hip0_meanwhile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def story(kernel: Kernel) -> None:
        kernel.want(RULE)
        kernel.rounds = 1
        await kernel.said("make, 0 policies")
        kernel.split.backend.install(IN)
        kernel.split.backend.install(OUT)
        assert kernel.log[1:] == ["switch, 2 policies"], "before anything is sent"
        await kernel.said("raise 1406, 2 policies", f"routes to {NAME}", after=2)
        kernel.want(RULE, RULE)
        await kernel.said(
            "routes to hip0",
            "lower, 2 policies",
            "remove, 0 policies",
            "make, 0 policies",
            "raise 1406, 2 policies",
            f"routes to {NAME}",
            after=4,
        )
        kernel.want()
        await kernel.said("routes to hip0", "lower, 2 policies", "remove, 0 policies", after=10)

    tell(monkeypatch, story, tmp_path)


def test_a_kernel_without_tunnels_leaves_the_peer_to_user_space(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
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
        kernel.tunnels.ask_again()
        await kernel.said("make, 0 policies")
        assert kernel.split.backend.reason_of_routes(PEER) == ""

    tell(monkeypatch, story, tmp_path)


def test_what_the_kernel_refuses_for_a_moment_is_tried_again_without_another_change(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def story(kernel: Kernel) -> None:
        kernel.want(RULE)
        kernel.rounds = 1
        await kernel.said("make, 0 policies")
        kernel.split.backend.install(IN)
        kernel.split.backend.install(OUT)
        assert kernel.log[1:] == ["switch, 2 policies"]
        await kernel.said("raise 1406, 2 policies", f"routes to {NAME}", after=2)
        kernel.failures, kernel.rounds = ["lower", "remove", "remove"], 2
        kernel.want()
        await kernel.said("routes to hip0", "lower, 2 policies", "remove, 0 policies", after=4)
        assert kernel.failures == []

    tell(monkeypatch, story, tmp_path)


def test_a_device_made_in_a_round_that_failed_is_told_of(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def story(kernel: Kernel) -> None:
        kernel.want(RULE)
        kernel.rounds = 1
        await kernel.said("make, 0 policies")
        kernel.split.backend.install(IN)
        kernel.split.backend.install(OUT)
        assert kernel.log[1:] == ["switch, 2 policies"]
        await kernel.said("raise 1406, 2 policies", f"routes to {NAME}", after=2)
        kernel.failures, kernel.rounds = ["raise", "remove"], 2
        kernel.want(RULE, RULE)
        await kernel.said(
            "routes to hip0",
            "lower, 2 policies",
            "remove, 0 policies",
            "make, 0 policies",
            "raise 1406, 2 policies",
            f"routes to {NAME}",
            after=4,
        )

    tell(monkeypatch, story, tmp_path)


def test_segments_are_clamped_while_there_are_devices(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def story(kernel: Kernel) -> None:
        kernel.want(RULE, clamps_mss=True)
        kernel.rounds = 1
        await kernel.said("make, 0 policies", "rules")
        assert (tmp_path / RULES_FILE).exists()
        assert kernel.tunnels.clamp.check()["outcome"] == "ok"
        kernel.want(RULE)
        await kernel.said("no rules", after=2)
        kernel.want(RULE, clamps_mss=True)
        await kernel.said("rules", after=3)
        kernel.want(clamps_mss=True)
        await kernel.said("remove, 0 policies", "no rules", after=4)
        await kernel.sees(lambda: not (tmp_path / RULES_FILE).exists())
        kernel.want(RULE, clamps_mss=True)
        await kernel.said("make, 0 policies", "rules", after=6)
        kernel.tunnels.close()
        assert kernel.log[8:] == ["no rules", "clear, 0 policies"]

    tell(monkeypatch, story, tmp_path)


def test_a_kernel_without_such_rules_costs_the_clamping_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def story(kernel: Kernel) -> None:
        kernel.has_no_mss, kernel.rounds = True, 1
        kernel.want(RULE, clamps_mss=True)
        await kernel.said("make, 0 policies")
        await kernel.sees(lambda: kernel.tunnels.clamp.reason != "")
        said = kernel.tunnels.clamp.check()
        assert (said["outcome"], "no xt_TCPMSS" in said["detail"]) == ("warn", True)
        assert not (tmp_path / RULES_FILE).exists()
        assert kernel.split.backend.reason_of_routes(PEER) == ""
        kernel.has_no_mss = False
        kernel.tunnels.ask_again()
        await kernel.said("rules", after=1)

    tell(monkeypatch, story, tmp_path)


def test_rules_of_a_killed_daemon_are_taken_away_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    removed: list[str] = []
    monkeypatch.setattr(mss_rules, "remove_mss_rules", lambda name: removed.append(name) or 2)
    assert clear_mss_rules(tmp_path) == 0
    (tmp_path / RULES_FILE).write_text('{"interface": "hip0"}')
    assert clear_mss_rules(tmp_path) == 2
    assert clear_mss_rules(tmp_path) == 0
    assert removed == ["hip0"]
