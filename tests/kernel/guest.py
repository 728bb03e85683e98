"""Run tests/kernel in a guest: `python -m tests.kernel.guest uml` or `qemu`.

The guest boots with the host's own file system as its read-only root, so it has this tree, its
virtual environment and its extensions.  One directory under build/ is writable for it.  Exit
status: pytest's own; 98 when the time was up; 99 when the guest did not boot or died.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

TREE: Final = Path(__file__).resolve().parents[2]
INIT: Final = TREE / "tests/kernel/init.sh"
TIME_IS_UP: Final = 98
DIED: Final = 99
GRACE_S: Final = 5.0
POLL_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Machine:
    """How to start a guest."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]


def pytest_words(arguments: Sequence[str]) -> list[str]:
    """Words of a module for `job_script`: the tests, with a report in the job directory."""
    return ["pytest", "--junitxml=/mnt/job/junit.xml", *arguments]


def job_script(module: Sequence[str]) -> str:
    """What the guest runs: a module and its words, of this tree, by the interpreter of this."""
    words = [sys.executable, "-m", *module]
    return (
        f"cd {shlex.quote(str(TREE))} || exit 1\n"
        f"export PYTHONPATH={shlex.quote(str(TREE))}\n"
        f"exec {shlex.join(words)}\n"
    )


def fresh_job(directory: Path, module: Sequence[str]) -> None:
    """An empty job directory with its script; see `job_script`."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    (directory / "job.sh").write_text(job_script(module))


def run_guest(machine: Machine, job: Path, *, limit_s: float, output: TextIO) -> int:
    """Boot, show the guest's log as it grows, and end the guest when its time is up.

    Returns:
        Exit status of the job, TIME_IS_UP or DIED.
    """
    started_s = time.monotonic()
    with (job / "console").open("wb") as console:
        guest = subprocess.Popen(
            machine.command,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            env=os.environ | machine.environment,
            start_new_session=True,
        )
        try:
            is_in_time = follow(guest, job / "log", started_s + limit_s, output)
        finally:
            end_group(guest)
    spent_s = time.monotonic() - started_s
    status = read_status(job)
    if status is not None:
        output.write(f"guest {machine.name}: {spent_s:.1f} s, exit status {status}\n")
        return status
    what = f"not done after {limit_s:g} s" if not is_in_time else f"dead after {spent_s:.1f} s"
    where = "while it ran the tests" if (job / "boot").exists() else "before it booted"
    output.write(f"guest {machine.name}: {what}, {where}; its console is {job / 'console'}:\n")
    lines = (job / "console").read_text(errors="replace").splitlines()
    output.writelines(f"  {line}\n" for line in lines[-20:])
    return DIED if is_in_time else TIME_IS_UP


def follow(guest: subprocess.Popen[bytes], log: Path, end_s: float, output: TextIO) -> bool:
    """Copy what is added to a log until the guest ends; False when its time was up first."""
    shown = 0
    while True:
        has_ended = guest.poll() is not None
        with contextlib.suppress(FileNotFoundError):
            octets = log.read_bytes()
            output.write(octets[shown:].decode(errors="replace"))
            output.flush()
            shown = len(octets)
        if has_ended:
            return True
        if time.monotonic() >= end_s:
            return False
        time.sleep(POLL_S)


def end_group(guest: subprocess.Popen[bytes]) -> None:
    """End what the guest's command started; it leads a session of its own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(guest.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            guest.wait(GRACE_S)


def read_status(job: Path) -> int | None:
    """Exit status of the job, or None when it did not come to an end."""
    try:
        return int((job / "status").read_text())
    except (FileNotFoundError, ValueError):
        return None


@contextlib.contextmanager
def machine_of(kind: str, job: Path) -> Iterator[Machine]:
    """The machine of a kind, with whatever must run beside it."""
    if kind == "uml":
        from tests.kernel.uml import uml_machine  # noqa: PLC0415 - the one that is wanted

        with uml_machine(job) as machine:
            yield machine
    else:
        from tests.kernel.qemu import qemu_machine  # noqa: PLC0415 - the one that is wanted

        with qemu_machine(job) as machine:
            yield machine


def main(words: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m tests.kernel.guest", description=__doc__)
    parser.add_argument("machine", choices=["uml", "qemu"])
    parser.add_argument("--limit-s", type=float, help="end the guest after so long")
    parser.add_argument("pytest", nargs=argparse.REMAINDER, help="for pytest; after --")
    chosen = parser.parse_args(words)
    limit_s = chosen.limit_s or {"uml": 2400.0, "qemu": 7200.0}[chosen.machine]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(DIED))  # so that the guest is ended, too
    job = TREE / "build/kernel" / chosen.machine
    fresh_job(job, pytest_words(chosen.pytest[1:] or ["-q", "tests/kernel"]))
    try:
        with machine_of(chosen.machine, job) as machine:
            return run_guest(machine, job, limit_s=limit_s, output=sys.stdout)
    except FileNotFoundError as error:
        sys.stdout.write(f"guest {chosen.machine}: {error}\n")
        return DIED


if __name__ == "__main__":
    sys.exit(main())
