"""ESP in the kernel: `make bench-kernel`, in a guest whose kernel has it.

    python -m bench.kernel [--rounds N] [--seconds S] [--count N] [--json FILE]

Boots User Mode Linux and runs `bench.kernel_guest` there.  The guest has one processor, its
ciphers are generic C, and a system call costs it two switches of processes of the host: ratios of
one run count, absolute numbers do not.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from bench import machine
from bench.figures import goal_line
from tests.kernel.guest import DIED, TREE, fresh_job, machine_of, run_guest

LIMIT_S = 1800.0
RATIO_GOAL = 0.9
SET_UP_GOAL_MS = 2.0
MANY_GOAL_S = 10.0
PROBE_GOAL_MS = 50.0
GROWTH_GOAL_OCTETS = 64.0
"""That a round of installing and removing adds, for each association: what leaks stays."""


def goals(report: dict[str, Any]) -> list[str]:
    """Each figure beside its goal."""
    many = report["many"]
    ratios = [
        goal_line(name, report["ratios"][name], RATIO_GOAL, "", at_most=False)
        for name in report["ratios"]
        if name == "hipgw, kernel / by hand"
    ]
    return [
        *ratios,
        goal_line("set-up of an association, median", report["set_up_ms"]["median"],
                  SET_UP_GOAL_MS, "ms"),
        goal_line(f"{many['count']} associations", many["install_s"], MANY_GOAL_S, "s"),
        goal_line("memory that a round adds, for each association", many["growth_octets"],
                  GROWTH_GOAL_OCTETS, "octets"),
        goal_line("states and policies left", many["left"], 0, ""),
        goal_line("probe of the suites of a daemon", report["probe_ms"]["configured"],
                  PROBE_GOAL_MS, "ms"),
    ]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.kernel", description=(__doc__ or "").split("\n", 1)[0]
    )
    parser.add_argument("--rounds", type=int, default=7, help="of throughput; 0: none")
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--json", type=Path, help="where the figures go, as JSON")
    options = parser.parse_args()
    print(machine.describe(), f"load {os.getloadavg()[0]:.1f}")
    # The guest has one processor; to wake a second one of an idle host takes longer than its calls.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    job = TREE / "build/kernel/bench"
    words = [f"--{key}={getattr(options, key)}" for key in ("rounds", "seconds", "count")]
    fresh_job(job, ["bench.kernel_guest", "--json=/mnt/job/figures.json", *words])
    try:
        with machine_of("uml", job) as guest:
            status = run_guest(guest, job, limit_s=LIMIT_S, output=sys.stdout)
    except FileNotFoundError as error:
        print(error)
        return DIED
    figures = job / "figures.json"
    if status == 0:
        print("\n".join(goals(json.loads(figures.read_text()))))
        print(f"load {os.getloadavg()[0]:.1f}")
        if options.json is not None:
            shutil.copyfile(figures, options.json)
    return status


if __name__ == "__main__":
    sys.exit(main())
