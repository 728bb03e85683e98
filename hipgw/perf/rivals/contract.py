"""What a rival is: a program that joins two hosts of a lab by a tunnel, and goes away again.

A rival runs in the namespaces of the lab beside whatever else is there, so it keeps to interface
names, addresses and ports of its own. Its processes are started by `LabHost.popen`, which remembers
them by id; `Started` ends them.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from hipgw.errors import HostError
from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab

PATIENCE_S: Final = 60.0
END_PATIENCE_S: Final = 5.0
POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A tunnel that is up: the address of b inside it, and the processes that carry it."""

    destination: str
    process_ids: tuple[int, ...]


class Rival(Protocol):
    """One kind of tunnel."""

    @property
    def name(self) -> str:
        """As in `--vs`."""

    @property
    def packages(self) -> tuple[str, ...]:
        """Debian packages that it needs."""

    @property
    def programs(self) -> tuple[str, ...]:
        """By which its being installed is known."""

    def tunnel(self, lab: Lab, directory: Path, mtu_octets: int) -> AbstractContextManager[Tunnel]:
        """A tunnel from host a to host b of a lab that is up, gone after the block.

        Args:
            lab: its hosts have the addresses 10.77.0.1 and 10.77.0.2.
            directory: for keys and configurations; only root may look into it.
            mtu_octets: of the wire.

        Raises:
            HostError: it did not come up.
        """


class Started:
    """Processes of one rival, ended in the reverse order."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[Any]] = []

    @property
    def ids(self) -> tuple[int, ...]:
        """Of all that were started."""
        return tuple(process.pid for process in self._processes)

    def start(
        self, host: LabHost, argv: list[str], log: Path, *, env: dict[str, str] | None = None
    ) -> subprocess.Popen[Any]:
        """Start a program on a host; what it says goes to `log`."""
        with log.open("wb") as file:
            process = host.popen(argv, stdout=file, stderr=subprocess.STDOUT, env=env)
        self._processes.append(process)
        return process

    def end(self) -> None:
        """SIGTERM to each, SIGKILL to those that stay."""
        for process in reversed(self._processes):
            process.terminate()
        for process in reversed(self._processes):
            try:
                process.wait(END_PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(END_PATIENCE_S)


@contextlib.contextmanager
def started_processes() -> Iterator[Started]:
    """Processes for the length of the block."""
    started = Started()
    try:
        yield started
    finally:
        started.end()


def wait_until(is_there: Callable[[], bool], what: str, log: Path | None = None) -> None:
    """Poll until `is_there`.

    Raises:
        HostError: not within PATIENCE_S; has the end of `log`.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not is_there():
        if time.monotonic() > deadline:
            said = log.read_text(errors="replace").splitlines()[-3:] if log else []
            raise HostError(f"{what} did not come up: {' / '.join(said) or 'it said nothing'}")
        time.sleep(POLL_S)


def has_interface(host: LabHost, name: str) -> bool:
    """Whether a host has an interface of this name."""
    return host.run(["ip", "link", "show", name], check=False).returncode == 0


def answers(host: LabHost, destination: str) -> bool:
    """Whether one ping comes back."""
    return host.run(["ping", "-n", "-c", "1", "-W", "1", destination], check=False).returncode == 0


def write_secret(path: Path, text: str) -> Path:
    """A file that only root reads, from its first octet on."""
    path.touch(mode=0o600)
    path.write_text(text)
    return path
