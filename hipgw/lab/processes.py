"""Processes that a lab started: remembered by id and start time, so that no other is ever ended.

Process ids are used again by the kernel; a pair of id and start time is not.  A record is a file of
its own, so that a lab whose maker was killed can still be cleared by another process.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

TERM_PATIENCE_S: Final = 5.0
"""How long a process may take to end by itself before it is killed."""


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """One process, for as long as the machine runs."""

    pid: int
    start_ticks: int
    """Clock ticks from boot to its start: field 22 of /proc/PID/stat (proc(5))."""
    host: str
    role: str
    """"daemon" or "command"."""

    @property
    def is_running(self) -> bool:
        """Whether this very process still runs; a zombie does not."""
        return start_ticks(self.pid) == self.start_ticks


def start_ticks(pid: int) -> int | None:
    """When process `pid` started, or None when there is none (or only its zombie)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name may hold spaces and brackets
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def record_process(directory: Path, pid: int, *, host: str, role: str) -> ProcessRecord | None:
    """Remember a running process in `directory`; None when it has ended already."""
    started = start_ticks(pid)
    if started is None:
        return None
    record = ProcessRecord(pid, started, host, role)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{pid}.json").write_text(json.dumps(asdict(record)))
    return record


def forget_process(directory: Path, pid: int) -> None:
    """Remove the record of a process that has ended."""
    (directory / f"{pid}.json").unlink(missing_ok=True)


def recorded_processes(directory: Path) -> list[ProcessRecord]:
    """The recorded processes that still run, oldest first; unreadable records are passed over."""
    if not directory.is_dir():
        return []
    records = []
    for path in directory.glob("*.json"):
        with contextlib.suppress(OSError, ValueError, TypeError):
            records.append(ProcessRecord(**json.loads(path.read_text())))
    return sorted(
        (record for record in records if record.is_running), key=lambda record: record.start_ticks
    )


def end_processes(
    records: Sequence[ProcessRecord], *, patience_s: float = TERM_PATIENCE_S
) -> list[ProcessRecord]:
    """End these processes: SIGTERM to all, then SIGKILL to those that stay.

    Returns:
        Those that had to be killed.
    """
    handles = {record: handle for record in records if (handle := _open(record)) is not None}
    try:
        _signal(handles.values(), signal.SIGTERM)
        staying = _wait(handles, patience_s)
        _signal((handles[record] for record in staying), signal.SIGKILL)
        _wait({record: handles[record] for record in staying}, patience_s)
        return staying
    finally:
        for handle in handles.values():
            os.close(handle)


def _open(record: ProcessRecord) -> int | None:
    """A pidfd of exactly that process: the start time is compared after it was opened."""
    try:
        handle = os.pidfd_open(record.pid)
    except OSError:
        return None
    if record.is_running:
        return handle
    os.close(handle)
    return None


def _signal(handles: Iterable[int], number: signal.Signals) -> None:
    for handle in handles:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, number)


def _wait(handles: dict[ProcessRecord, int], patience_s: float) -> list[ProcessRecord]:
    """Wait until all have ended or patience has; returns those that still run."""
    waiting = dict(handles)
    deadline = time.monotonic() + patience_s
    while waiting:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            break
        poll = select.poll()
        for handle in waiting.values():
            poll.register(handle, select.POLLIN)
        ended = {handle for handle, _ in poll.poll(left_s * 1000)}
        waiting = {record: handle for record, handle in waiting.items() if handle not in ended}
    return list(waiting)
