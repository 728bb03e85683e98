"""A line in the log, and a count, for every event of the engine that an operator asks about."""

from __future__ import annotations

import logging
from collections import Counter
from functools import singledispatchmethod
from typing import Final

from hipgw.daemon.logs import RateLimitedLog
from hipgw.proto import (
    CertificateJudged,
    Closed,
    Established,
    Event,
    Failed,
    HandedOver,
    NotifyReceived,
    PeerFound,
    PeerNotFound,
    Rekeyed,
    Standing,
)

GOOD_STANDINGS: Final = frozenset({str(Standing.VERIFIED), str(Standing.UNVERIFIED)})


class EventLog:
    """Writes events down; no peer can make it write without limit."""

    def __init__(self, counters: Counter[str], limited: RateLimitedLog) -> None:
        self._counters = counters
        self._limited = limited

    @singledispatchmethod
    def take(self, event: Event) -> None:
        """Count one event and write its line; events without a method of their own have none."""

    @take.register
    def _(self, event: Established) -> None:
        self._counters["established"] += 1
        self._limited.info(
            "established",
            hit=event.local,
            peer_hit=event.peer,
            path=event.path,
            role=event.role,
            esp_suite=event.esp_suite.name,
            exchange_s=f"{event.exchange_s:.4f}",
        )

    @take.register
    def _(self, event: Closed) -> None:
        self._counters["closed"] += 1
        self._limited.info("closed", hit=event.local, peer_hit=event.peer, reason=event.reason)

    @take.register
    def _(self, event: Failed) -> None:
        self._counters["failed"] += 1
        self._limited.warning(
            "base exchange failed",
            hit=event.local,
            peer_hit=event.peer,
            reason=event.reason,
            notify_type=event.notify_type,
        )

    @take.register
    def _(self, event: Rekeyed) -> None:
        self._counters["rekeyed"] += 1
        self._limited.info(
            "rekeyed",
            hit=event.local,
            peer_hit=event.peer,
            spi=f"{event.spi_in:#010x}",
            spi_out=f"{event.spi_out:#010x}",
            with_dh=event.with_dh,
            reason=event.reason,
        )

    @take.register
    def _(self, event: HandedOver) -> None:
        self._counters["handed_over"] += 1
        self._limited.info(
            "handed over",
            hit=event.local,
            peer_hit=event.peer,
            path=event.path,
            previous=event.previous,
            reason=event.reason,
        )

    @take.register
    def _(self, event: PeerFound) -> None:
        self._counters["peers_found"] += 1
        self._limited.info(
            "peer found at address",
            hit=event.local,
            peer_hit=event.peer,
            path=event.path,
            anonymous=event.is_anonymous,
        )

    @take.register
    def _(self, event: PeerNotFound) -> None:
        self._counters["peers_not_found"] += 1
        self._limited.warning(
            "no peer found at address",
            hit=event.local,
            peer_hit=event.peer,
            path=event.path,
            reason=event.reason,
        )

    @take.register
    def _(self, event: CertificateJudged) -> None:
        self._counters[f"certificate_{event.standing}"] += 1
        self._limited.log(
            logging.INFO if event.standing in GOOD_STANDINGS else logging.WARNING,
            f"certificate {event.standing}",
            hit=event.local,
            peer_hit=event.peer,
            reason=event.detail or "-",
        )

    @take.register
    def _(self, event: NotifyReceived) -> None:
        self._limited.info("notify received", peer_hit=event.peer, notify_type=event.notify_type)
