"""Drives the engine from asyncio: time in, deadlines set, effects applied, jobs on threads.

The engine calls nobody; after each entry point this takes its effects and hands them to an
`EngineHost`, until there are none.  Everything but the jobs runs on the loop's thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Final, Protocol

from hipgw.proto import (
    AbandonJob,
    ClaimI1s,
    Compute,
    Effect,
    Endpoint,
    Event,
    InstallSa,
    JobId,
    LimitPath,
    MoveSa,
    PublishR1s,
    RemoveSa,
    SendDatagram,
    SendIcmp,
    StoreR1Counter,
)
from hipgw.proto.jobs import SignPacket
from hipgw.values import Path, SecurityAssociation

JOB_THREADS: Final = 2
"""`cryptography` lets go of the GIL while it computes, so two use two cores."""

log = logging.getLogger(__name__)


class EngineHost(Protocol):
    """What applies the engine's effects; none of these may call the engine."""

    def send(self, payload: bytes, path: Path) -> None:
        """Send one HIP packet."""
        ...

    def install(self, sa: SecurityAssociation) -> None:
        """Install one direction of ESP."""
        ...

    def remove(self, removal: RemoveSa) -> None:
        """Remove one direction of ESP."""
        ...

    def move(self, move: MoveSa) -> None:
        """Give one direction of ESP other outer addresses."""
        ...

    def limit(self, limit: LimitPath) -> None:
        """Let an outbound SA send so many octets and no more, or end that."""
        ...

    def store_r1_counter(self, counter: int) -> None:
        """Keep the R1 counter over a restart."""
        ...

    def publish_r1s(self, offer: PublishR1s) -> None:
        """Answer I1s of strangers with these R1s, or leave it to the engine."""
        ...

    def claim_i1s(self, claim: ClaimI1s) -> None:
        """Leave I1s of a pair to the engine, or no longer."""

    def send_icmp(self, icmp: SendIcmp) -> None:
        """Tell the sender of a bad HIP packet by ICMP."""
        ...

    def on_event(self, event: Event) -> None:
        """Take note of what has happened."""
        ...

    def on_applied(self) -> None:
        """All effects of one step have been applied."""
        ...


class EngineLoop:
    """Owns the engine's clock, its one timer and its job threads."""

    def __init__(
        self, endpoint: Endpoint, host: EngineHost, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.endpoint: Final = endpoint
        self._host = host
        self._loop = loop
        self._threads = ThreadPoolExecutor(JOB_THREADS, thread_name_prefix="hipgw-job")
        # One signature is short, and a NOTIFY about a long queue of I2s must not wait in it.
        self._signing = ThreadPoolExecutor(1, thread_name_prefix="hipgw-sign")
        self._futures: dict[JobId, Future[object]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._deadline: float | None = None
        self._is_closed = False
        self._is_applying = False
        self.jobs_running = 0
        self.counters: Counter[str] = Counter()

    def now(self) -> float:
        """Seconds of CLOCK_MONOTONIC, which is also the clock of SA statistics."""
        return self._loop.time()

    def step(self, action: Callable[[float], None]) -> None:
        """Call one entry point of the engine with the time, then apply what comes of it.

        What `action` raises reaches the caller, after the effects were applied.
        """
        try:
            action(self.now())
        finally:
            self.apply()

    def apply(self) -> None:
        """Apply effects and pass on events until there are none, then set the timer."""
        if self._is_applying or self._is_closed:
            return
        self._is_applying = True
        try:
            while True:
                effects, events = self.endpoint.take_effects(), self.endpoint.take_events()
                if not effects and not events:
                    break
                for effect in effects:
                    self._guarded(partial(self._apply_one, effect))
                for event in events:
                    self._guarded(partial(self._host.on_event, event))
        finally:
            self._is_applying = False
        self._host.on_applied()
        self._set_timer()

    def _guarded(self, action: Callable[[], None]) -> None:
        """Do one thing; a bug in it is counted and must not cost the others their turn."""
        try:
            action()
        except Exception:  # the top of the loop
            self.counters["effect_failed"] += 1
            log.exception("effect failed")

    def _apply_one(self, effect: Effect) -> None:
        match effect:
            case SendDatagram():
                self._host.send(effect.payload, effect.path)
            case InstallSa():
                self._host.install(effect.sa)
            case RemoveSa():
                self._host.remove(effect)
            case MoveSa():
                self._host.move(effect)
            case LimitPath():
                self._host.limit(effect)
            case Compute():
                self.jobs_running += 1
                lane = self._signing if isinstance(effect.job, SignPacket) else self._threads
                future = lane.submit(effect.job.run)
                self._futures[effect.job_id] = future
                future.add_done_callback(self._teller(effect.job_id))
            case AbandonJob():
                self._abandon(effect.job_id)
            case SendIcmp():
                self._host.send_icmp(effect)
            case StoreR1Counter():
                self._host.store_r1_counter(effect.counter)
            case PublishR1s():
                self._host.publish_r1s(effect)
            case ClaimI1s():
                self._host.claim_i1s(effect)

    def _abandon(self, job_id: JobId) -> None:
        """Save the work of a job that waits; one that runs already ends by itself."""
        future = self._futures.get(job_id)
        if future is not None and future.cancel():
            del self._futures[job_id]
            self.jobs_running -= 1

    def _teller(self, job_id: JobId) -> Callable[[Future[object]], None]:
        """Brings a job's result from its thread to the loop."""

        def tell(future: Future[object]) -> None:
            if not self._is_closed and not future.cancelled():
                self._loop.call_soon_threadsafe(self._on_job, job_id, future)

        return tell

    def _on_job(self, job_id: JobId, future: Future[object]) -> None:
        self.jobs_running -= 1
        self._futures.pop(job_id, None)
        failure = future.exception()
        if failure is not None:
            # A job answers bad input with a value, so this is a bug; the engine counts the loss.
            self.counters["job_failed"] += 1
            log.error("job failed", extra={"reason": type(failure).__name__}, exc_info=failure)
        result = None if failure is not None else future.result()
        self.step(lambda now: self.endpoint.job_done(job_id, result, now))

    def _set_timer(self) -> None:
        deadline = self.endpoint.next_deadline()
        if deadline == self._deadline:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._deadline = deadline
        self._timer = None if deadline is None else self._loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._deadline = None
        self.step(self.endpoint.handle_deadline)

    def close(self) -> None:
        """Stop: no timer, no results, no new jobs; running jobs end by themselves."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._signing.shutdown(wait=False, cancel_futures=True)
