"""The anti-replay window as a set of numbers (RFC 4303 section 3.4.3)."""

from __future__ import annotations


def high_half(top: int, low: int, width: int) -> int | None:
    """The upper half of an extended number as RFC 4303 section A2.2 has it, None: there is none."""
    top_high, top_low = divmod(top, 2**32)
    left = (top_low - width + 1) % 2**32
    if top_low >= width - 1:
        return top_high if low >= left else top_high + 1
    if low < left:
        return top_high
    return top_high - 1 if top_high else None


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
