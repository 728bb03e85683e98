"""What `hipgw bench compare` prints."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from hipgw.cli.rendering import table

if TYPE_CHECKING:
    from hipgw.perf.compare import Change


def changes_table(changes: list[Change]) -> str:
    """A line a figure: both medians, their ratio and what it is worth."""
    header = ("what", "of", "unit", "before", "after", "ratio", "interval", "difference")
    return table(header, [_row(change) for change in changes], right="before after ratio")


def changes_document(changes: list[Change]) -> dict[str, object]:
    """The same for `--json`."""
    return {
        "changes": [
            {
                **asdict(change),
                "verdict": None if change.ratio is None else str(change.ratio.verdict),
            }
            for change in changes
        ]
    }


def _row(change: Change) -> tuple[str, ...]:
    found = change.ratio
    return (
        change.group,
        change.name,
        change.unit,
        f"{change.before:.4g}",
        f"{change.after:.4g}",
        "-" if found is None else f"{found.median:.3f}",
        "-" if found is None else f"{found.low:.3f} .. {found.high:.3f}",
        "-" if found is None else str(found.verdict),
    )
