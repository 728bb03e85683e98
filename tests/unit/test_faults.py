"""docs/faults.md names counters and tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

from hipgw._fastpath.reasons import REASONS
from hipgw._fastpath.worker_state import PATH_NAMES
from hipgw.daemon.drop_reasons import DAEMON_REASONS
from hipgw.values.reasons import CONTROL_REASONS

ROOT = Path(__file__).parents[2]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs/faults.md").read_text().splitlines()
    if line.startswith("|") and "tests/" in line
]
COUNTERS = {*REASONS, *PATH_NAMES, *DAEMON_REASONS, *CONTROL_REASONS}


def test_every_test_is_there() -> None:
    assert len(ROWS) > 25
    for *_, place in ROWS:
        file, _, name = place.partition("::")
        text = (ROOT / file).read_text()
        assert not name or f"def {name}(" in text, place


def test_every_counter_is_there() -> None:
    for fault, _, counters, _ in ROWS:
        for name in re.findall(r"`(\w+)`", counters):
            assert name in COUNTERS, fault
