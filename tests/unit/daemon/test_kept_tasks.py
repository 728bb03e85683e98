"""A task that raises is begun again; one that is cancelled or returns ends."""

from __future__ import annotations

import asyncio
import logging

import pytest

from hipgw.daemon.kept_tasks import keep_running


def test_it_is_begun_again(caplog: pytest.LogCaptureFixture) -> None:
    begun = 0

    async def body() -> None:
        nonlocal begun
        begun += 1
        if begun < 4:
            raise OSError("no descriptors")

    with caplog.at_level(logging.ERROR):
        asyncio.run(keep_running("housekeeping", body, again_s=0))
    assert begun == 4
    assert [record.__dict__["count"] for record in caplog.records] == [1, 2, 3]
    assert {record.__dict__["task"] for record in caplog.records} == {"housekeeping"}
    assert [bool(record.exc_info) for record in caplog.records] == [True, False, False]


def test_the_end_of_the_daemon_is_an_end() -> None:
    begun = 0

    async def body() -> None:
        nonlocal begun
        begun += 1
        await asyncio.sleep(3600)

    async def run() -> None:
        task = asyncio.create_task(keep_running("own", body, again_s=0))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert begun == 1
