"""Log lines with fixed field names, and a limit on what a peer can make us write.

A line is `level logger: message field=value ...`.  Fields are given as `extra=`: `hit`, `peer_hit`,
`spi`, `state`, `reason`, `path` and so on.  Values with spaces are quoted.  Under systemd each line
starts with its priority, `<6>`, which the journal takes off (sd-daemon(3)).
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from typing import Final

ROOT: Final = "hipgw"
PRIORITIES: Final = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}
STANDARD_FIELDS: Final = frozenset(
    vars(logging.LogRecord("", 0, "", 0, "", (), None)) | {"message": "", "asctime": ""}
)
LINES_PER_PERIOD: Final = 5
PERIOD_S: Final = 10.0


class FieldFormatter(logging.Formatter):
    """`key=value` lines; a line feed in a value cannot start a second line."""

    def __init__(self, *, is_journal: bool) -> None:
        super().__init__()
        self._is_journal = is_journal

    def format(self, record: logging.LogRecord) -> str:
        """One line for one record, traceback lines behind it if there is an exception."""
        fields = [
            f"{name}={_spell(value)}"
            for name, value in vars(record).items()
            if name not in STANDARD_FIELDS
        ]
        place = record.name.removeprefix(f"{ROOT}.")
        text = " ".join([f"{place}: {_one_line(record.getMessage())}", *fields])
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        if self._is_journal:
            return f"<{PRIORITIES.get(record.levelname, 6)}>{text}"
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(record.created))
        return f"{moment}.{int(record.msecs):03d} {record.levelname.lower()} {text}"


def _one_line(text: str) -> str:
    """Control characters, which could forge lines or move a terminal's cursor, as escapes."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def _spell(value: object) -> str:
    text = _one_line(str(value))
    if text and " " not in text and '"' not in text and "=" not in text:
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def start_logging(level: str) -> None:
    """Send everything that hipgw logs to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FieldFormatter(is_journal="JOURNAL_STREAM" in os.environ))
    logger = logging.getLogger(ROOT)
    logger.handlers[:] = [handler]
    logger.propagate = False
    set_level(level)


def set_level(level: str) -> None:
    """`debug`, `info`, `warning` or `error`."""
    logging.getLogger(ROOT).setLevel(level.upper())


class RateLimitedLog:
    """A logger for what a peer can trigger: per message, a few lines a period, then a count.

    The caller counts first; this only spares the disk.  Messages are literals of ours, so the
    table of counts is as large as the code.
    """

    def __init__(
        self,
        logger: logging.Logger,
        *,
        lines: int = LINES_PER_PERIOD,
        period_s: float = PERIOD_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger = logger
        self._lines = lines
        self._period_s = period_s
        self._clock = clock
        self._counts: dict[str, tuple[float, int]] = {}

    def log(self, level: int, message: str, **fields: object) -> bool:
        """Log unless this message was logged too often lately; whether a line was written."""
        now = self._clock()
        started, count = self._counts.get(message, (now, 0))
        if now - started >= self._period_s:
            if count > self._lines:
                fields["suppressed_lines"] = count - self._lines
            started, count = now, 0
        count += 1
        self._counts[message] = (started, count)
        if count > self._lines:
            return False
        self._logger.log(level, message, extra=fields)
        return True

    def info(self, message: str, **fields: object) -> bool:
        """`log` at level info."""
        return self.log(logging.INFO, message, **fields)

    def warning(self, message: str, **fields: object) -> bool:
        """`log` at level warning."""
        return self.log(logging.WARNING, message, **fields)
