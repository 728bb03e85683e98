from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hipgw.lab.environment import command_environment, own_command
from hipgw.lab.files import HostFiles


def test_commands_ask_the_daemon_of_their_host(tmp_path: Path) -> None:
    files = HostFiles(tmp_path)
    assert command_environment(files)["HIPGW_SOCKET"] == str(files.socket)


def test_the_search_path_of_the_user_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/first:/second")
    search = command_environment(HostFiles(tmp_path))["PATH"].split(os.pathsep)
    assert search == ["/first", "/second", str(Path(sys.executable).parent)]


def test_hipgw_is_the_one_that_runs_now() -> None:
    assert own_command(["hipgw", "status"]) == [sys.executable, "-m", "hipgw", "status"]
    assert own_command(["ping", "hipgw"]) == ["ping", "hipgw"]
    assert own_command([]) == []


def test_the_package_is_found_from_anywhere(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import hipgw.errors"],
        cwd=tmp_path,
        env=command_environment(HostFiles(tmp_path)),
        check=False,
    )
    assert done.returncode == 0
