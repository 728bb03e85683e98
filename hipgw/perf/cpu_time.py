"""CPU time of processes and their children, as the kernel accounts it (proc(5))."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def spent_s(process_ids: Iterable[int]) -> float:
    """User and system seconds of these processes, their threads and their running children.

    The resolution is that of the kernel's accounting of each thread; a process that has ended
    counts nothing.
    """
    ticks = sum(_ticks(process_id) for process_id in _with_children(process_ids))
    return ticks / os.sysconf("SC_CLK_TCK")


def _with_children(process_ids: Iterable[int]) -> set[int]:
    found: set[int] = set()
    waiting = list(process_ids)
    while waiting:
        process_id = waiting.pop()
        if process_id in found:
            continue
        found.add(process_id)
        for children in Path(f"/proc/{process_id}/task").glob("*/children"):
            try:
                waiting += map(int, children.read_text().split())
            except OSError:  # the thread has ended meanwhile
                continue
    return found


def _ticks(process_id: int) -> int:
    try:
        stat = Path(f"/proc/{process_id}/stat").read_text()
    except OSError:
        return 0
    fields = stat.rpartition(")")[2].split()  # the name may hold spaces and brackets
    return int(fields[11]) + int(fields[12])
