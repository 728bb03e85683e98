"""The machine a figure was taken on: without it a figure means nothing."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Final

from hipgw import __version__
from hipgw._fastpath import ipsec_mb, libcrypto

CPU_INFO: Final = Path("/proc/cpuinfo")
GOVERNOR: Final = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def describe() -> dict[str, object]:
    """CPU, its clock and governor, kernel, versions, and the load of the last minute."""
    return {
        "cpu": _cpu_line("model name") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "mhz": nominal_mhz(),
        "governor": GOVERNOR.read_text().strip() if GOVERNOR.exists() else "unknown",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "hipgw": __version__,
        "libcrypto": libcrypto.version(),
        "ipsec_mb": ipsec_mb.version() or "none",
        "load_1min": round(os.getloadavg()[0], 2),
    }


def nominal_mhz() -> float | None:
    """The clock as the kernel says it; None where it does not."""
    said = _cpu_line("cpu MHz")
    return float(said) if said else None


def _cpu_line(name: str) -> str:
    for line in CPU_INFO.read_text().splitlines():
        if line.startswith(name):
            return line.split(":", 1)[1].strip()
    return ""
