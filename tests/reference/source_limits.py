"""The limits on answers to strangers, slowly: one place, the least recently seen source goes."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Source:
    due_ns: int = 0
    answered_ns: int | None = None


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
        source = self.sources.pop(name, None) or Source()
        while len(self.sources) >= self.sources_most:
            del self.sources[next(iter(self.sources))]
        self.sources[name] = source
        slack_ns = (self.source_burst - 1) * self.source_step_ns
        if source.due_ns > now_ns + slack_ns:
            return False
        total_slack_ns = (self.burst - 1) * self.step_ns
        if source.answered_ns is not None:
            quiet_ns = now_ns - source.answered_ns
            if quiet_ns <= slack_ns + self.source_step_ns:
                total_slack_ns //= 2
        if self.due_ns > now_ns + total_slack_ns:
            return False
        source.due_ns = max(source.due_ns, now_ns) + self.source_step_ns
        self.due_ns = max(self.due_ns, now_ns) + self.step_ns
        source.answered_ns = now_ns
        return True
