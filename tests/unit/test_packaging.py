"""The archives that users install: the sdist carries every Cython source, the wheel runs."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

ALONE = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
"""What is on the path of this run is not what was installed."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An sdist of the tree, and a wheel built from that sdist (as `python -m build` does)."""
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT],
        check=True,
        capture_output=True,
        text=True,
    )
    (sdist,) = out.glob("*.tar.gz")
    (wheel,) = out.glob("*.whl")
    return sdist, wheel


def test_sdist_carries_every_cython_source(archives: tuple[Path, Path]) -> None:
    with tarfile.open(archives[0]) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    wanted = {
        str(path.relative_to(ROOT))
        for pattern in ("*.pyx", "*.pxd", "*.pyi")
        for path in (ROOT / "hipgw" / "_fastpath").rglob(pattern)
    }
    assert wanted
    assert wanted <= names
    built = [name for name in names if name.endswith((".so", ".c"))]
    assert not [name for name in built if not name.startswith("bench/")]


def test_wheel_installs_and_runs(archives: tuple[Path, Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(archives[1]) as wheel:
        assert [name for name in wheel.namelist() if name.endswith(".so")]
        assert "hipgw/py.typed" in wheel.namelist()
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", "-q", archives[1]],
        check=True,
        env=ALONE,
    )
    for command in ("hipgw", "hipconf"):
        assert (python.parent / command).exists()
    said = subprocess.run(
        [python.parent / "hipgw", "--version"], check=True, capture_output=True, text=True,
        cwd=tmp_path, env=ALONE,
    ).stdout  # fmt: skip
    assert "0.1.0" in said
    subprocess.run(
        [python, "-c", "from hipgw._fastpath.worker import DataPath"],
        check=True,
        cwd=tmp_path,
        env=ALONE,
    )
