"""`hipgw run`: the file goes to the daemon, the daemon's exit code comes back."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from hipgw.errors import ConfigError, HostError
from tests.unit.cli.conftest import Invoke


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], int]], None]:
    """Puts a function in the place of `hipgw.daemon.main.run`."""

    def install(run: Callable[[str], int]) -> None:
        module = types.ModuleType("hipgw.daemon.main")
        module.run = run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "hipgw.daemon.main", module)

    return install


@pytest.mark.parametrize("code", [0, 1, 2])
def test_exit_code_is_the_daemons(
    invoke: Invoke, daemon: Callable[[Callable[[str], int]], None], code: int
) -> None:
    seen: list[str] = []

    def run(config_path: str) -> int:
        seen.append(config_path)
        return code

    daemon(run)
    assert invoke("run", "-c", "x.toml").exit_code == code
    assert seen == ["x.toml"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("expected a number", file="a.toml", line=3, key="network.mtu"), 2),
        (HostError("no /dev/net/tun: modprobe tun"), 1),
    ],
)
def test_error_is_one_line(
    invoke: Invoke,
    daemon: Callable[[Callable[[str], int]], None],
    error: Exception,
    code: int,
) -> None:
    def run(config_path: str) -> int:
        raise error

    daemon(run)
    said = invoke("run", "-c", "a.toml")
    assert said.stderr == f"hipgw: {error}\n"
    assert said.exit_code == code


def test_check_of_a_valid_file(invoke: Invoke, tmp_path: Path) -> None:
    file = tmp_path / "good.toml"
    file.write_text("[network]\nmtu = 1400\n")
    said = invoke("run", "-c", str(file), "--check")
    assert said.stdout == f"{file}: valid\n"
    assert said.exit_code == 0


def test_check_of_a_wrong_file_names_file_line_and_key(invoke: Invoke, tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text('[network]\nmtu = "big"\n\n[nonsense]\n')
    said = invoke("run", "-c", str(file), "--check")
    assert said.exit_code == 2
    lines = said.stderr.splitlines()
    assert all(line.startswith("hipgw: ") for line in lines)
    assert any(f"{file}:2" in line and "mtu" in line for line in lines)
    assert any("nonsense" in line for line in lines)


def test_check_reads_the_files_of_certificates_too(invoke: Invoke, tmp_path: Path) -> None:
    file = tmp_path / "hipgw.toml"
    anchors = tmp_path / "anchors"
    file.write_text(f'[certificates]\npolicy = "required"\nanchors = ["{anchors}"]\n')
    said = invoke("run", "-c", str(file), "--check")
    assert said.exit_code == 2
    assert "certificates.anchors: certificates are required, but no authority" in said.stderr
    assert str(anchors) in said.stderr


def test_check_of_a_missing_file(invoke: Invoke, tmp_path: Path) -> None:
    said = invoke("run", "-c", str(tmp_path / "none.toml"), "--check")
    assert said.exit_code == 2
    assert str(tmp_path / "none.toml") in said.stderr
