"""Pages drawn from tables in the code are what `make docs` would write now."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["drops.md", "states.md", "conformance.md"])
def test_page_is_current(name: str) -> None:
    assert (DOCS / name).read_text() == generator().PAGES[name](), "run `make docs`"
