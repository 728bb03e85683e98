"""The anti-replay window as a set of numbers (RFC 4303 section 3.4.3)."""

from __future__ import annotations


class SetWindow:
    """Remembers every number; refuses what was seen and what lies left of the window."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.top = 0
        self.seen: set[int] = set()

    def check(self, sequence: int) -> str:
        if sequence == 0:
            return "esp_replayed"
        if sequence <= self.top - self.width:
            return "too_old"
        return "esp_replayed" if sequence in self.seen else "none"

    def accept(self, sequence: int) -> str:
        reason = self.check(sequence)
        if reason == "none":
            self.seen.add(sequence)
            self.top = max(self.top, sequence)
        return reason
