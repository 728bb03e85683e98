"""Who is told next that our addresses have changed: who carries data first, and not all at once.

Each UPDATE costs a signature and the peer's answers.  A host with ten thousand associations would
otherwise sign ten thousand UPDATEs before it can do anything else.  So a first few go at once, the
others at a rate; an association on which data begins to flow meanwhile goes to the front.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

from hipgw.proto.association import Association
from hipgw.proto.core import Core, TimerKind
from hipgw.proto.limits import TokenBucket

TICK_S: Final = 0.02
"""Between two handfuls of announcements."""

LOOKS_PER_TICK: Final = 1000
"""Associations looked at in one handful, those with nothing to tell included."""

Tell = Callable[[Association, float, bool], bool]
"""Tells one peer, in any case or only news; whether that took an UPDATE."""


class Herald:
    """A queue of associations whose peers want to be told; each is in it once."""

    def __init__(self, core: Core, tell: Tell) -> None:
        self._core: Final = core
        self._tell: Final = tell
        self._waiting: Final[OrderedDict[Association, bool]] = OrderedDict()
        self._bucket: TokenBucket | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def announce(self, wanted: Mapping[Association, bool], now: float) -> None:
        """Tell these peers, as soon as their turn comes; those with the latest data first.

        Those that wait already take their new place among them: what they are told is made when
        their turn comes.

        Args:
            wanted: whom, and whether even without news.
            now: monotonic seconds.
        """
        for association, is_forced in wanted.items():
            self._waiting[association] = is_forced or self._waiting.get(association, False)
        ranked = sorted(self._waiting.items(), key=lambda item: last_data_s(item[0]), reverse=True)
        self._waiting.clear()
        self._waiting.update(ranked)
        self.on_timer(now)

    def hurry(self, association: Association, now: float) -> None:
        """Data flows there: the peer's answers go astray until it is told."""
        if association in self._waiting:
            self._waiting.move_to_end(association, last=False)
            self.on_timer(now)

    def on_timer(self, now: float) -> None:
        """Tell as many as the rate allows."""
        core, config = self._core, self._core.config
        if self._bucket is None:
            self._bucket = TokenBucket(config.announce_rate, config.announce_burst, now)
        for _ in range(LOOKS_PER_TICK):
            if not self._waiting or not self._bucket.take(now):
                break
            association, is_forced = self._waiting.popitem(last=False)
            if not self._tell(association, now, is_forced):
                self._bucket.give_back()
        if self._waiting:
            core.timers.set((None, TimerKind.ANNOUNCE), now + TICK_S)
        else:
            core.timers.cancel((None, TimerKind.ANNOUNCE))


def last_data_s(association: Association) -> float:
    """When data last went or came; 0.0 if never."""
    esp = association.esp
    return max(esp.last_sent_s or 0.0, esp.last_received_s or 0.0)
