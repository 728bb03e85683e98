"""Log lines: one line a record, fixed names, no flood."""

from __future__ import annotations

import logging

import pytest

from hipgw.daemon.logs import FieldFormatter, RateLimitedLog


def record(message: str, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("hipgw.daemon.x", logging.INFO, "", 1, message, (), None)
    made.__dict__.update(fields)
    return made


def test_fields_follow_the_message() -> None:
    line = FieldFormatter(is_journal=True).format(record("established", peer_hit="2001:20::1"))
    assert line == "<6>daemon.x: established peer_hit=2001:20::1"


@pytest.mark.parametrize(
    ("value", "spelled"),
    [
        ("", '""'),
        ("a b", '"a b"'),
        ('"', '"\\""'),
        ("a=b", '"a=b"'),
        ("\n<0>x", "\\n<0>x"),
        (5, "5"),
    ],
)
def test_values_cannot_break_the_line(value: object, spelled: str) -> None:
    line = FieldFormatter(is_journal=True).format(record("m", reason=value))
    assert line == f"<6>daemon.x: m reason={spelled}"


def test_without_a_journal_a_line_has_its_time_and_level() -> None:
    line = FieldFormatter(is_journal=False).format(record("m"))
    assert line.endswith(" info daemon.x: m")
    assert line[4] == line[7] == "-"


def test_a_flood_becomes_a_count(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    limited = RateLimitedLog(logging.getLogger("flood"), lines=3, period_s=10, clock=lambda: now)
    with caplog.at_level(logging.INFO, "flood"):
        written = [limited.info("dropped", reason="x") for _ in range(100)]
        other = limited.info("another message")
        now = 10.0
        limited.info("dropped", reason="x")
    assert sum(written) == 3
    assert other
    assert vars(caplog.records[-1])["suppressed_lines"] == 97
    assert len(caplog.records) == 5
