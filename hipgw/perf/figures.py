"""Medians, ratios and the rule of the noise: a difference inside it is not called one.

Rounds are taken in turns, every contestant once in each, so that what disturbs the machine disturbs
all of them. A ratio is made within a round, and the median of those is what counts. Its interval
is the one of order statistics (the sign test turned round): the k-th smallest to the k-th largest
ratio, with the largest k that still holds the true median in 90 of 100 runs, whatever the noise is
distributed like. That takes five rounds at least. The difference is called one when the interval
does not contain 1.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

CONFIDENCE: Final = 0.9
ROUNDS_LEAST: Final = 5
"""Of fewer rounds not even the smallest and the largest hold the median often enough."""
RULE: Final = (
    "ratios are taken round by round; a difference counts when the 90 % interval of the median "
    f"ratio (order statistics, at least {ROUNDS_LEAST} rounds) does not contain 1"
)


class Verdict(StrEnum):
    """What a ratio says."""

    MORE = "more"
    LESS = "less"
    NOISE = "inside the noise"
    TOO_FEW = "too few rounds"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured quantity over several rounds.

    Attributes:
        name: of what was measured, for example a tunnel.
        unit: of the rounds.
        rounds: one value each, in the order in which they were taken.
        group: what is alike but for the name, for example "TCP, 1 stream, MTU 1500".
        also: the median in other units, for readers.
    """

    name: str
    unit: str
    rounds: tuple[float, ...]
    group: str = ""
    also: tuple[tuple[str, float], ...] = ()

    @property
    def median(self) -> float:
        """Of all rounds."""
        return statistics.median(self.rounds)

    def __str__(self) -> str:
        return (
            f"{self.name:<44} {self.median:>9.1f} {self.unit:<7}"
            f" [{min(self.rounds):.1f} .. {max(self.rounds):.1f}], {len(self.rounds)} rounds"
        )

    def as_json(self) -> dict[str, object]:
        """With the median, for people who read the file."""
        return {**asdict(self), "median": self.median}


@dataclass(frozen=True, slots=True)
class Ratio:
    """A median ratio and the interval that holds it."""

    median: float
    low: float
    high: float
    rounds: int

    @property
    def verdict(self) -> Verdict:
        """Whether the two differ, by the rule above."""
        if self.rounds < ROUNDS_LEAST:
            return Verdict.TOO_FEW
        if self.low > 1:
            return Verdict.MORE
        return Verdict.LESS if self.high < 1 else Verdict.NOISE

    def __str__(self) -> str:
        called = self.verdict in {Verdict.MORE, Verdict.LESS}
        return (
            f"{self.median:.3g} [{self.low:.3g} .. {self.high:.3g}]"
            f"{'' if called else f' ({self.verdict})'}"
        )


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Where the median lies, with CONFIDENCE; smallest and largest when values are too few.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("no rounds")
    ordered, n = sorted(values), len(values)
    outside, k = 0.0, 0
    while k < (n - 1) // 2:
        outside += 2 * math.comb(n, k) / 2**n
        if 1 - outside < CONFIDENCE:
            break
        k += 1
    place = max(0, k - 1)
    return ordered[place], ordered[n - 1 - place]


def ratio(ours: Figure, theirs: Figure) -> Ratio | None:
    """Ours over theirs, round by round; None where one of theirs is nothing.

    Raises:
        ValueError: not the same number of rounds, or none.
    """
    pairs = list(zip(ours.rounds, theirs.rounds, strict=True))
    if not pairs:
        raise ValueError("no rounds")
    if any(under == 0 for _, under in pairs):
        return None
    ratios = [over / under for over, under in pairs]
    low, high = interval(ratios)
    return Ratio(statistics.median(ratios), low, high, len(ratios))


def unpaired_ratio(ours: Figure, theirs: Figure) -> Ratio | None:
    """Of two runs, whose rounds have nothing to do with each other.

    The interval is what is left when either median may be anywhere in its own: wider than that of
    pairs, and so it calls fewer differences.
    """
    our_low, our_high = interval(ours.rounds)
    their_low, their_high = interval(theirs.rounds)
    if their_low <= 0:
        return None
    rounds = min(len(ours.rounds), len(theirs.rounds))
    return Ratio(ours.median / theirs.median, our_low / their_high, our_high / their_low, rounds)


def ratio_line(ours: Figure, theirs: Figure) -> str:
    """The ratio in words; says when it decides nothing."""
    return f"{ours.name} / {theirs.name}: {ratio(ours, theirs) or 'nothing to compare with'}"


def series(name: str, unit: str, values: Sequence[float], group: str = "") -> Figure:
    """A figure of these rounds."""
    return Figure(name, unit, tuple(values), group)
