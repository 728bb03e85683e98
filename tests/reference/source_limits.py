"""The limits on answers to strangers, slowly: one place, the least recently seen source goes."""

from __future__ import annotations

from dataclasses import dataclass, field


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
    due_ns: int = 0

    def allows(self, address: bytes, now_ns: int) -> bool:
        name = address[:8] if len(address) == 16 else address
        slack_ns = (self.source_burst - 1) * self.source_step_ns
        quiet_ns = slack_ns + self.source_step_ns
        source = self.sources.pop(name, None) or Source(now_ns, now_ns)
        if now_ns - source.seen_ns > quiet_ns:
            source.new_since_ns = now_ns
        source.seen_ns = now_ns
        while len(self.sources) >= self.sources_most:
            del self.sources[next(iter(self.sources))]
        self.sources[name] = source
        if source.due_ns > now_ns + slack_ns:
            return False
        total_slack_ns = (self.burst - 1) * self.step_ns
        if source.new_since_ns is None or now_ns - source.new_since_ns > quiet_ns:
            total_slack_ns //= 2
        if self.due_ns > now_ns + total_slack_ns:
            return False
        source.due_ns = max(source.due_ns, now_ns) + self.source_step_ns
        self.due_ns = max(self.due_ns, now_ns) + self.step_ns
        source.new_since_ns = None
        return True
