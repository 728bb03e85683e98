"""Pages drawn from tables in the code are what `make docs` would write now."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from hipgw.values.quirks import PRESETS, QUIRKS, Quirk

DOCS = Path(__file__).parents[2] / "docs"


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["drops.md", "states.md", "conformance.md", "interop.md"])
def test_page_is_current(name: str) -> None:
    assert (DOCS / name).read_text() == generator().PAGES[name](), "run `make docs`"


def test_interop_page_names_every_switch_and_who_needs_it() -> None:
    rows = {}
    for line in (DOCS / "interop.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 6 and cells[0].startswith("`"):
            rows[cells[0].strip("`")] = cells
    assert list(rows) == [quirk.value for quirk in Quirk]
    for name, (_, changes, _, versions, needed, cost) in rows.items():
        assert changes == QUIRKS[Quirk(name)].changes
        assert versions
        assert needed
        assert cost


def test_interop_page_names_every_preset() -> None:
    text = (DOCS / "interop.md").read_text()
    presets = text.partition("## Presets")[2].partition("## ")[0]
    for name, quirks in PRESETS.items():
        (row,) = (line for line in presets.splitlines() if line.startswith(f"| `{name}` |"))
        assert {quirk for quirk in Quirk if f"`{quirk}`" in row} == quirks
