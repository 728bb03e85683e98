"""Bars of a report, one panel a group, as PNG or SVG.

matplotlib is an extra (`pip install 'hipgw[bench]'`) and imported when a plot is asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hipgw.errors import HostError
from hipgw.perf.figures import interval
from hipgw.perf.report import Report

FORMATS: Final = (".png", ".svg")
PANEL_INCHES: Final = (8.0, 0.32)
"""Width of the page, and height of one bar."""
AROUND_INCHES: Final = 0.9
"""Height of a panel's title and axis."""


def check_plot(path: Path) -> None:
    """Refuse a plot that could not be drawn, before anything is measured.

    Raises:
        HostError: matplotlib is not installed, or the file is neither PNG nor SVG.
    """
    if path.suffix.lower() not in FORMATS:
        raise HostError(f"{path}: a plot is a file that ends with .png or .svg")
    try:
        import matplotlib as _  # noqa: F401, PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise HostError(
            "matplotlib is not installed: pip install 'hipgw[bench]', or leave --plot out"
        ) from error


def draw(report: Report, path: Path) -> None:
    """Medians as bars with their 90 % intervals; needs no display.

    Raises:
        HostError: as `check_plot`, or the file cannot be written.
    """
    check_plot(path)
    from matplotlib.figure import Figure as Page  # noqa: PLC0415

    groups = report.groups()
    heights = [PANEL_INCHES[1] * len(figures) + AROUND_INCHES for figures in groups.values()]
    page = Page(figsize=(PANEL_INCHES[0], sum(heights) + AROUND_INCHES), layout="constrained")
    panels = page.subplots(len(groups), 1, squeeze=False, height_ratios=heights)
    for panel, (group, figures) in zip(panels[:, 0], groups.items(), strict=True):
        medians = [figure.median for figure in figures]
        ends = [interval(figure.rounds) for figure in figures]
        below = [median - low for median, (low, _) in zip(medians, ends, strict=True)]
        above = [high - median for median, (_, high) in zip(medians, ends, strict=True)]
        colours = ["0.7" if one.name == report.reference else "tab:blue" for one in figures]
        panel.barh([figure.name for figure in figures], medians, xerr=[below, above], color=colours)
        panel.set_xlim(0, None if any(medians) else 1)
        panel.invert_yaxis()
        panel.set_title(group, loc="left", fontsize=10)
        panel.set_xlabel(figures[0].unit)
    machine = report.machine
    page.suptitle(
        f"hipgw bench {report.kind}: {machine.get('cpu')}, {machine.get('cores')} cores, "
        f"Linux {machine.get('kernel')}",
        fontsize=9,
    )
    try:
        page.savefig(path)
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from error
