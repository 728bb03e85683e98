"""The environment of a command that runs on a lab host."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hipgw.lab.files import HostFiles

PACKAGE_PARENT: Final = Path(__file__).resolve().parents[2]


def own_command(argv: Sequence[str]) -> list[str]:
    """The command with `hipgw` standing for the one that runs now, installed or not."""
    if argv and argv[0] == "hipgw":
        return [sys.executable, "-m", "hipgw", *argv[1:]]
    return list(argv)


def command_environment(files: HostFiles) -> dict[str, str]:
    """The environment of a command on a lab host.

    `hipgw` asks that host's daemon there; where it is installed, a shell finds it too.
    """
    environment = dict(os.environ)
    environment["HIPGW_SOCKET"] = str(files.socket)
    search = environment.get("PATH", os.defpath).split(os.pathsep)
    own = str(Path(sys.executable).parent)
    environment["PATH"] = os.pathsep.join([*search, *([own] if own not in search else [])])
    modules = environment.get("PYTHONPATH", "").split(os.pathsep)
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(PACKAGE_PARENT), *(entry for entry in modules if entry)]
    )
    return environment
