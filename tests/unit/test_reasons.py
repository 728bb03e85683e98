"""The two halves of the reason table: `values/reasons.py` and `_fastpath/reasons.*`."""

from __future__ import annotations

import re
from pathlib import Path

from hipgw._fastpath.reasons import REASON_NAMES, REASONS
from hipgw.values.reasons import CONTROL_REASONS

ENUM = Path(__file__).parents[2] / "hipgw" / "_fastpath" / "reasons.pxd"
PREFIXED = {"replayed": "esp_replayed"}
"""Words that the control plane uses too, and the name of the data path's own counter."""


def enumerated() -> list[str]:
    """Names of `Reason` in the order of their numbers, R_NONE first."""
    names = re.findall(r"^    R_(\w+)", ENUM.read_text(), re.M)
    assert names[0] == "NONE"
    assert names[-1] == "COUNT"
    return names[:-1]


def test_every_number_has_the_name_of_its_enumerator() -> None:
    lower = [name.lower() for name in enumerated()]
    assert list(REASON_NAMES) == [PREFIXED.get(name, name) for name in lower]


def test_every_name_has_one_meaning_on_one_line() -> None:
    assert tuple(REASONS) == REASON_NAMES[1:]
    for table in (REASONS, CONTROL_REASONS):
        for name, meaning in table.items():
            assert re.fullmatch(r"[a-z][a-z0-9_]*", name), name
            assert meaning.strip() == meaning
            assert "\n" not in meaning
            assert 10 < len(meaning) <= 100, name
            assert not meaning.endswith("."), name


def test_no_counter_of_one_half_hides_one_of_the_other() -> None:
    assert not set(REASONS) & set(CONTROL_REASONS)
    assert all(word in CONTROL_REASONS for word in PREFIXED)
