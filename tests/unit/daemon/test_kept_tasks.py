"""A task that raises is begun again, ever more rarely; one that is cancelled or returns ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest

from hipgw.daemon.kept_tasks import Pauses, keep_running


class Clock:
    """Virtual time: each run of a task lasts as long as the story says."""

    def __init__(self, lasting_s: Sequence[float]) -> None:
        self.now_s = 0.0
        self.pauses_s: list[float] = []
        self._lasting_s = list(lasting_s)

    async def fail(self) -> None:
        """The body; returns when the story is over."""
        if not self._lasting_s:
            return
        self.now_s += self._lasting_s.pop(0)
        raise OSError("no descriptors")

    async def sleep(self, pause_s: float) -> None:
        self.pauses_s.append(pause_s)
        self.now_s += pause_s

    def keep(self) -> list[float]:
        """Run the story; the pauses that were taken."""
        pauses = Pauses(least_s=1.0, most_s=60.0)
        asyncio.run(
            keep_running(
                "own", self.fail, pauses=pauses, clock=lambda: self.now_s, sleep=self.sleep
            )
        )
        return self.pauses_s


def test_it_is_begun_again(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        Clock([0.0] * 3).keep()
    assert [record.__dict__["count"] for record in caplog.records] == [1, 2, 3]
    assert [record.__dict__["again_s"] for record in caplog.records] == [1.0, 2.0, 4.0]
    assert {record.__dict__["task"] for record in caplog.records} == {"own"}
    assert [bool(record.exc_info) for record in caplog.records] == [True, False, False]


def test_the_pause_doubles_up_to_a_ceiling() -> None:
    assert Clock([0.0] * 9).keep() == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


def test_who_ran_well_for_a_while_is_begun_again_soon(caplog: pytest.LogCaptureFixture) -> None:
    """Longer than the longest pause; and its next failure is written down in full again."""
    with caplog.at_level(logging.ERROR):
        assert Clock([0.0, 0.0, 59.0, 60.0, 0.0]).keep() == [1.0, 2.0, 4.0, 1.0, 2.0]
    assert [bool(record.exc_info) for record in caplog.records] == [True, False, False, True, False]


def test_the_end_of_the_daemon_is_an_end() -> None:
    begun = 0

    async def body() -> None:
        nonlocal begun
        begun += 1
        await asyncio.sleep(3600)

    async def run() -> None:
        task = asyncio.create_task(keep_running("own", body))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert begun == 1
