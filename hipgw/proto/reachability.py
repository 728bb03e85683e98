"""Is the peer there, and which way?  Probes, heartbeats, failover, and the end (RFC 8047 4.2.7).

A probe is an UPDATE with nothing but a SEQ.  It tries the path in use, then all pairs of addresses;
the first answer shows the way.  An association whose UPDATEs nobody answers, on any pair, is closed
(RFC 7401 section 6.11).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hipgw.proto.association import Association, Heartbeat
from hipgw.proto.closing import Closer
from hipgw.proto.core import Core, TimerKind
from hipgw.proto.states import State, Trigger
from hipgw.proto.update_sender import UpdateSender
from hipgw.proto.update_state import Outstanding, Purpose
from hipgw.values import Path

TRIES_BEFORE_OTHER_PATHS: Final = 2
Settle = Callable[[Association, float], None]


class Reachability:
    """Watches over the paths of associations."""

    def __init__(self, core: Core, sender: UpdateSender, closer: Closer, settle: Settle) -> None:
        self._core: Final = core
        self._sender: Final = sender
        self._closer: Final = closer
        self._settle: Final = settle

    # --- probes ---

    def probe(self, association: Association, now: float, *, is_suspect: bool) -> None:
        """Ask whether the peer is there; when the path is suspect, over all pairs at once."""
        for present in association.updates.outstanding.values():
            if present.wide_after is not None:  # that UPDATE asks the same
                if is_suspect:
                    present.wide_after, present.is_suspect = 0, True
                    self._sender.hurry(association, now)
                return
        outstanding = self._sender.send(
            association,
            Purpose.PROBE,
            (),
            wide_after=0 if is_suspect else TRIES_BEFORE_OTHER_PATHS,
        )
        if outstanding is not None:
            outstanding.is_suspect = is_suspect

    def path_failed(self, path: Path, now: float, *, is_certain: bool) -> None:
        """Something says that a path does not work: leave it, or find out."""
        for association in tuple(self._core.associations.values()):
            if association.path != path or association.state is not State.ESTABLISHED:
                continue
            if is_certain:
                association.reach.note_failed(path, now)
                self._settle(association, now)
            self.probe(association, now, is_suspect=True)

    def on_acked(
        self, association: Association, outstanding: Outstanding, path: Path, now: float
    ) -> None:
        """An UPDATE that may take any path was answered: over another one means failover."""
        if outstanding.purpose is Purpose.PROBE:
            self._count(association, outstanding, now, is_answered=True)
        is_silent = outstanding.is_suspect or outstanding.tries >= TRIES_BEFORE_OTHER_PATHS
        if path != outstanding.path and is_silent:
            association.reach.note_failed(outstanding.path, now)
            association.reach.refuge = path
        self.arm(association, now)

    def on_unanswered(self, association: Association, outstanding: Outstanding, now: float) -> None:
        """Nobody answers on any pair of addresses."""
        if outstanding.purpose is Purpose.PROBE:
            self._count(association, outstanding, now, is_answered=False)
        self._core.note("unreachable")
        self._closer.close(association, Trigger.UPDATE_UNANSWERED, "unreachable", now)

    # --- heartbeat ---

    def arm(self, association: Association, now: float) -> None:
        """Set the time of the next look at the peer."""
        if self._core.config.heartbeat_s:
            self._core.arm(association, TimerKind.HEARTBEAT, now, self._core.config.heartbeat_s)

    def on_heartbeat(self, association: Association, now: float) -> None:
        """Probe when nothing has come for `heartbeat_s` although data is sent."""
        config = self._core.config
        quiet_until = association.last_heard_s + config.heartbeat_s
        if quiet_until > now:
            self._core.timers.set((association, TimerKind.HEARTBEAT), quiet_until)
            return
        sent_s = association.esp.last_sent_s
        if config.heartbeat_always or (sent_s is not None and sent_s >= association.last_heard_s):
            self.probe(association, now, is_suspect=False)
        self.arm(association, now)

    @staticmethod
    def _count(
        association: Association, outstanding: Outstanding, now: float, *, is_answered: bool
    ) -> None:
        heartbeat = association.reach.heartbeat or Heartbeat()
        association.reach.heartbeat = heartbeat
        heartbeat.sent += outstanding.tries
        heartbeat.received += is_answered
        heartbeat.lost += outstanding.tries - is_answered
        if is_answered and outstanding.tries == 1:
            heartbeat.rtt_sum_s += now - outstanding.sent_s
            heartbeat.rtts += 1
