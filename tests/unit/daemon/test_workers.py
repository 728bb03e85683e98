"""A worker that dies stops the daemon; one that was stopped does not."""

from __future__ import annotations

import asyncio
import threading

from hipgw.daemon.workers import Workers


def test_a_worker_that_raises_is_reported() -> None:
    def die() -> None:
        raise ValueError("no such thing")

    async def run() -> str:
        loop = asyncio.get_running_loop()
        died: asyncio.Future[str] = loop.create_future()
        never = threading.Event()
        workers = Workers({"in": die, "out": never.wait}, never.set, loop, died.set_result)
        workers.start()
        async with asyncio.timeout(60):
            sentence = await died
        assert workers.stop()
        return sentence

    assert asyncio.run(run()) == (
        "worker in died (ValueError: no such thing); stopping: start the daemon again"
    )


def test_a_worker_that_returns_too_early_is_reported() -> None:
    async def run() -> str:
        loop = asyncio.get_running_loop()
        died: asyncio.Future[str] = loop.create_future()
        workers = Workers({"in": lambda: None}, lambda: None, loop, died.set_result)
        workers.start()
        async with asyncio.timeout(60):
            return await died

    assert "it returned" in asyncio.run(run())


def test_stopping_is_no_death() -> None:
    async def run() -> list[str]:
        deaths: list[str] = []
        stopped = threading.Event()
        workers = Workers(
            {"in": stopped.wait, "out": stopped.wait},
            stopped.set,
            asyncio.get_running_loop(),
            deaths.append,
        )
        workers.start()
        assert workers.stop()
        await asyncio.sleep(0)
        return deaths

    assert asyncio.run(run()) == []
