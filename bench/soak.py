"""`make soak`: minutes of traffic, with one fault after the other.

    python -m bench.soak [--minutes M | --seconds S] [--json FILE] [--seed N]

a hip0 | eth0 10.77.0.1 ------ eth0 10.77.0.2 | hip0 b
       | eth1 10.78.0.1 ------ eth1 10.78.0.2 |

TCP and UDP run both ways, over HITs and LSIs, small and jumbo.  After each fault all of them must
move again.  At the end nothing may have come wrong or twice, memory and descriptors are where they
were, every packet has a counter, the logs have no error, and both daemons stop when they are told
to.  Exit code 0 says so; 1 that something failed, and the report what.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from bench import machine
from bench.soak_faults import Fault, faults
from bench.soak_flows import Datagrams, Flow, Stream
from bench.soak_samples import (
    Check,
    Sample,
    drops_of,
    error_lines,
    judge_accounts,
    judge_descriptors,
    judge_memory,
    sample,
)
from hipgw.errors import HostError
from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.lab.topology import multihomed

MTU_OCTETS: Final = 9000
RESUME_S: Final = 60.0
"""A fault after which a flow stands still for so long has won."""
UNITS: Final = 5
"""Of a flow that must arrive after a fault."""
SAMPLE_S: Final = 1.0
STREAM_OCTETS_S: Final = 2_000_000.0
STOP_S: Final = 60.0
SETTINGS: Final = {"hip": {"announce_locators": True, "rekey_octets": 100_000_000}}


@dataclass(slots=True)
class Run:
    """What happened so far."""

    seconds: float
    begun_s: float = field(default_factory=time.monotonic)
    samples: list[Sample] = field(default_factory=list)
    turns: list[dict[str, object]] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    arrived_octets: dict[str, int] = field(default_factory=dict)
    """By flow."""

    @property
    def at_s(self) -> float:
        """Since the begin."""
        return time.monotonic() - self.begun_s

    def check(self, name: str, is_good: object, detail: str = "") -> None:
        """Note a claim."""
        self.checks.append(Check(name, bool(is_good), detail))


def flows_between(a: LabHost, b: LabHost) -> list[Flow]:
    """Both ways, both families, all sizes."""
    return [
        Stream("TCP a to b", a, b, b.hit, STREAM_OCTETS_S),
        Stream("TCP b to a", b, a, a.hit, STREAM_OCTETS_S),
        Stream("TCP a to b, LSI", a, b, b.lsi, STREAM_OCTETS_S),
        Datagrams("UDP a to b, 64 octets", a, b, b.hit, octets=64, per_second=500),
        Datagrams("UDP b to a, 1200 octets, LSI", b, a, a.lsi, octets=1200, per_second=200),
        Datagrams("UDP b to a, 8000 octets", b, a, a.hit, octets=8000, per_second=50),
    ]


def wait_for_all(flows: Sequence[Flow], patience_s: float) -> tuple[float, list[str]]:
    """Until all of them have moved: seconds, and the names of those that did not."""
    begun = time.monotonic()
    goals = [(flow, flow.units + UNITS) for flow in flows]
    while time.monotonic() - begun < patience_s:
        if all(flow.units >= goal for flow, goal in goals):
            return time.monotonic() - begun, []
        time.sleep(0.02)
    return patience_s, [flow.name for flow, goal in goals if flow.units < goal]


def watch(run: Run, hosts: Sequence[LabHost], until_s: float) -> None:
    """Sample until then, at least once."""
    while True:
        run.samples += [sample(host, run.at_s) for host in hosts]
        if run.at_s >= until_s:
            return
        time.sleep(min(SAMPLE_S, max(0.0, until_s - run.at_s)))


def inflict(run: Run, fault: Fault, flows: Sequence[Flow], b: LabHost) -> None:
    """One fault; the flows must move after it, and its counters must have risen."""
    before = drops_of(b) if fault.reasons else {}
    at_s = run.at_s
    did = fault.inflict()
    took_s, stuck = wait_for_all(flows, RESUME_S)
    turn: dict[str, object] = {"at_s": round(at_s, 3), "fault": fault.name, "did": did}
    turn["flowing_after_s"] = round(took_s, 3)
    if stuck:
        run.check(f"traffic resumes after: {fault.name}", is_good=False, detail=", ".join(stuck))
    if fault.reasons:
        after = drops_of(b)
        rose = {name: after[name] - before[name] for name in fault.reasons}
        turn["counted"] = rose
        if not any(rose.values()):
            run.check(f"counted: {fault.name}", is_good=False, detail=", ".join(fault.reasons))
    run.turns.append(turn)


def soak(run: Run, lab: Lab, seed: int, show: Callable[[str], None]) -> None:
    """Start everything, run until the time is over and every fault has been, and judge."""
    a, b = lab.host("a"), lab.host("b")
    for host in (a, b):
        for interface in ("eth0", "eth1"):
            key = f"net.ipv6.conf.{interface}.keep_addr_on_down=1"
            host.run(["sysctl", "-qw", key])
    lab.start_daemons()
    a.run(["ping", "-n", "-c", "1", "-W", "30", str(b.hit)])
    flows = flows_between(a, b)
    for flow in flows:
        flow.start()
    try:
        _, stuck = wait_for_all(flows, RESUME_S)
        if stuck:
            raise HostError(f"no traffic at the begin: {', '.join(stuck)}")
        todo = faults(a, b, random.Random(seed))  # noqa: S311 - the same noise again
        run.begun_s = time.monotonic()
        turn = 0
        while (run.at_s < run.seconds or turn < len(todo)) and not run.checks:
            fault = todo[turn % len(todo)]
            show(fault.name)
            inflict(run, fault, flows, b)
            turn += 1
            left = max(0.0, run.seconds - run.at_s)
            pace_s = min(SAMPLE_S * 2, left / max(1, len(todo) - turn)) if left else 0.0
            watch(run, (a, b), run.at_s + pace_s)
        took_s, stuck = wait_for_all(flows, RESUME_S)
        run.check("traffic runs at the end", not stuck, ", ".join(stuck) or f"{took_s:.2f} s")
    finally:
        for flow in flows:
            flow.stop()
        run.arrived_octets = {flow.name: flow.arrived for flow in flows}
    judge(run, (a, b), flows)


def judge(run: Run, hosts: Sequence[LabHost], flows: Sequence[Flow]) -> None:
    """All claims, once the traffic is over."""
    wrong = [sentence for flow in flows for sentence in flow.wrong]
    arrived = sum(run.arrived_octets.values())
    run.check("nothing came wrong or twice", not wrong, "; ".join(wrong[:5]) or f"{arrived} octets")
    for host in hosts:
        run.samples.append(sample(host, run.at_s))
        run.checks.append(judge_memory(run.samples, host.name))
        run.checks.append(judge_descriptors(run.samples, host.name))
        run.checks.append(judge_accounts(host))
    for host in hosts:
        code = stop(host)
        run.check(f"{host.name} stops when told to", code == 0, f"exit code {code}")
        lines = error_lines(host.files.log)
        run.check(f"no error in the log of {host.name}", not lines, " / ".join(lines[:3]))


def stop(host: LabHost) -> int | None:
    """End a daemon by a signal; its exit code, None when it does not end."""
    daemon = host.daemon
    if daemon is None:
        return -1
    os.kill(daemon.pid, signal.SIGTERM)
    end = time.monotonic() + STOP_S
    # It stays a zombie: the lab collects what it has started.
    how = os.WEXITED | os.WNOHANG | os.WNOWAIT
    while (ended := os.waitid(os.P_PID, daemon.pid, how)) is None and time.monotonic() < end:
        time.sleep(0.02)
    return None if ended is None else ended.si_status


def report(run: Run, lab: Lab, seed: int) -> dict[str, object]:
    """Everything, as JSON values."""
    return {
        "machine": machine.describe(),
        "topology": lab.topology.name,
        "mtu_octets": MTU_OCTETS,
        "seed": seed,
        "seconds": round(run.at_s, 1),
        "is_good": all(check.is_good for check in run.checks),
        "checks": [asdict(check) for check in run.checks],
        "faults": run.turns,
        "arrived_octets": run.arrived_octets,
        "samples": [asdict(one) for one in run.samples],
    }


class Progress:
    """One line on a terminal, a line now and then elsewhere."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._next_s = 0.0

    def __call__(self, what: str) -> None:
        at_s = self._run.at_s
        done = min(100, round(100 * at_s / self._run.seconds))
        line = f"soak {at_s:5.0f} of {self._run.seconds:.0f} s, {done:3d} %: {what}"
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{line:<79.79}")
        elif at_s >= self._next_s:
            sys.stderr.write(f"{line}\n")
            self._next_s = at_s + 10
        sys.stderr.flush()


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.soak", description=__doc__)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, default=10.0)
    length.add_argument("--seconds", type=float)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--encapsulation", choices=("raw", "udp"), default="raw")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    options = parse(argv)
    seconds = options.minutes * 60 if options.seconds is None else options.seconds
    run = Run(seconds)
    progress = Progress(run)
    topology = multihomed(mtu_octets=MTU_OCTETS, underlay="v4")
    with Lab(
        topology,
        name=f"soak-{os.getpid()}",
        encapsulation=options.encapsulation,
        settings=SETTINGS,
    ) as lab:
        try:
            soak(run, lab, options.seed, progress)
        except HostError as error:
            run.check("it ran to its end", is_good=False, detail=str(error))
        document = report(run, lab, options.seed)
    if sys.stderr.isatty():
        sys.stderr.write("\n")
    for check in run.checks:
        print(f"{'ok  ' if check.is_good else 'FAIL'} {check.name}: {check.detail}")
    print(f"{len(run.turns)} faults in {run.at_s:.0f} s")
    if options.json is not None:
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0 if document["is_good"] else 1


if __name__ == "__main__":
    sys.exit(main())
