"""What is known of a lab on disk: enough to take it down after its maker was killed.

The directory /run/hipgw-lab/NAME is made before the first namespace and removed after the last, so
its presence is the mark of a lab.  `lab.json` in it is written whole or not at all.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from hipgw.errors import HostError, LocalProtocolError
from hipgw.lab.processes import start_ticks

LAB_ROOT: Final = Path("/run/hipgw-lab")
LAB_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,28}[a-z0-9])?")
STATE_FILE: Final = "lab.json"
CLAIM_TRIES: Final = 10


@dataclass(frozen=True, slots=True)
class HostState:
    """One host of a lab that is up."""

    name: str
    addresses: tuple[str, ...]
    """Underlay addresses, text form."""
    interfaces: tuple[str, ...]
    hit: str | None
    """None for a host that does not speak HIP."""
    lsi: str | None
    """The LSI by which all other hosts of the lab know it."""


@dataclass(frozen=True, slots=True)
class LabState:
    """One lab."""

    name: str
    topology: str
    mtu_octets: int
    encapsulation: str
    created_s: float
    """Seconds since the epoch."""
    owner_pid: int | None
    """The process that takes the lab down when it ends; None: it stays until `lab down`."""
    owner_start_ticks: int | None
    hosts: tuple[HostState, ...]

    @property
    def is_owner_running(self) -> bool:
        """Whether a process is still there that will take this lab down."""
        return self.owner_pid is not None and start_ticks(self.owner_pid) == self.owner_start_ticks

    @property
    def is_abandoned(self) -> bool:
        """Whether the process that should have taken this lab down is gone."""
        return self.owner_pid is not None and not self.is_owner_running


def check_lab_name(name: str) -> str:
    """Return `name`; raises LocalProtocolError when it cannot be one of a lab."""
    if not LAB_NAME.fullmatch(name):
        raise LocalProtocolError(
            f"lab name {name!r}: expected up to 30 lower-case letters, digits and inner dashes"
        )
    return name


def lab_directory(name: str) -> Path:
    """Where everything of a lab lives."""
    return LAB_ROOT / check_lab_name(name)


def namespace_of(lab: str, host: str) -> str:
    """Name of the network namespace of a host."""
    return f"hipgw-{lab}-{host}"


def claim_name(name: str) -> Path:
    """Make the directory of a new lab.

    Raises:
        HostError: a lab of that name is there, or not root.
    """
    directory = lab_directory(name)
    try:
        for _ in range(CLAIM_TRIES):
            LAB_ROOT.mkdir(parents=True, exist_ok=True)
            try:
                directory.mkdir(mode=0o700)
            except FileNotFoundError:  # the last lab has just gone, and the root with it
                continue
            return directory
    except FileExistsError as error:
        raise HostError(
            f"a lab called {name} is already there; take it down with `hipgw lab down {name}`, "
            "or choose another name with --name"
        ) from error
    except PermissionError as error:
        raise HostError(f"cannot write {LAB_ROOT}; run it as root") from error
    raise HostError(f"{LAB_ROOT} comes and goes; try again when other labs are down")


def save_state(state: LabState) -> None:
    """Write `lab.json`, replacing the one before in one step."""
    path = lab_directory(state.name) / STATE_FILE
    new = path.with_suffix(".new")
    new.write_text(json.dumps(asdict(state), indent=2))
    new.replace(path)


def load_state(name: str) -> LabState:
    """Read what is known of a lab.

    Raises:
        HostError: there is no such lab, or its making was cut short.
    """
    directory = lab_directory(name)
    try:
        document: dict[str, Any] = json.loads((directory / STATE_FILE).read_text())
        hosts = tuple(
            HostState(
                name=host["name"],
                addresses=tuple(host["addresses"]),
                interfaces=tuple(host["interfaces"]),
                hit=host["hit"],
                lsi=host["lsi"],
            )
            for host in document.pop("hosts")
        )
        return LabState(**document, hosts=hosts)
    except PermissionError as error:
        raise HostError(f"cannot read {directory}; run it as root") from error
    except FileNotFoundError as error:
        if not directory.is_dir():
            raise HostError(
                f"there is no lab called {name}; `hipgw lab list` shows those that are up"
            ) from error
        raise _damaged(name) from error
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(name) from error


def _damaged(name: str) -> HostError:
    return HostError(f"lab {name} is not complete; clear it with `hipgw lab down {name}`")


def lab_names() -> list[str]:
    """Names of all labs of this machine, complete or not, sorted."""
    if not LAB_ROOT.is_dir():
        return []
    return sorted(
        entry.name
        for entry in LAB_ROOT.iterdir()
        if entry.is_dir() and LAB_NAME.fullmatch(entry.name)
    )


def forget_lab(name: str) -> None:
    """Remove the directory of a lab, and the root of all labs with the last one."""
    shutil.rmtree(lab_directory(name), ignore_errors=True)
    with contextlib.suppress(OSError):  # other labs are in it, or it has gone
        LAB_ROOT.rmdir()


def new_state(
    name: str,
    topology: str,
    hosts: tuple[HostState, ...],
    *,
    mtu_octets: int,
    encapsulation: str,
    is_owned: bool,
) -> LabState:
    """The state of a lab made now, owned by this process or by nobody."""
    owner = os.getpid() if is_owned else None
    return LabState(
        name=name,
        topology=topology,
        mtu_octets=mtu_octets,
        encapsulation=encapsulation,
        created_s=time.time(),
        owner_pid=owner,
        owner_start_ticks=start_ticks(owner) if owner is not None else None,
        hosts=hosts,
    )
