"""The limits on answers to strangers, slowly: one place, the least recently seen source goes.

What a place has let go is remembered as it is; the fast ones have cells that may err.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

UNIT_NS = 1 << 30
RECENT = 2
HORIZON = 30
PAUSE = 16


class Standing(Enum):
    """Who may use how much of the total's burst."""

    KNOWN = "a half"
    NEW = "three quarters"
    AGAIN = "all of it"


@dataclass
class Source:
    seen_ns: int
    new_since_ns: int | None
    due_ns: int = 0


@dataclass
class SlowLimits:
    """Bursts of 1 or more; steps in whole nanoseconds."""

    step_ns: int
    burst: int
    source_step_ns: int
    source_burst: int
    sources_most: int
    sources: dict[bytes, Source] = field(default_factory=dict)
    memory: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    """Unit of time when it came last while the place did not know it, and how often."""
    swept: int | None = None
    """Unit of time when one came last whom the place did not know."""
    due_ns: int = 0

    def allows(self, address: bytes, now_ns: int) -> bool:
        name = address[:8] if len(address) == 16 else address
        slack_ns = (self.source_burst - 1) * self.source_step_ns
        source, standing = self._look_up(name, now_ns, slack_ns + self.source_step_ns)
        while len(self.sources) >= self.sources_most:
            del self.sources[next(iter(self.sources))]
        self.sources[name] = source
        if source.due_ns > now_ns + slack_ns:
            return False
        whole_ns = (self.burst - 1) * self.step_ns
        share_ns = {
            Standing.KNOWN: whole_ns // 2,
            Standing.NEW: whole_ns - whole_ns // 4,
            Standing.AGAIN: whole_ns,
        }
        if self.due_ns > now_ns + share_ns[standing]:
            return False
        source.due_ns = max(source.due_ns, now_ns) + self.source_step_ns
        self.due_ns = max(self.due_ns, now_ns) + self.step_ns
        source.new_since_ns = None
        self.memory[name] = now_ns // UNIT_NS, 3
        return True

    def _look_up(self, name: bytes, now_ns: int, quiet_ns: int) -> tuple[Source, Standing]:
        source = self.sources.pop(name, None)
        if source is None:
            standing = self._knock(name, now_ns // UNIT_NS)
            return Source(now_ns, None if standing is Standing.KNOWN else now_ns), standing
        standing = Standing.NEW
        if now_ns - source.seen_ns > quiet_ns:
            source.new_since_ns = now_ns
        elif source.new_since_ns is None or now_ns - source.new_since_ns > quiet_ns:
            standing = Standing.KNOWN
        elif source.seen_ns == source.new_since_ns != now_ns:
            standing = Standing.AGAIN
        source.seen_ns = now_ns
        return source, standing

    def _knock(self, name: bytes, unit: int) -> Standing:
        if self.swept is not None and unit - self.swept > PAUSE:
            self.memory.clear()
        self.swept = unit
        last, times = self.memory.get(name, (-HORIZON - 1, 0))
        age = unit - last
        self.memory[name] = unit, min(times + 1, 3) if age <= HORIZON else 1
        if age > HORIZON:
            return Standing.NEW
        return Standing.AGAIN if age <= RECENT and times == 1 else Standing.KNOWN
