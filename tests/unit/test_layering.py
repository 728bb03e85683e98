"""The arrows of ARCHITECTURE.md, held for .py, .pyx and .pxd alike."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "hipgw"
FLOOR = {"values", "errors"}

ALLOWED = {
    "values": set(),
    "errors": set(),
    "wire": FLOOR,
    "crypto": FLOOR | {"_fastpath"},
    "proto": FLOOR | {"wire", "crypto"},
    "policy": FLOOR,
    "netlink": FLOOR,
    "store": FLOOR,
    "resolve": FLOOR | {"policy"},
    "_fastpath": set(),
    "drivers": FLOOR | {"_fastpath"},
    "dataplane": FLOOR | {"_fastpath", "netlink"},
    "compat": FLOOR,
    "lab": FLOOR | {"crypto", "wire", "drivers", "dataplane", "netlink", "_fastpath"},
    "perf": FLOOR | {"drivers", "dataplane", "netlink", "_fastpath", "lab"},
    "daemon": FLOOR
    | {"dataplane", "drivers", "resolve", "store", "compat", "policy", "proto", "crypto"}
    | {"wire", "netlink", "_fastpath"},
    "cli": FLOOR | {"daemon", "compat", "lab", "perf", "crypto"},
    "__main__": {"cli"},
}

FORBIDDEN_IN_ENGINE = {
    "asyncio", "multiprocessing", "os", "random", "secrets", "select", "socket", "threading",
    "time",
}  # fmt: skip

SOURCES = sorted(
    path for path in PACKAGE.rglob("*") if path.suffix in {".py", ".pyi", ".pyx", ".pxd"}
)

CYTHON_IMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import\b|c?import\s+([\w., ]+))", re.M)


def imported_modules(path: Path) -> set[str]:
    text = path.read_text()
    if path.suffix in {".pyx", ".pxd"}:
        found = set()
        for origin, plain in CYTHON_IMPORT.findall(text):
            found |= {origin} if origin else {name.strip() for name in plain.split(",")}
        return found
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
            if node.module == "hipgw":
                found |= {f"hipgw.{alias.name}" for alias in node.names}
    return found


def room_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_arrows_point_down(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        return
    targets = {
        name.split(".")[1] for name in imported_modules(path) if name.startswith("hipgw.")
    } - {"__version__"}
    wrong = targets - ALLOWED[room] - {room}
    assert not wrong, f"{path.relative_to(PACKAGE)}: arrow from {room} to {sorted(wrong)}"


@pytest.mark.parametrize(
    "path", [p for p in SOURCES if room_of(p) in {"proto", "wire", "policy"}],
    ids=lambda p: str(p.relative_to(PACKAGE)),
)  # fmt: skip
def test_pure_rooms_do_no_io(path: Path) -> None:
    roots = {name.split(".")[0] for name in imported_modules(path)}
    assert not roots & FORBIDDEN_IN_ENGINE


@pytest.mark.parametrize(
    ("package", "room"), [("pyroute2", {"netlink"}), ("cryptography", {"crypto"})]
)
def test_only_importer(package: str, room: set[str]) -> None:
    importers = {
        room_of(path)
        for path in SOURCES
        if any(name.split(".")[0] == package for name in imported_modules(path))
    }
    assert importers <= room


def test_every_room_is_known() -> None:
    rooms = {room_of(path) for path in SOURCES} - {"__init__"}
    assert rooms <= set(ALLOWED)


def test_no_drawers_without_a_label() -> None:
    unlabelled = {"utils", "util", "misc", "common", "helpers", "helper"}
    assert not [path for path in SOURCES if path.stem in unlabelled]
