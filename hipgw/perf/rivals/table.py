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

LOCK_S: Final = 120
"""How long another package manager is waited for."""
APT_S: Final = 900.0

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


def missing_programs(rivals: Sequence[Rival]) -> list[str]:
    """Programs of these that are not there."""
    return [one for rival in rivals for one in rival.programs if shutil.which(one) is None]


def missing_packages(rivals: Sequence[Rival]) -> list[str]:
    """Debian packages of those whose programs are not there."""
    return [package for rival in rivals if missing_programs([rival]) for package in rival.packages]


def install(packages: Sequence[str]) -> None:
    """Install Debian packages; their services are not started.

    Raises:
        HostError: not a Debian system, or apt-get failed.
    """
    try:
        # A list of packages that is old may still do.
        old = _apt_get(["update"])
        refused = _apt_get(["install", "-y", "--no-install-recommends", *packages])
    except FileNotFoundError as error:
        raise HostError(
            f"there is no apt-get: install {' '.join(packages)} with what this system has"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise HostError(f"apt-get did not end in {APT_S / 60:.0f} minutes") from error
    if refused:
        behind = f" (before that, update: {old})" if old else ""
        raise HostError(f"apt-get could not install {' '.join(packages)}: {refused}{behind}")


def install_missing(rivals: Sequence[Rival]) -> None:
    """Install what these need, and look whether it is there then.

    Raises:
        HostError: see `install`, or the packages have not brought the programs.
    """
    packages = missing_packages(rivals)
    if not packages:
        return
    install(packages)
    if still := missing_programs(rivals):
        names = " ".join(still)
        raise HostError(
            f"{' '.join(packages)} installed, but {names} not found: is /usr/sbin in PATH?"
        )


def _apt_get(words: Sequence[str]) -> str:
    """Run it; its last complaint, "" when it has done what it should."""
    # invoke-rc.d starts no service in runlevel 1, which is what a package's scripts ask.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    done = subprocess.run(
        ["apt-get", "-qq", "-o", f"DPkg::Lock::Timeout={LOCK_S}", *words],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        timeout=APT_S,
    )  # fmt: skip
    if done.returncode == 0:
        return ""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("E: ")]
    return (errors or lines or [f"exit code {done.returncode}"])[-1]
