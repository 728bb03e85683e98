"""What the kernel's own ESP can carry, as `hipgw doctor` shows it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from hipgw.dataplane.kernel_suites import KernelEsp, probe_kernel

COMBINATIONS = 4
"""Of outer family and encapsulation."""


@dataclass(frozen=True, slots=True)
class KernelEspView:
    """One sentence, and a row for each suite, outer family and encapsulation."""

    detail: str
    rows: tuple[dict[str, Any], ...]


def look_at_kernel_esp() -> KernelEspView:
    """Ask the kernel; milliseconds, or seconds while modules are loaded."""
    return view_of(probe_kernel())


def view_of(found: KernelEsp) -> KernelEspView:
    """What was found, in words and as rows."""
    rows = tuple(
        {
            "suite": verdict.transform,
            "outer_family": verdict.outer_family,
            "encapsulation": "udp" if verdict.is_udp else "raw",
            "possible": verdict.is_possible,
            "reason": verdict.reason,
        }
        for verdict in found.verdicts
    )
    return KernelEspView(_sentence(found), rows)


def _sentence(found: KernelEsp) -> str:
    """Which suites work everywhere, and each reason once, with the suites that it concerns."""
    by_reason: defaultdict[str, set[str]] = defaultdict(set)
    works: defaultdict[str, int] = defaultdict(int)
    for verdict in found.verdicts:
        works[verdict.transform] += verdict.is_possible
        if not verdict.is_possible:
            by_reason[verdict.reason].add(verdict.transform)
    if not any(works.values()):
        return "; ".join(by_reason)
    whole = [suite for suite, count in works.items() if count == COMBINATIONS]
    parts = [f"BEET with {len(whole)} of {len(works)} suites over IPv4 and IPv6, raw and in UDP"]
    for reason, suites in by_reason.items():
        which = "all" if len(suites) == len(works) else ", ".join(sorted(suites))
        parts.append(f"{reason}: {which}")
    return "; ".join(parts)
