"""Invariant: exit code 0 says that no target raised, hung or grew; 1 that one did.

`python -m tests.fuzz.run --seconds N [--target X] [--jobs 1] [--runs N] [--seeds] [--no-keep]`
fuzzes targets one after another, prints progress, and keeps the smallest set of inputs with the
same coverage in tests/fuzz/corpus.  It begins with that corpus, and with the seeds of a target when
there is none or `--seeds` says so.  Crashing inputs are left in build/fuzz/crashes; `--replay FILE`
runs one again.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from hashlib import sha1
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz.target import CORPUS, PLACES, Target, kept_inputs, load

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "fuzz"
PROGRESS_EVERY_S = 10.0
INPUT_SECONDS_MOST = 120
"""Of wall time: on a busy machine a harmless input may take long."""
MEMORY_MIB_MOST = 2048
CRASHES_MOST = 3
"""A target that has crashed so often in one run is left alone."""
INTERRUPTED = 72
"""Exit code of libFuzzer on SIGINT."""
KEPT_OCTETS_MOST = 256 * 1024
"""Of one target: the longest inputs go when there are more."""
STATUS = re.compile(r"#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+) corp: (\d+)")


@dataclass
class Outcome:
    """What a target did."""

    target: str
    cpu_s: float = 0.0
    executions: int = 0
    coverage: int = 0
    features: int = 0
    kept: int = 0
    crashes: list[str] = field(default_factory=list)


def main(arguments: list[str] | None = None) -> int:
    """Run the targets; returns the exit code."""
    options = _options(arguments)
    names = options.target or [name for name, place in PLACES.items() if place.weight]
    if options.replay:
        for name in names:
            load(name).prepare()
            load(name).run(options.replay.read_bytes())
        return 0
    if find_spec("atheris") is None:
        sys.stderr.write("atheris is not installed: pip install atheris (x86-64, Python 3.11+)\n")
        return 2
    total = sum(max(PLACES[name].weight, 1) for name in names)
    outcomes = []
    for name in names:
        seconds = max(1, options.seconds * max(PLACES[name].weight, 1) // total)
        outcome = _fuzz(name, seconds, options)
        outcomes.append(outcome)
        with (BUILD / "runs.jsonl").open("a") as log:
            log.write(json.dumps(asdict(outcome) | {"ended_s": int(time.time())}) + "\n")
    for one in outcomes:
        _say(
            f"{one.target}: {one.cpu_s:.0f} CPU s, {one.executions} executions,"
            f" {one.coverage} edges, {one.features} features, {one.kept} inputs kept,"
            f" {len(one.crashes)} crashes"
        )
        for crash in one.crashes:
            _say(f"  python -m tests.fuzz.run --target {one.target} --replay {crash}")
    return int(any(one.crashes for one in outcomes))


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run")
    parser.add_argument("--seconds", type=int, default=60, help="for all targets together")
    parser.add_argument("--target", action="append", choices=PLACES, help="may be repeated")
    parser.add_argument("--jobs", type=int, default=1, help="processes for one target")
    parser.add_argument("--runs", type=int, default=-1, help="inputs for each target")
    parser.add_argument("--seed", type=int, default=0, help="0 draws one")
    parser.add_argument("--seeds", action="store_true", help="begin with the target's seeds too")
    parser.add_argument("--no-keep", action="store_true", help="leave tests/fuzz/corpus alone")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run one input, no fuzzing")
    return parser.parse_args(arguments)


def _fuzz(name: str, seconds: int, options: argparse.Namespace) -> Outcome:
    target, outcome = load(name), Outcome(name)
    work, seeds = BUILD / "corpus" / name, BUILD / "seeds" / name
    crashes = BUILD / "crashes"
    kept = [] if options.no_keep and not kept_inputs(name) else [CORPUS / name]
    for folder in (work, seeds, crashes, *kept):
        folder.mkdir(parents=True, exist_ok=True)
    if options.seeds or not kept_inputs(name):
        _write_inputs(seeds, target)
    began, end = _cpu_s(), time.monotonic() + seconds
    executions = 0
    while len(outcome.crashes) < CRASHES_MOST and (left := int(end - time.monotonic())) > 0:
        arguments = [
            f"-max_total_time={left}",
            f"-runs={options.runs}",
            f"-seed={options.seed}",
            f"-artifact_prefix={crashes}/{name}-",
            f"-timeout={INPUT_SECONDS_MOST}",
            f"-rss_limit_mb={MEMORY_MIB_MOST}",
            f"-max_len={target.octets_most}",
            "-len_control=0",
            "-print_final_stats=1",
            *([f"-fork={options.jobs}", "-ignore_crashes=1"] if options.jobs > 1 else []),
            *map(str, (work, *kept, seeds)),
        ]
        known = len(outcome.crashes)
        code = _follow(name, arguments, outcome)
        executions, outcome.executions = executions + outcome.executions, 0
        if code == INTERRUPTED:
            break
        if code and not outcome.crashes:
            raise SystemExit(f"{name}: the fuzzer ended with {code}: see {BUILD / name}.log")
        if not code or len(outcome.crashes) == known:  # done, or the same crash again
            break
    outcome.executions = executions
    if not options.no_keep:
        _keep(name, target, (CORPUS / name, work, seeds))
    outcome.kept = len(kept_inputs(name))
    outcome.cpu_s = _cpu_s() - began
    return outcome


def _follow(name: str, arguments: list[str], outcome: Outcome) -> int:
    """Run one child to its end; everything it says goes to a log, some of it to the screen."""
    spoken = 0.0
    with (BUILD / f"{name}.log").open("a") as log, _child(name, arguments) as child:
        for line in child.stdout or ():
            log.write(line)
            if found := STATUS.match(line):
                numbers = [int(number) for number in found.groups()]
                outcome.executions, outcome.coverage, outcome.features = numbers[:3]
                if time.monotonic() - spoken > PROGRESS_EVERY_S:
                    spoken = time.monotonic()
                    _say(f"{name}: {line.strip()}")
            elif line.startswith("stat::number_of_executed_units:"):
                outcome.executions = int(line.split()[-1])
            elif "Test unit written to " in line:
                file = line.rpartition(" ")[2].strip()
                outcome.crashes += [file] if file not in outcome.crashes else []
            elif "Error" in line or line.startswith((" ===", "==", "  File")):
                _say(f"{name}: {line.rstrip()}")
    return child.returncode


def _child(name: str, arguments: list[str]) -> subprocess.Popen[str]:
    again = BUILD / f"child-{name}"
    command = f'exec "{sys.executable}" -m tests.fuzz.child {name} "$@"'
    again.write_text(f'#!/bin/sh\ncd "{ROOT}" && {command}\n')
    again.chmod(0o755)
    return subprocess.Popen(
        [again, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=os.environ | {"HIPGW_FUZZ_AGAIN": str(again)},
    )


def _keep(name: str, target: Target, folders: tuple[Path, ...]) -> None:
    """Put the fewest inputs that cover as much into the kept corpus."""
    merged = BUILD / "merged" / name
    shutil.rmtree(merged, ignore_errors=True)
    merged.mkdir(parents=True)
    limits = [f"-max_len={target.octets_most}", f"-timeout={INPUT_SECONDS_MOST}"]
    arguments = ["-set_cover_merge=1", *limits, str(merged), *map(str, folders)]
    with (BUILD / f"{name}-merge.log").open("w") as log, _child(name, arguments) as child:
        log.writelines(child.stdout or ())
    if child.returncode or not any(merged.iterdir()):
        raise SystemExit(f"{name}: merge ended with {child.returncode}: {BUILD / name}-merge.log")
    left = KEPT_OCTETS_MOST
    kept = set()
    for file in sorted(merged.iterdir(), key=lambda one: (one.stat().st_size, one.name)):
        left -= file.stat().st_size
        if left < 0:
            break
        kept.add(file.name)
        shutil.copy(file, CORPUS / name / file.name)
    for file in kept_inputs(name):
        if file.name not in kept:
            file.unlink()


def _write_inputs(folder: Path, target: Target) -> None:
    for octets in target.seeds():
        file = folder / sha1(octets, usedforsecurity=False).hexdigest()
        if not file.exists():
            file.write_bytes(octets)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
