"""All figures of one run, with the machine and the options, as JSON and as Markdown.

The document::

    {"format": "hipgw-bench", "version": 1, "kind": "tunnel",
     "machine": {...}, "options": {...}, "rule": "...", "reference": "bare veth",
     "ours": "hipgw udp", "notes": [...],
     "figures": [{"group", "name", "unit", "rounds": [...], "also": [[unit, value]], "median"}],
     "ratios": [{"group", "over", "under", "median", "low", "high", "rounds", "verdict"}, ...]}

Medians and ratios are for readers; `parse` makes them anew from the rounds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from hipgw.errors import HostError
from hipgw.perf.figures import RULE, Figure, Ratio, interval, ratio

FORMAT: Final = "hipgw-bench"
VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Report:
    """One run.

    Attributes:
        kind: "esp", "tunnel" or "bex".
        machine: as `machine.describe` says it.
        options: what was asked for.
        figures: in the order in which they are shown.
        reference: name of the figure that all others of a group are divided by.
        ours: name of the figure that is divided by each other one, or empty.
        notes: sentences below the figures.
    """

    kind: str
    machine: Mapping[str, object]
    options: Mapping[str, object]
    figures: tuple[Figure, ...]
    reference: str = ""
    ours: str = ""
    notes: tuple[str, ...] = ()

    def groups(self) -> dict[str, list[Figure]]:
        """Figures that are alike but for the name."""
        made: dict[str, list[Figure]] = {}
        for figure in self.figures:
            made.setdefault(figure.group, []).append(figure)
        return made

    def reference_of(self, group: str) -> Figure | None:
        """What the others of a group are divided by, where it was measured."""
        found = [one for one in self.groups()[group] if one.name == self.reference]
        return found[0] if found else None

    def ratio_of(self, figure: Figure) -> Ratio | None:
        """To the reference of its group; None for the reference itself, and where there is none."""
        reference = self.reference_of(figure.group)
        if reference is None or reference is figure:
            return None
        return ratio(figure, reference)

    def ours_over(self, figure: Figure) -> Ratio | None:
        """Ours over another figure of its group; None for ours and the reference."""
        ours = [one for one in self.groups()[figure.group] if one.name == self.ours]
        if not ours or figure.name in {self.ours, self.reference}:
            return None
        return ratio(ours[0], figure)

    def ratios(self) -> Iterator[tuple[str, str, str, Ratio]]:
        """(group, over, under, ratio): to the reference, and of ours to each other."""
        for figure in self.figures:
            found = self.ratio_of(figure)
            if found is not None:
                yield figure.group, figure.name, self.reference, found
            found = self.ours_over(figure)
            if found is not None:
                yield figure.group, self.ours, figure.name, found

    def as_json(self) -> dict[str, Any]:
        """The document above."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "kind": self.kind,
            "machine": dict(self.machine),
            "options": dict(self.options),
            "rule": RULE,
            "reference": self.reference,
            "ours": self.ours,
            "notes": list(self.notes),
            "figures": [figure.as_json() for figure in self.figures],
            "ratios": [
                {
                    "group": group,
                    "over": over,
                    "under": under,
                    **asdict(found),
                    "verdict": str(found.verdict),
                }
                for group, over, under, found in self.ratios()
            ],
        }


def parse(document: Any) -> Report:
    """A report out of its JSON document.

    Raises:
        HostError: it is not one.
    """
    try:
        if document["format"] != FORMAT:
            raise HostError(f"format {document['format']!r}: expected {FORMAT!r}")
        if document["version"] != VERSION:
            raise HostError(f"version {document['version']!r} of the format: expected {VERSION}")
        return Report(
            str(document["kind"]),
            dict(document["machine"]),
            dict(document["options"]),
            tuple(_figure(one) for one in document["figures"]),
            str(document["reference"]),
            str(document["ours"]),
            tuple(map(str, document["notes"])),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise HostError(
            f"no report of hipgw bench ({type(error).__name__}: {error}): take it with --json"
        ) from error


def _figure(one: Mapping[str, Any]) -> Figure:
    rounds = tuple(float(value) for value in one["rounds"])
    if not rounds:
        raise ValueError(f"figure {one['name']!r} has no rounds")
    also = tuple((str(unit), float(value)) for unit, value in one["also"])
    return Figure(str(one["name"]), str(one["unit"]), rounds, str(one["group"]), also)


def read(path: Path) -> Report:
    """A report out of a file.

    Raises:
        HostError: no such file, or it is no report.
    """
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise HostError(f"{path}: {error}") from error
    try:
        return parse(document)
    except HostError as error:
        raise HostError(f"{path}: {error}") from error


def markdown(report: Report) -> str:
    """One table a group: median, interval, smallest and largest round, ratio to the reference."""
    lines = [", ".join(f"{key} {value}" for key, value in report.machine.items()), ""]
    groups = report.groups()
    is_flat = len({figure.unit for figure in report.figures}) == 1 and all(
        sum(one.name != report.reference for one in group) == 1 for group in groups.values()
    )
    lines += _one_table(report) if is_flat and len(groups) > 1 else _table_each(report)
    lines += [f"{RULE[0].upper()}{RULE[1:]}.", *report.notes]
    return "\n".join(lines)


def _one_table(report: Report) -> list[str]:
    """A row a group: for runs that measure one thing in many ways."""
    figures = [figure for figure in report.figures if figure.name != report.reference]
    first = figures[0]
    head = ["", first.unit, *(unit for unit, _ in first.also), "90 % interval", "rounds"]
    lines = [_row([*head, f"/ {report.reference}"]), _row(["---"] * (len(head) + 1))]
    for figure in figures:
        low, high = interval(figure.rounds)
        cells = [figure.group, number(figure.median), *(number(one) for _, one in figure.also)]
        cells += [f"{number(low)} .. {number(high)}", str(len(figure.rounds))]
        lines.append(_row([*cells, str(report.ratio_of(figure) or "")]))
    return [*lines, ""]


def _table_each(report: Report) -> list[str]:
    lines = []
    for group, figures in report.groups().items():
        has_ratio = any(report.ratio_of(figure) for figure in figures)
        has_ours = any(report.ours_over(figure) for figure in figures)
        head = ["", figures[0].unit, "90 % interval", "smallest .. largest", "rounds"]
        head += [f"/ {report.reference}"] if has_ratio else []
        head += [f"{report.ours} / it"] if has_ours else []
        lines += [f"### {group}", "", _row(head), _row(["---"] * len(head))]
        for figure in figures:
            low, high = interval(figure.rounds)
            cells = [
                figure.name,
                number(figure.median),
                f"{number(low)} .. {number(high)}",
                f"{number(min(figure.rounds))} .. {number(max(figure.rounds))}",
                str(len(figure.rounds)),
            ]
            cells += [str(report.ratio_of(figure) or "")] if has_ratio else []
            cells += [str(report.ours_over(figure) or "")] if has_ours else []
            lines.append(_row(cells))
        lines.append("")
    return lines


def number(value: float) -> str:
    """Four digits that mean something, and no exponent."""
    if abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:.4g}"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
