"""How many workers there are, where they run, and what is said of them."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from hipgw.daemon.config import DatapathOptions
from hipgw.daemon.worker_plan import (
    ONE_PAIR,
    WorkerPlan,
    allowed_cores,
    plan_workers,
    workers_check,
    workers_view,
)
from hipgw.daemon.workers import Workers
from hipgw.drivers.scheduling import slice_us_of

GIVES_SLICES = tuple(int(part) for part in os.uname().release.split(".")[:2]) >= (6, 12)


@pytest.mark.parametrize(
    ("cores", "pairs"), [(1, 1), (2, 1), (3, 1), (4, 2), (7, 3), (32, 16), (128, 16)]
)
def test_by_itself_a_pair_has_two_cores(cores: int, pairs: int) -> None:
    assert plan_workers(DatapathOptions(), range(cores)) == WorkerPlan(pairs, slice_us=1000)


def test_the_operator_has_the_last_word() -> None:
    options = DatapathOptions(workers=3, pin=True, busy_poll_us=50, slice_us=700)
    plan = plan_workers(options, {6, 2, 4, 9})
    assert plan == WorkerPlan(3, (2, 4, 6, 9, 2, 4), 50, 700)
    assert plan.names == (
        "hipgw-out-0", "hipgw-in-0", "hipgw-out-1", "hipgw-in-1", "hipgw-out-2", "hipgw-in-2",
    )  # fmt: skip
    assert [plan.core_of(worker) for worker in (0, 3)] == [2, 9]
    assert ONE_PAIR.names == ("hipgw-out", "hipgw-in")
    assert ONE_PAIR.core_of(1) is None


def test_what_is_shown() -> None:
    view = workers_view(WorkerPlan(2, (0, 1, 2, 3), 9, 800), "not permitted", range(7, 12))
    assert (view["pairs"], view["pinned"], view["busy_poll_us"]) == (2, True, 9)
    assert view["slice_us"] == 800
    assert (view["steered"], view["steering_reason"]) == (False, "not permitted")
    assert view["threads"] == [
        {"name": "hipgw-out-0", "pair": 0, "core": 0, "tun_queue": 0,
         "netfilter_queues": [7, 9, 11]},
        {"name": "hipgw-in-0", "pair": 0, "core": 1, "tun_queue": None, "netfilter_queues": []},
        {"name": "hipgw-out-1", "pair": 1, "core": 2, "tun_queue": 1, "netfilter_queues": [8, 10]},
        {"name": "hipgw-in-1", "pair": 1, "core": 3, "tun_queue": None, "netfilter_queues": []},
    ]  # fmt: skip
    assert workers_check(ONE_PAIR, "", 0, 0)["detail"] == "1 pair"
    row = workers_check(WorkerPlan(2, (0, 1, 2, 3), 9), "not permitted", 5, 1)
    assert row["outcome"] == "warn"
    assert row["detail"] == (
        "2 pairs; on cores 0, 1, 2, 3; polling for 9 \N{MICRO SIGN}s; queues by flow "
        "(not permitted); 5 packets handed over, 1 lost"
    )


def test_a_pinned_worker_runs_on_its_core() -> None:
    """A core that is not there does not keep its worker from working; each has its slice."""
    core = max(allowed_cores())
    seen: dict[str, frozenset[int]] = {}
    slices_us: set[int] = set()
    stopped = threading.Event()

    def body(name: str) -> None:
        slices_us.add(slice_us_of())
        seen[name] = allowed_cores()
        stopped.wait()

    async def run() -> None:
        deaths: list[str] = []
        workers = Workers(
            {name: lambda name=name: body(name) for name in ("a", "b", "c")},  # type: ignore[misc]
            stopped.set,
            asyncio.get_running_loop(),
            deaths.append,
            {"a": core, "b": 4095},
            slice_us=250,
        )
        workers.start()
        async with asyncio.timeout(60):
            while len(seen) < 3:
                await asyncio.sleep(0.001)
        assert workers.stop()
        assert deaths == []

    before = os.sched_getaffinity(0)
    asyncio.run(run())
    assert seen["a"] == {core}
    assert seen["b"] == seen["c"] == before
    assert os.sched_getaffinity(0) == before
    assert slices_us == {250 if GIVES_SLICES else 0}
