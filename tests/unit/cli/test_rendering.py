"""Ages, sizes and tables, as `wg show` words them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipgw.cli import rendering


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 seconds"),
        (-3.0, "0 seconds"),
        (1, "1 second"),
        (59.9, "59 seconds"),
        (60, "1 minute"),
        (94, "1 minute, 34 seconds"),
        (3600, "1 hour"),
        (3605, "1 hour"),
        (3723, "1 hour, 2 minutes"),
        (86400 * 2 + 3600, "2 days, 1 hour"),
        (86400 * 400, "1 year, 35 days"),
    ],
)
def test_duration(seconds: float, words: str) -> None:
    assert rendering.duration(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(None, "never"), (0.4, "now"), (12.7, "12 seconds ago")]
)
def test_ago(seconds: float | None, words: str) -> None:
    assert rendering.ago(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "-"), (0.2, "0s"), (12, "12s"), (184, "3m 4s"), (180, "3m"), (3600 * 49, "2d 1h")],
)
def test_short_age(seconds: float | None, words: str) -> None:
    assert rendering.short_age(seconds) == words


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (1289749, "1.23 MiB"),
        (3 * 1024**4, "3.00 TiB"),
        (5000 * 1024**5, "5000.00 PiB"),
    ],
)
def test_size(octets: int, words: str) -> None:
    assert rendering.size(octets) == words


@pytest.mark.parametrize(("seconds", "words"), [(0.0213, "21.3 ms"), (2.5, "2.50 s")])
def test_milliseconds(seconds: float, words: str) -> None:
    assert rendering.milliseconds(seconds) == words


def test_plural() -> None:
    assert [rendering.plural(n, "packet") for n in (0, 1, 2)] == [
        "0 packets",
        "1 packet",
        "2 packets",
    ]


@given(st.integers(min_value=0, max_value=10**11), st.integers(min_value=0, max_value=10**11))
def test_longer_is_never_shown_in_a_smaller_unit(one: int, other: int) -> None:
    units = [name for _, name in rendering.TIME_UNITS]

    def place(seconds: int) -> int:
        return units.index(rendering.duration(seconds).split()[1].rstrip("s,"))

    shorter, longer = sorted((one, other))
    assert place(longer) <= place(shorter)


@given(st.lists(st.tuples(st.text("ab", max_size=9), st.text("12", max_size=9)), max_size=5))
def test_table_columns_line_up(rows: list[tuple[str, str]]) -> None:
    lines = rendering.table(("NAME", "N"), rows, right="N").split("\n")
    assert len(lines) == len(rows) + 1
    width = max([4, *(len(name) for name, _ in rows)]) + 2
    for line, (name, number) in zip(lines[1:], rows, strict=True):
        assert line == line.rstrip()
        assert line[:width].rstrip() == name
        assert line[width:].lstrip() == number


class Terminal:
    def __init__(self, *, is_terminal: bool) -> None:
        self.is_terminal = is_terminal

    def isatty(self) -> bool:
        return self.is_terminal


@pytest.mark.parametrize(
    ("is_terminal", "environment", "decorated"),
    [
        (True, {"TERM": "xterm"}, True),
        (False, {"TERM": "xterm"}, False),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (True, {"TERM": "xterm", "NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
    ],
)
def test_bold_only_on_a_terminal_that_takes_it(
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    *,
    is_terminal: bool,
    decorated: bool,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout", Terminal(is_terminal=is_terminal))
    assert rendering.bold("x") == ("\x1b[1mx\x1b[0m" if decorated else "x")
