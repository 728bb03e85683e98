"""Many associations in one daemon: memory of each, cost of a timer, and `hipgw status`.

    python -m bench.associations [--count N] [--rounds N]

The daemon is the real one, in a namespace, with its TUN, its data path and its control socket; the
associations are those of `bench.crowd`: ESTABLISHED, idle, each with both security associations
installed.  Memory is what the process grows by (RSS), and what of that Python has allocated
(tracemalloc, in a run of its own, because tracing takes memory too).  Timers: comparisons
and time of moving, taking and setting deadlines among 1 000 and among `--count`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import machine
from bench.crowd import Crowd
from bench.figures import Figure, goal_line, series
from hipgw.daemon.composition import Daemon
from hipgw.daemon.config_file import load_config
from hipgw.daemon.logs import start_logging
from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.proto.effects import Effect
from hipgw.proto.timers import TimerHeap

COUNT = 100_000
TRACED = 5_000
"""Associations of the run under tracemalloc."""
FIRST = 500
"""Made before the first look at memory: caches fill, tables are there."""
AT_ONCE = 200
ROUNDS = 11
TIMERS = 20_000
OCTETS_GOAL = 8192.0
STATUS_GOAL_MS = 300.0
WORK_GOAL = 2.0
"""O(log n): log 100 000 / log 1 000 is 1.67; O(n) would be 100."""


def resident_octets() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


# --- the daemon's side ---


async def serve(config: Path, count: int, *, is_traced: bool) -> None:
    """Run a daemon, fill it, say what it takes, go on until SIGTERM ends it."""
    start_logging("error")
    daemon = Daemon(load_config(config), config)
    running = asyncio.create_task(daemon.run())
    while not daemon._is_ready:  # noqa: SLF001
        await asyncio.sleep(0.01)
    gateway = daemon._gateway  # noqa: SLF001
    if gateway is None:
        raise TypeError("a daemon that is ready has a gateway")
    engine = gateway.engine

    def apply(effects: list[Effect]) -> None:
        engine.endpoint._core.effects[:0] = effects  # noqa: SLF001
        engine.apply()

    crowd = Crowd(engine.endpoint, engine.now(), apply)
    crowd.grow(FIRST, engine.now())
    await asyncio.sleep(1.0)
    gc.collect()
    if is_traced:
        tracemalloc.start()
    begun, before = len(engine.endpoint.table), resident_octets()
    while len(engine.endpoint.table) < count:
        crowd.grow(AT_ONCE, engine.now())
        await asyncio.sleep(0)
    await asyncio.sleep(1.0)
    gc.collect()
    more = len(engine.endpoint.table) - begun
    grown = tracemalloc.get_traced_memory()[0] if is_traced else resident_octets() - before
    said = {"associations": begun + more, "octets_each": grown / more}
    print(json.dumps(said), flush=True)
    await running


def filled(host: LabHost, count: int, *, is_traced: bool = False) -> dict[str, Any]:
    """Start such a daemon on a host; what it says once it is full."""
    process = host.popen(
        [
            *(sys.executable, "-m", "bench.associations", "--daemon", str(host.files.config)),
            *("--count", str(count)),
            *(["--traced"] if is_traced else []),
        ],
        role="daemon",
    )
    if process.stdout is None:
        raise TypeError("its output goes to a pipe")
    for line in process.stdout:
        if line.startswith("{"):
            said: dict[str, Any] = json.loads(line)
            return said
    raise SystemExit(f"the daemon ended: {host.log_tail()}")


# --- the figures ---


def status_ms(host: LabHost, rounds: int) -> Figure:
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        host.run(["hipgw", "status"])
        times.append((time.perf_counter() - begin) * 1e3)
    return series("hipgw status, interpreter included", "ms", times)


class Counted(float):
    """A deadline that counts how often it is compared with another."""

    comparisons = 0

    def __eq__(self, other: object) -> bool:
        return float(self) == other

    def __hash__(self) -> int:
        return super().__hash__()

    def __lt__(self, other: float) -> bool:
        Counted.comparisons += 1
        return float(self) < float(other)


def timers_work(present: int, deadline: Callable[[int], float]) -> float:
    """Move one deadline, take the earliest, set it again, among so many; CPU microseconds."""
    timers: TimerHeap[int] = TimerHeap()
    for key in range(present):
        timers.set(key, deadline(key * 7919 % present))
    Counted.comparisons = 0
    begin = time.thread_time()
    for number in range(TIMERS):
        timers.set(number * 31 % present, deadline(present + number))
        key = timers.take_due(float("inf"))
        if key is not None:
            timers.set(key, deadline(present + number))
    return (time.thread_time() - begin) / TIMERS * 1e6


def comparisons(present: int) -> float:
    """How many comparisons of deadlines that takes."""
    timers_work(present, Counted)
    return Counted.comparisons / TIMERS


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--daemon", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--traced", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.daemon:
        asyncio.run(serve(options.daemon, options.count, is_traced=options.traced))
        return
    print(machine.describe())
    settings = {"hip": {"dh_groups": ["p256"], "associations_limit": 10 * options.count}}
    with Lab.pair(name="bench-crowd", settings=settings) as lab:
        traced = filled(lab.host("b"), min(options.count, TRACED), is_traced=True)
        full = filled(lab.host("a"), options.count)
        status = status_ms(lab.host("a"), options.rounds)
        small = status_ms(lab.host("b"), options.rounds)
    few: list[float] = []
    many: list[float] = []
    for _ in range(options.rounds):
        few.append(timers_work(1000, float))
        many.append(timers_work(options.count, float))
    small_work, large_work = comparisons(1000), comparisons(options.count)
    lines = [
        f"associations {full['associations']}: {full['octets_each']:.0f} octets each (RSS)",
        f"of that Python's, among {traced['associations']}: {traced['octets_each']:.0f} octets",
        f"{status}, {full['associations']} associations",
        f"{small}, {traced['associations']} associations",
        str(series("timer moved twice, taken once, of 1 000", "us", few)),
        str(series(f"timer moved twice, taken once, of {options.count}", "us", many)),
        f"comparisons of deadlines: {small_work:.1f} of 1 000, {large_work:.1f} of {options.count}",
        "",
        goal_line("memory of an association", full["octets_each"], OCTETS_GOAL, "octets"),
        goal_line("hipgw status", status.median, STATUS_GOAL_MS, "ms"),
        goal_line("timers, ratio of comparisons", large_work / small_work, WORK_GOAL, ""),
    ]
    print("\n".join(lines))


if __name__ == "__main__":
    main()
