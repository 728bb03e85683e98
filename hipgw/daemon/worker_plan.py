"""How many workers carry packets, and on which cores."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from hipgw.daemon.config import DatapathOptions

PAIRS_MOST: Final = 16
"""As in the data path."""


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """Pairs of workers, an outbound and an inbound one each."""

    pairs: int = 1
    pins: tuple[int, ...] = ()
    """The core of each worker, the two of a pair side by side; empty: wherever they may run."""
    busy_poll_us: int = 0
    slice_us: int = 0
    """How long each runs at a time; 0: as the kernel likes."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the threads: each pair's outbound worker, then its inbound one."""
        if self.pairs == 1:
            return ("hipgw-out", "hipgw-in")
        return tuple(f"hipgw-{way}-{pair}" for pair in range(self.pairs) for way in ("out", "in"))

    def core_of(self, worker: int) -> int | None:
        """Where a worker is kept, by its place in `names`; None: nowhere."""
        return self.pins[worker] if self.pins else None


ONE_PAIR: Final = WorkerPlan()


def plan_workers(options: DatapathOptions, cores: Collection[int]) -> WorkerPlan:
    """What the configuration asks for.

    Args:
        options: `[datapath]`.
        cores: those that this process may run on.
    """
    pairs = options.workers or max(1, min(len(cores) // 2, PAIRS_MOST))
    allowed = sorted(cores)
    pins = [allowed[number % len(allowed)] for number in range(2 * pairs)] if options.pin else []
    return WorkerPlan(pairs, tuple(pins), options.busy_poll_us, options.slice_us)


def allowed_cores() -> frozenset[int]:
    """The cores that this process may run on."""
    return frozenset(os.sched_getaffinity(0))


def workers_view(plan: WorkerPlan, steering: str, queues: Collection[int]) -> dict[str, Any]:
    """What `hipgw status` shows.

    Args:
        plan: what was started.
        steering: why inner packets are not brought to the owner of their association, or "".
        queues: numbers of the netfilter queues.
    """
    taken = sorted(queues)
    return {
        "pairs": plan.pairs,
        "pinned": bool(plan.pins),
        "busy_poll_us": plan.busy_poll_us,
        "slice_us": plan.slice_us,
        "steered": plan.pairs > 1 and not steering,
        "steering_reason": steering,
        "threads": [
            {
                "name": name,
                "pair": number // 2,
                "core": plan.core_of(number),
                "tun_queue": number // 2 if number % 2 == 0 else None,
                "netfilter_queues": taken[number // 2 :: plan.pairs] if number % 2 == 0 else [],
            }
            for number, name in enumerate(plan.names)
        ],
    }


def workers_check(plan: WorkerPlan, steering: str, handed: int, lost: int) -> dict[str, str]:
    """What `hipgw doctor` says of them.

    Args:
        plan: what was started.
        steering: why inner packets are not brought to the owner of their association, or "".
        handed: packets that a worker handed to another one.
        lost: packets for which that one had no room.
    """
    noun = "1 pair" if plan.pairs == 1 else f"{plan.pairs} pairs"
    words = [noun]
    if plan.pins:
        words.append("on cores " + ", ".join(str(core) for core in plan.pins))
    if plan.busy_poll_us:
        words.append(f"polling for {plan.busy_poll_us} \N{MICRO SIGN}s")
    if plan.pairs > 1:
        words.append(f"queues by flow ({steering})" if steering else "queues by peer")
        words.append(f"{handed} packets handed over, {lost} lost")
    return {
        "name": "workers",
        "outcome": "warn" if lost else "ok",
        "detail": "; ".join(words),
        "remedy": "a core cannot keep up: spread peers over more identities, or lower the load"
        if lost
        else "",
    }
