"""The rivals by name, and their installing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Final

from hipgw.errors import HostError
from hipgw.perf.rivals.contract import Rival
from hipgw.perf.rivals.nebula import Nebula
from hipgw.perf.rivals.openvpn import Openvpn
from hipgw.perf.rivals.strongswan import Strongswan
from hipgw.perf.rivals.wireguard_go import WireguardGo

RIVALS: Final[Mapping[str, Rival]] = {
    rival.name: rival for rival in (WireguardGo(), Nebula(), Strongswan(), Openvpn())
}


def rivals_of(names: Sequence[str]) -> list[Rival]:
    """The rivals of these names, in that order.

    Raises:
        HostError: there is none of a name.
    """
    for name in names:
        if name not in RIVALS:
            raise HostError(f"no rival {name!r}: choose from {', '.join(RIVALS)}")
    return [RIVALS[name] for name in dict.fromkeys(names)]


def missing_packages(rivals: Sequence[Rival]) -> list[str]:
    """Debian packages of those whose programs are not there."""
    return [
        package
        for rival in rivals
        if any(shutil.which(program) is None for program in rival.programs)
        for package in rival.packages
    ]


def install(packages: Sequence[str]) -> None:
    """Install Debian packages; their services are not started.

    Raises:
        HostError: not a Debian system, or apt-get failed.
    """
    # invoke-rc.d starts no service in runlevel 1, which is what a package's scripts ask.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for words in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        try:
            done = subprocess.run(
                ["apt-get", "-qq", *words],
                env=environment, capture_output=True, text=True, check=False,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise HostError("there is no apt-get: install the rivals by hand") from error
        if done.returncode != 0:
            raise HostError(f"apt-get {words[0]}: {done.stderr.strip()}")
