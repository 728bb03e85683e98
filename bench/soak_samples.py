"""What the soak measures of its daemons, and what it says of the figures."""

from __future__ import annotations

import contextlib
import os
import re
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hipgw._fastpath.reasons import REASONS
from hipgw.errors import HostError
from hipgw.lab.hosts import LabHost

READINGS: Final = 5
READING_S: Final = 0.02
GROWTH_OCTETS: Final = 6 << 20
"""From a quarter of the run to its end, however long it is: a leak has no bound.  Each look at the
host's addresses leaves some hundred octets, up to 3.5 MiB, in caches and in the allocator."""
RESIDENT: Final = re.compile(r"^VmRSS:\s+(\d+) kB$", re.M)
ENDED_IN: Final = ("tun_rx", "net_rx")
ENDED_OUT: Final = ("esp_tx", "tun_tx", "punt_control", "punt_no_sa", "r1_sent")
IN_FLIGHT: Final = 512
"""Packets of the batches that are under way while counters are read."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One host at one moment."""

    at_s: float
    host: str
    resident_octets: int
    descriptors: int
    threads: int


@dataclass(frozen=True, slots=True)
class Check:
    """One claim, and what it rests on."""

    name: str
    is_good: bool
    detail: str


def sample(host: LabHost, at_s: float) -> Sample:
    """Memory and descriptors; of these the fewest of some readings, as look-ups come and go.

    Raises:
        HostError: the daemon is gone.
    """
    daemon = host.daemon
    if daemon is not None:
        with contextlib.suppress(OSError):  # it ends just now
            return _sample(Path(f"/proc/{daemon.pid}"), host.name, at_s)
    raise HostError(f"the daemon of {host.name} is gone: {host.log_tail()}")


def _sample(process: Path, host: str, at_s: float) -> Sample:
    found = RESIDENT.search((process / "status").read_text())
    counts = []
    for _ in range(READINGS):
        counts.append(len(os.listdir(process / "fd")))  # noqa: PTH208 - only their number
        time.sleep(READING_S)
    resident = int(found[1]) * 1024 if found else 0
    threads = len(os.listdir(process / "task"))  # noqa: PTH208
    return Sample(round(at_s, 3), host, resident, min(counts), threads)


def judge_memory(samples: Sequence[Sample], host: str) -> Check:
    """Whether resident memory stays within bounds after a quarter of the run."""
    ours = [one for one in samples if one.host == host]
    last_s = ours[-1].at_s
    early = [one.resident_octets for one in ours if last_s / 4 <= one.at_s <= last_s / 2]
    if not early:  # one fault took so long
        early = [next(one.resident_octets for one in ours if one.at_s >= last_s / 4)]
    late = [one.resident_octets for one in ours if one.at_s >= last_s * 0.8]
    growth = statistics.median(late) - statistics.median(early)
    warm = [one for one in ours if one.at_s >= last_s / 4]
    slope = slope_octets_minute(warm)
    most = max(one.resident_octets for one in ours)
    detail = (
        f"{growth / 1024:+.0f} KiB from the second quarter to the last fifth, "
        f"{slope / 1024:+.1f} KiB a minute, at most {most >> 20} MiB"
    )
    return Check(f"resident memory of {host} is bounded", growth <= GROWTH_OCTETS, detail)


def slope_octets_minute(samples: Sequence[Sample]) -> float:
    """Least squares over resident memory."""
    if len(samples) < 2:
        return 0.0
    times = [one.at_s / 60 for one in samples]
    octets = [float(one.resident_octets) for one in samples]
    return statistics.linear_regression(times, octets).slope


def judge_descriptors(samples: Sequence[Sample], host: str) -> Check:
    """Whether a daemon ends with as many descriptors and threads as after a quarter of the run.

    Before, what is opened when it is first needed is opened: a socket for ICMP errors, threads.
    """
    ours = [one for one in samples if one.host == host]
    last = ours[-1]
    first = next(one for one in ours if one.at_s >= last.at_s / 4)
    is_good = last.descriptors <= first.descriptors and last.threads <= first.threads + 1
    detail = (
        f"{first.descriptors} after a quarter, {last.descriptors} at the end; "
        f"threads {first.threads}, {last.threads}"
    )
    return Check(f"descriptors of {host} are constant", is_good, detail)


def packets_of(host: LabHost) -> dict[str, int]:
    """Counters of the data path."""
    counted: dict[str, int] = host.ask("packets")["packets"]
    return counted


def drops_of(host: LabHost) -> dict[str, int]:
    """All drop reasons."""
    return {row["reason"]: int(row["count"]) for row in host.ask("drops")["drops"]}


def judge_accounts(host: LabHost) -> Check:
    """Whether each packet that came in has ended somewhere that has a name."""
    counted = packets_of(host)
    came = sum(counted[name] for name in ENDED_IN)
    ended = sum(counted[name] for name in ENDED_OUT)
    dropped = sum(counted[name] for name in REASONS)
    missing = came - ended - dropped
    detail = f"{came} came, {ended} went, {dropped} dropped by name, {missing} in neither"
    return Check(f"every packet of {host.name} has a name", abs(missing) <= IN_FLIGHT, detail)


def error_lines(log: Path) -> list[str]:
    """Lines of a daemon's log that no fault from outside explains."""
    lines = log.read_text(errors="replace").splitlines()
    return [
        line
        for line in lines
        if " error " in line or " critical " in line or line.startswith("Traceback")
        or "AddressSanitizer" in line
    ]  # fmt: skip
