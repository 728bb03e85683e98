"""Two reports, figure by figure: what is different, and what only seems so.

Where both reports have a reference in a group, each figure is divided by it round by round first,
so that a faster machine or a busier hour does not pass for a change of hipgw. The runs themselves
were not interleaved, so the rule is the stricter one of `figures.unpaired_ratio`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hipgw.errors import HostError
from hipgw.perf.figures import Figure, Ratio, unpaired_ratio
from hipgw.perf.report import Report

SAME_MACHINE: Final = ("cpu", "cores", "kernel")


@dataclass(frozen=True, slots=True)
class Change:
    """One figure that both reports have.

    Attributes:
        before: median of the first report, in `unit`.
        after: median of the second.
        ratio: after over before, or None where there is nothing to divide by.
        is_relative: whether both were divided by the reference of their run.
    """

    group: str
    name: str
    unit: str
    before: float
    after: float
    ratio: Ratio | None
    is_relative: bool


def changes(before: Report, after: Report) -> list[Change]:
    """Every figure that both have, in the order of the second.

    Raises:
        HostError: they measured different things, or have no figure in common.
    """
    if before.kind != after.kind:
        raise HostError(f"one report is of bench {before.kind}, the other of bench {after.kind}")
    known = {(one.group, one.name, one.unit): one for one in before.figures}
    made = []
    for figure in after.figures:
        old = known.get((figure.group, figure.name, figure.unit))
        if old is None:
            continue
        pair = _relative(before, old), _relative(after, figure)
        is_relative = all(one is not None for one in pair)
        first, second = (pair[0] or old, pair[1] or figure) if is_relative else (old, figure)
        made.append(
            Change(
                figure.group,
                figure.name,
                f"of {after.reference}" if is_relative else figure.unit,
                first.median,
                second.median,
                unpaired_ratio(second, first),
                is_relative,
            )
        )
    if not made:
        raise HostError("the two reports have no figure in common: take both with equal options")
    return made


def other_machine(before: Report, after: Report) -> list[str]:
    """What differs between the machines, in words; then only relative figures say anything."""
    return [
        f"{key}: {before.machine.get(key)} before, {after.machine.get(key)} after"
        for key in SAME_MACHINE
        if before.machine.get(key) != after.machine.get(key)
    ]


def _relative(report: Report, figure: Figure) -> Figure | None:
    reference = report.reference_of(figure.group)
    if reference is None or reference is figure or 0 in reference.rounds:
        return None
    rounds = zip(figure.rounds, reference.rounds, strict=True)
    return Figure(figure.name, "", tuple(over / under for over, under in rounds), figure.group)
