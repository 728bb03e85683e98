"""One host of a lab that is up: run commands in it, capture on it, ask its daemon."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import IO, Any, Final, TypeVar

from hipgw.errors import HostError
from hipgw.lab.capture import Capture
from hipgw.lab.control import ask_daemon
from hipgw.lab.environment import command_environment, own_command
from hipgw.lab.files import HostFiles
from hipgw.lab.processes import (
    ProcessRecord,
    forget_process,
    record_process,
    recorded_processes,
)
from hipgw.lab.state import HostState, lab_directory, namespace_of
from hipgw.netlink.namespaces import run_inside
from hipgw.values import Address, Hit, Lsi

Result = TypeVar("Result")


class LabHost:
    """A namespace of a lab, with the files of its daemon.

    Attributes:
        name: as in the topology.
        namespace: its network namespace, for `ip netns exec`.
        addresses: on the underlay.
        files: configuration, keys, control socket, log.
    """

    def __init__(self, lab: str, state: HostState) -> None:
        self.name: Final = state.name
        self.namespace: Final = namespace_of(lab, state.name)
        self.addresses: Final[tuple[Address, ...]] = tuple(map(ip_address, state.addresses))
        self.interfaces: Final = state.interfaces
        self.files: Final = HostFiles(lab_directory(lab) / state.name)
        self._lab = lab
        self._hit = state.hit
        self._lsi = state.lsi
        self._processes = process_directory(lab)
        self._started: list[subprocess.Popen[Any]] = []

    def __repr__(self) -> str:
        return f"LabHost({self.namespace})"

    @property
    def speaks_hip(self) -> bool:
        """Whether this host has an identity."""
        return self._hit is not None

    @property
    def hit(self) -> Hit:
        """Its default HIT."""
        if self._hit is None:
            raise HostError(f"host {self.name} does not speak HIP")
        return Hit.parse(self._hit)

    @property
    def lsi(self) -> Lsi:
        """The LSI by which the other hosts of the lab know it."""
        if self._lsi is None:
            raise HostError(f"host {self.name} does not speak HIP")
        return Lsi.parse(self._lsi)

    @property
    def daemon(self) -> ProcessRecord | None:
        """Its daemon, while it runs."""
        for record in recorded_processes(self._processes):
            if record.host == self.name and record.role == "daemon":
                return record
        return None

    def call(self, task: Callable[[], Result]) -> Result:
        """Run a function in a thread inside the namespace; what it returns or raises comes out."""
        return run_inside(self.namespace, task)

    def popen(
        self,
        argv: Sequence[str],
        *,
        stdin: int | IO[Any] | None = subprocess.DEVNULL,
        stdout: int | IO[Any] | None = subprocess.PIPE,
        stderr: int | IO[Any] | None = subprocess.STDOUT,
        env: Mapping[str, str] | None = None,
        role: str = "command",
    ) -> subprocess.Popen[str]:
        """Start a command inside the namespace; `Lab.down` ends it if it still runs then.

        Args:
            argv: the command and its arguments; no shell.  `hipgw` is the one that runs now.
            stdin: as for `subprocess.Popen`.
            stdout: as for `subprocess.Popen`.
            stderr: as for `subprocess.Popen`.
            env: more environment.
            role: how it is remembered.

        Raises:
            HostError: no such command.
        """
        process = self.call(
            lambda: _start(argv, {**command_environment(self.files), **(env or {})},
                           stdin=stdin, stdout=stdout, stderr=stderr)
        )  # fmt: skip
        self._started.append(process)
        record_process(self._processes, process.pid, host=self.name, role=role)
        return process

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        timeout_s: float = 180.0,
        stdin: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside the namespace to its end; its two outputs are captured as text.

        Raises:
            HostError: no such command, it took too long, or (with `check`) it failed.
        """
        process = self.popen(
            argv,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
        )
        try:
            output, complaints = process.communicate(stdin, timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise HostError(
                f"{' '.join(argv)} on host {self.name} took more than {timeout_s:g} s"
            ) from error
        finally:
            self.finish(process)
        if check and process.returncode != 0:
            said = (complaints or output).strip().splitlines()[-3:]
            raise HostError(
                f"{' '.join(argv)} on host {self.name} ended with {process.returncode}: "
                + " / ".join(said)
            )
        return subprocess.CompletedProcess(list(argv), process.returncode, output, complaints)

    def finish(self, process: subprocess.Popen[Any]) -> None:
        """End what `popen` started, if it still runs, and close what it was read through."""
        if process.poll() is None:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        forget_process(self._processes, process.pid)
        with contextlib.suppress(ValueError):
            self._started.remove(process)

    def reap(self) -> None:
        """Collect what `popen` started here; each has ended or is killed now."""
        for process in list(self._started):
            self.finish(process)

    def start_daemon(self) -> subprocess.Popen[str]:
        """Start `hipgw run` with this host's configuration; its output goes to the log file."""
        with self.files.log.open("ab") as log:
            return self.popen(
                ["hipgw", "run", "-c", str(self.files.config)],
                stdout=log,
                stderr=subprocess.STDOUT,
                role="daemon",
            )

    def log_tail(self, lines: int = 5) -> str:
        """The last lines that its daemon wrote."""
        if not self.files.log.exists():
            return ""
        return "\n".join(self.files.log.read_text(errors="replace").splitlines()[-lines:])

    def ask(self, method: str, *, timeout_s: float = 30.0, **params: object) -> dict[str, Any]:
        """Ask its daemon through the control socket.

        Raises:
            HostError: it does not run, does not answer, or refuses.
        """
        return ask_daemon(self.files.socket, method, timeout_s=timeout_s, **params)

    @contextlib.contextmanager
    def capture(
        self, path: Path, *, filters: str = "", interface: str | None = None
    ) -> Iterator[Capture]:
        """Capture packets of an interface of this host to a pcap file while the block runs.

        Args:
            path: of the file; it is complete when the block has ended.
            filters: a pcap filter expression (pcap-filter(7)).
            interface: default is the host's first one.

        Raises:
            HostError: no tcpdump, or it could not capture.
        """
        capture = Capture(path, interface or self.interfaces[0], filters)
        process = self.popen(capture.command)
        try:
            capture.wait_until_listening(process)
            yield capture
            capture.wait_until_written(process)
            process.terminate()
            process.wait(timeout=30)
        finally:
            self.finish(process)


def process_directory(lab: str) -> Path:
    """Where the processes of a lab are remembered."""
    return lab_directory(lab) / "processes"


def _start(
    argv: Sequence[str],
    environment: dict[str, str],
    *,
    stdin: int | IO[Any] | None,
    stdout: int | IO[Any] | None,
    stderr: int | IO[Any] | None,
) -> subprocess.Popen[str]:
    try:
        # A session of its own: Ctrl-C on the terminal reaches the lab, and the lab ends its own.
        return subprocess.Popen(
            own_command(argv),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=environment,
            text=True,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise HostError(
            f"there is no command {argv[0]!r}; install the Debian package that has it"
        ) from error
