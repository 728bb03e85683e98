"""Numbers, ages and tables as people read them; knows nothing of HIP.

Ages and sizes follow `wg show`: at most two units of time, binary units of size.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

TIME_UNITS: Final = (
    (365 * 86400, "year"),
    (86400, "day"),
    (3600, "hour"),
    (60, "minute"),
    (1, "second"),
)
SHORT_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
SIZE_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
BOLD: Final = "\x1b[1m"
PLAIN: Final = "\x1b[0m"


def is_decorated() -> bool:
    """Whether standard output takes bold: a terminal, and NO_COLOR (no-color.org) is unset."""
    return (
        sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )


def bold(text: str) -> str:
    """`text` in bold where the output takes it."""
    return f"{BOLD}{text}{PLAIN}" if is_decorated() else text


def duration(seconds: float) -> str:
    """Seconds in words, two units at most: "1 minute, 34 seconds"; below a second: "0 seconds"."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for unit_s, name in TIME_UNITS:
        count, left = divmod(left, unit_s)
        if count:
            parts.append(f"{count} {name}{'s' if count > 1 else ''}")
        elif parts:
            break
        if len(parts) == 2:
            break
    return ", ".join(parts) or "0 seconds"


def ago(seconds: float | None) -> str:
    """An age in words: "never", "now", or "12 seconds ago"."""
    if seconds is None:
        return "never"
    return "now" if seconds < 1 else f"{duration(seconds)} ago"


def short_age(seconds: float | None) -> str:
    """An age for a table column: "-", "12s", "3m 4s", "2d 1h"."""
    if seconds is None:
        return "-"
    left = max(0, int(seconds))
    for place, (unit_s, name) in enumerate(SHORT_UNITS):
        if left < unit_s:
            continue
        count, left = divmod(left, unit_s)
        if place + 1 == len(SHORT_UNITS):
            return f"{count}{name}"
        smaller_s, smaller = SHORT_UNITS[place + 1]
        rest = left // smaller_s
        return f"{count}{name} {rest}{smaller}" if rest else f"{count}{name}"
    return "0s"


def size(octets: int) -> str:
    """Octets in binary units, two decimals from KiB on: "840 B", "1.23 MiB"."""
    if octets < 1024:
        return f"{octets} B"
    value, unit = float(octets), 0
    while value >= 1024 and unit < len(SIZE_UNITS) - 1:
        value /= 1024
        unit += 1
    return f"{value:.2f} {SIZE_UNITS[unit]}"


def milliseconds(seconds: float) -> str:
    """A short time: "21.3 ms", or seconds from 1 s on."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


def utc(unix_s: float) -> str:
    """A Unix time as RFC 3339 in UTC: "2026-12-22T18:00:00Z"."""
    try:
        return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{unix_s:.0f} s"


def plural(count: int, noun: str) -> str:
    """A count with its noun: "1 packet", "2 packets"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: str = "") -> str:
    """Columns two spaces apart, header in bold, no line ends with a space.

    Args:
        header: column titles.
        rows: cells, as many as titles.
        right: titles of right-aligned columns, separated by spaces (words with no space inside).
    """
    to_the_right = set(right.split())
    widths = [
        max(len(title), *(len(row[column]) for row in rows)) if rows else len(title)
        for column, title in enumerate(header)
    ]

    def line(cells: Sequence[str]) -> str:
        return "  ".join(
            cell.rjust(width) if title in to_the_right else cell.ljust(width)
            for title, cell, width in zip(header, cells, widths, strict=True)
        ).rstrip()

    return "\n".join([bold(line(header)), *(line(row) for row in rows)])
