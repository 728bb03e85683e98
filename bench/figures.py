"""Medians, spreads and ratios; a difference inside the spread is not called one."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured quantity over several rounds."""

    name: str
    unit: str
    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    def __str__(self) -> str:
        return (
            f"{self.name:<44} {self.median:>9.1f} {self.unit:<7}"
            f" [{min(self.rounds):.1f} .. {max(self.rounds):.1f}], {len(self.rounds)} rounds"
        )

    def as_json(self) -> dict[str, object]:
        return {**asdict(self), "median": self.median}


def ratio_line(ours: Figure, theirs: Figure) -> str:
    """The ratio round by round, so that common noise cancels; says when it decides nothing."""
    ratios = [a / b for a, b in zip(ours.rounds, theirs.rounds, strict=True)]
    verdict = "" if min(ratios) > 1 or max(ratios) < 1 else "  (inside the noise)"
    return (
        f"{ours.name} / {theirs.name}: {statistics.median(ratios):.2f}"
        f" [{min(ratios):.2f} .. {max(ratios):.2f}]{verdict}"
    )


def goal_line(name: str, value: float, limit: float, unit: str, *, at_most: bool = True) -> str:
    met = value <= limit if at_most else value >= limit
    word = "at most" if at_most else "at least"
    return f"{'met ' if met else 'MISSED'} {name}: {value:.1f} {unit}, goal {word} {limit:g} {unit}"


def series(name: str, unit: str, values: Sequence[float]) -> Figure:
    return Figure(name, unit, tuple(values))
