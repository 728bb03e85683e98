"""A thread that asks for short turns keeps all else, and others keep theirs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TypeVar

import pytest

from hipgw.drivers.scheduling import (
    SLICE_US_LEAST,
    ask_for_slices,
    gives_slices,
    slice_us_of,
)

Result = TypeVar("Result")

KERNEL = tuple(int(part) for part in os.uname().release.split(".")[:2])
GIVES_SLICES = KERNEL >= (6, 12)


def in_thread(task: Callable[[], Result]) -> Result:
    """Run in a thread of its own, whose scheduling ends with it."""
    results: list[Result] = []
    thread = threading.Thread(target=lambda: results.append(task()))
    thread.start()
    thread.join()
    return results[0]


@pytest.mark.parametrize(("wanted_us", "given_us"), [(300, 300), (1, SLICE_US_LEAST)])
def test_a_thread_gets_the_slice_that_it_asks_for(wanted_us: int, given_us: int) -> None:
    before_us = slice_us_of()

    def task() -> tuple[int, int]:
        ask_for_slices(wanted_us)
        return slice_us_of(), slice_us_of(threading.get_native_id())

    assert in_thread(task) == ((given_us, given_us) if GIVES_SLICES else (0, 0))
    assert slice_us_of() == before_us
    assert gives_slices() == GIVES_SLICES


def test_nice_and_policy_stay() -> None:
    def task() -> tuple[int, int]:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 7)
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        ask_for_slices(500)
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id()), os.sched_getscheduler(0)

    assert in_thread(task) == (7, os.SCHED_BATCH)


def test_a_thread_of_another_class_is_left_alone() -> None:
    def task() -> tuple[int, int, int]:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        before_us = slice_us_of()
        ask_for_slices(500)
        return os.sched_getscheduler(0), before_us, slice_us_of()

    policy, before_us, after_us = in_thread(task)
    assert policy == os.SCHED_IDLE
    assert after_us == before_us


def test_no_such_thread() -> None:
    with pytest.raises(ProcessLookupError):
        slice_us_of(0x7FFFFFFE)


def test_a_machine_whose_call_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    other = os.uname_result(("Linux", "here", "6.18.0", "#1", "vax"))
    monkeypatch.setattr(os, "uname", lambda: other)
    with pytest.raises(OSError, match="not implemented"):
        ask_for_slices(500)
    assert not gives_slices()
