"""What the operator is told of the kernel's half of the data plane."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from hipgw.daemon.kernel_side import KernelSide
from hipgw.dataplane.kernel_suites import KernelEsp
from hipgw.values import Encapsulation

REFUSALS_SHOWN: Final = 3


def kernel_check(
    side: KernelSide | None, refusals: Collection[str] = frozenset()
) -> dict[str, str]:
    """What `hipgw doctor` says of the kernel: what it can carry, and why not the rest.

    Args:
        side: None where it is not wanted.
        refusals: the kernel's words about associations that it was to carry, and does not.
    """
    name = "kernel BEET"
    if side is None:
        return {
            "name": name,
            "outcome": "ok",
            "detail": 'not used: [datapath] backend = "user"',
            "remedy": "",
        }
    if side.backend is not None and not side.esp.verdicts:
        return {"name": name, "outcome": "ok", "detail": "being asked", "remedy": ""}
    if side.backend is None or not side.esp.can_something:
        return {
            "name": name,
            "outcome": "warn",
            "detail": f"user space carries everything: {side.reason}",
            "remedy": "use a kernel with the modules xfrm_user, esp4, esp6",
        }
    detail = f"{_ways(side.esp)}; {len(side.backend.pairs())} pairs in the kernel"
    if side.healed:
        detail += f", {side.healed} states lost and replaced"
    if side.audits:
        detail += f", compared {side.audits} times after a flush or lost events"
    if refusals:
        shown = "; ".join(sorted(refusals)[:REFUSALS_SHOWN])
        detail += f"; user space carries {len(refusals)} pairs that were refused: {shown}"
    outcome = "warn" if refusals else "ok"
    remedy = "see `hipgw sas` for the reason of each, `ip xfrm policy` for who else is there"
    return {
        "name": name,
        "outcome": outcome,
        "detail": detail,
        "remedy": remedy if refusals else "",
    }


def _ways(esp: KernelEsp) -> str:
    """How many suites the kernel can carry in each family and encapsulation."""
    ways = []
    for family in (4, 6):
        for encapsulation in Encapsulation:
            is_udp = encapsulation is Encapsulation.UDP
            tried = [
                one for one in esp.verdicts if (one.outer_family, one.is_udp) == (family, is_udp)
            ]
            able = sum(one.is_possible for one in tried)
            reasons = sorted({one.reason for one in tried if one.reason})
            why = f" ({'; '.join(reasons)})" if reasons else ""
            word = "UDP" if is_udp else "raw"
            ways.append(f"IPv{family} {word}: {able} of {len(tried)} suites{why}")
    return ", ".join(ways)
