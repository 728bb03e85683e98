"""The puzzle: what a check costs, and a search against the raw hash rate of the same core.

    python -m bench.puzzle [--rounds N]

Rounds are interleaved and timed in the CPU time of this thread, so that other load on the machine
counts as little as it can; rates are in million hashes a second. Two raw rates:

hash      libcrypto's Init, Update and Final over the same I | HIT-I | HIT-R | J
compress  libcrypto's compression function alone, over the blocks that a search cannot avoid, each
          fed with the last one's result. The tries of a search do not depend on one another, so
          a processor with SHA instructions overlaps them and passes 100 %.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bench import machine
from bench.figures import Figure, goal_line, ratio_line, series
from hipgw._fastpath.hashes import compress_times, hash_times
from hipgw._fastpath.puzzle import LOW_BITS, solve, solve_v1
from hipgw.crypto import PuzzleRule, puzzle_is_solved, puzzle_v1_is_solved
from hipgw.values import RHASH_OCTETS, Hit, HitSuite

ROUNDS = 41
CHECKS = 5_000
TRIES = 100_000
K = 10
CHECK_GOAL_US = 5.0
RATE_GOAL_PERCENT = 80.0
SUITES = (HitSuite.ECDSA_LOW_SHA1, HitSuite.RSA_DSA_SHA256, HitSuite.ECDSA_SHA384)


@dataclass(frozen=True, slots=True)
class Contest:
    """One kind of puzzle: its check as the engine calls it, its search, and the two raw rates."""

    name: str
    check: Callable[[], object]
    search: Callable[[int], object]
    hash: Callable[[int], object]
    compress: Callable[[int], object]


def contests() -> list[Contest]:
    hit_i, hit_r = Hit(os.urandom(16)), Hit(os.urandom(16))
    hits = hit_i.packed, hit_r.packed
    made = []
    for suite in SUITES:
        size = RHASH_OCTETS[suite]
        i, j = os.urandom(size), os.urandom(size)
        blocks = bytes(256 if size == 48 else 64)  # see the steps in puzzle.pyx
        made.append(
            Contest(
                {20: "SHA-1", 32: "SHA-256", 48: "SHA-384"}[size],
                partial(puzzle_is_solved, suite, K, i, hit_i, hit_r, j),
                partial(solve, size, 8 * size, i, *hits, j),  # no J solves this one
                partial(hash_times, size, i + b"".join(hits) + j),
                partial(compress_times, size, blocks),
            )
        )
    i, j, rule = os.urandom(8), os.urandom(8), PuzzleRule.RFC_5201
    made.append(
        Contest(
            "HIPv1",
            partial(puzzle_v1_is_solved, K, i, hit_i, hit_r, j, rule=rule),
            partial(solve_v1, LOW_BITS, 64, i, *hits, j),
            partial(hash_times, 20, i + b"".join(hits) + j),
            partial(compress_times, 20, bytes(64)),
        )
    )
    return made


def cpu_s(work: Callable[[], object]) -> float:
    begin = time.thread_time()
    work()
    return time.thread_time() - begin


def repeat(call: Callable[[], object]) -> None:
    for _ in range(CHECKS):
        call()


def figures_of(contest: Contest, rounds: int) -> tuple[Figure, Figure, Figure, Figure]:
    """Time of a check in microseconds; rates of search, hash and compress."""
    kinds: tuple[Callable[[int], object], ...] = (contest.search, contest.hash, contest.compress)
    check: list[float] = []
    rates: tuple[list[float], ...] = ([], [], [])
    for _ in range(rounds):
        check.append(cpu_s(partial(repeat, contest.check)) / CHECKS * 1e6)
        for kind, rate in zip(kinds, rates, strict=True):
            rate.append(TRIES / cpu_s(partial(kind, TRIES)) / 1e6)
    name = contest.name
    return (
        series(f"{name} check at K={K}", "us", check),
        series(f"{name} search", "M/s", rates[0]),
        series(f"{name} hash", "M/s", rates[1]),
        series(f"{name} compress", "M/s", rates[2]),
    )


def percent(ours: Figure, theirs: Figure) -> float:
    pairs = zip(ours.rounds, theirs.rounds, strict=True)
    return 100 * statistics.median(a / b for a, b in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    print(machine.describe())
    for contest in contests():
        check, search, raw, compress = figures_of(contest, rounds)
        print()
        for figure in (check, search, raw, compress):
            print(figure)
        print(ratio_line(search, raw))
        print(ratio_line(search, compress))
        print(goal_line(check.name, check.median, CHECK_GOAL_US, "us"))
        for theirs in (raw, compress):
            name = f"{search.name} of {theirs.name} rate"
            print(goal_line(name, percent(search, theirs), RATE_GOAL_PERCENT, "%", at_most=False))


if __name__ == "__main__":
    main()
