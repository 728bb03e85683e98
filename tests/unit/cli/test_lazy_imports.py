"""A subcommand pays for its own module only: `hipgw status` is asked often, and answers fast."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from hipgw import __version__
from hipgw.cli.main import SUBCOMMANDS
from tests.unit.cli.control_server import MemoryControlServer

PROBE = """
import sys
from hipgw.cli.main import main
try:
    main()
except SystemExit as end:
    code = end.code
sys.stdout.flush()
import json
print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)
"""
HEAVY = {"numpy", "asyncio", "pyroute2", "cryptography", "ipaddress", "tomllib", "subprocess"}


def modules_after(*arguments: str, socket_path: str = "") -> tuple[int, set[str], str]:
    said = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments],
        env={**os.environ, "HIPGW_SOCKET": socket_path, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=True,
    )
    code, modules = json.loads(said.stderr.splitlines()[-1])
    return code, set(modules), said.stdout


@pytest.mark.parametrize("command", ["status", "peers", "sas", "drops"])
def test_asking_imports_nothing_heavy(server: MemoryControlServer, command: str) -> None:
    code, modules, out = modules_after(command, socket_path=str(server.path))
    assert code == 0
    assert out
    assert not modules & HEAVY
    loaded = {name for name in modules if name.startswith("hipgw.")}
    assert not {name for name in loaded if name.split(".")[1] not in {"cli", "compat", "errors"}}
    others = {entry.module for name, entry in SUBCOMMANDS.items() if name != command}
    assert not loaded & (others - {SUBCOMMANDS[command].module, "hipgw.cli.status"})


def test_help_imports_no_subcommand() -> None:
    code, modules, out = modules_after("--help")
    assert code == 0
    assert not modules & ({entry.module for entry in SUBCOMMANDS.values()} | HEAVY)
    for name, entry in SUBCOMMANDS.items():
        assert f"  {name} " in out
        assert entry.summary in out


def test_completion_imports_no_subcommand() -> None:
    said = subprocess.run(
        [sys.executable, "-c", PROBE],
        env={
            **os.environ,
            "_HIPGW_COMPLETE": "bash_complete",
            "COMP_WORDS": "hipgw c",
            "COMP_CWORD": "1",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split() == ["plain,connect", "plain,close", "plain,cert"]
    modules = set(json.loads(said.stderr.splitlines()[-1])[1])
    assert not modules & {entry.module for entry in SUBCOMMANDS.values()}


def test_version() -> None:
    _, modules, out = modules_after("--version")
    assert out == f"hipgw {__version__}\n"
    assert "importlib.metadata" not in modules
