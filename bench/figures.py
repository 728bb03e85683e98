"""Figures beside their goals; how they are taken and compared is `hipgw.perf.figures`."""

from __future__ import annotations

from hipgw.perf.figures import Figure, ratio_line, series

__all__ = ["Figure", "goal_line", "ratio_line", "series"]


def goal_line(name: str, value: float, limit: float, unit: str, *, at_most: bool = True) -> str:
    met = value <= limit if at_most else value >= limit
    word = "at most" if at_most else "at least"
    return f"{'met ' if met else 'MISSED'} {name}: {value:.1f} {unit}, goal {word} {limit:g} {unit}"
