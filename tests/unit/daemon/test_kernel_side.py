"""The kernel may answer late: nobody waits, and associations move when it has."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection
from pathlib import Path

import pytest

from hipgw.daemon import kernel_side
from hipgw.daemon.kernel_side import KernelSide
from hipgw.daemon.kernel_views import kernel_check
from hipgw.dataplane.interface import Carrier
from hipgw.dataplane.kernel_suites import KernelEsp
from hipgw.netlink.xfrm.probe import Verdict
from hipgw.values import Direction, EspSuite
from tests.unit.daemon.gateways import MemoryGateway, gateway_pair, ipv6_packet, settled
from tests.unit.dataplane.kernel_tables import KernelTables

PATIENCE_S = 60.0


class Kernel:
    """Answers when it is let."""

    def __init__(self, reason: str) -> None:
        self.may_answer = threading.Event()
        self.reason = reason
        self.asked: list[set[EspSuite]] = []

    def probe(self, suites: Collection[EspSuite]) -> KernelEsp:
        self.asked.append(set(suites))
        assert self.may_answer.wait(PATIENCE_S)
        return KernelEsp(tuple(Verdict(one.name, 4, False, self.reason) for one in suites))


def outbound_carrier(gateway: MemoryGateway) -> tuple[Carrier, str]:
    [record] = [
        one
        for one in gateway.sas.records()
        if one.direction is Direction.OUT and gateway.sas.is_current(one)
    ]
    return gateway.sas.carrier_of(record), gateway.sas.reason_for_user(record)


async def story(directory: Path, kernel: Kernel) -> tuple[MemoryGateway, MemoryGateway, KernelSide]:
    """An association of two gateways, the first with a kernel that has not answered."""
    a, b = await gateway_pair(directory, tables=KernelTables())
    assert a.split is not None
    side = KernelSide(a.split.kernel, None, KernelEsp(), "")
    side.start(a.gateway, asyncio.get_running_loop())
    a.traffic.on_no_sa(ipv6_packet(a.hit, b.hit, b"first"), ())
    await settled(a, b)
    assert len(a.data_path.injected) == 1
    assert outbound_carrier(a) == (Carrier.USER, "the kernel has not answered yet")
    assert kernel_check(side)["detail"] == "being asked"
    await side.wait_for_answer(0.01)
    assert side.esp == KernelEsp()
    side.tick()
    kernel.may_answer.set()
    await side.wait_for_answer(PATIENCE_S)
    assert side.esp.verdicts
    return a, b, side


def test_associations_begin_in_user_space_and_move_when_the_kernel_has_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Kernel("")
    monkeypatch.setattr(kernel_side, "probe_kernel", kernel.probe)

    async def run() -> None:
        a, b, side = await story(tmp_path, kernel)
        before = {record.spi for record in a.sas.records()}
        side.tick()
        await settled(a, b)
        assert outbound_carrier(a) == (Carrier.KERNEL, "")
        assert {record.spi for record in a.sas.records() if a.sas.is_current(record)} != before
        rekeyed = a.sas.outbound_of(a.hit, b.hit)
        side.tick()
        await settled(a, b)
        assert a.sas.outbound_of(a.hit, b.hit) == rekeyed  # once is enough
        a.engine.close()
        b.engine.close()

    asyncio.run(run())
    assert len(kernel.asked) == 1
    assert kernel.asked[0] < set(EspSuite)  # what the configuration names, no more


def test_a_kernel_that_can_nothing_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Kernel("this kernel has no ESP")
    monkeypatch.setattr(kernel_side, "probe_kernel", kernel.probe)

    async def run() -> None:
        a, b, side = await story(tmp_path, kernel)
        before = a.sas.outbound_of(a.hit, b.hit)
        side.tick()
        await settled(a, b)
        assert a.sas.outbound_of(a.hit, b.hit) == before
        assert outbound_carrier(a) == (Carrier.USER, "this kernel has no ESP")
        check = kernel_check(side)
        assert check["outcome"] == "warn"
        assert "this kernel has no ESP" in check["detail"]
        a.engine.close()
        b.engine.close()

    asyncio.run(run())
