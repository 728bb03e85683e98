"""Credit-based authorisation (RFC 8046 section 5.6): data to an address that is not verified.

Each octet received from the peer earns one that may be sent.  The sum ages, so that nobody saves
up for a flood.
"""

from __future__ import annotations

from typing import Final

AGING_INTERVAL_S: Final = 5.0
AGING_FACTOR: Final = 7 / 8


class Credit:
    """Octets that may go to an UNVERIFIED address."""

    __slots__ = ("_aged_s", "_octets")

    def __init__(self) -> None:
        self._octets = 0.0
        self._aged_s: float | None = None

    def earn(self, octets: int, now: float) -> None:
        """Count octets received from the peer."""
        self._age(now)
        self._octets += octets

    def look(self, now: float) -> int:
        """Octets that are there."""
        self._age(now)
        return int(self._octets)

    def take(self, now: float) -> int:
        """Hand all of it out."""
        octets = self.look(now)
        self._octets -= octets
        return octets

    def _age(self, now: float) -> None:
        if self._aged_s is None:
            self._aged_s = now
            return
        steps = int((now - self._aged_s) // AGING_INTERVAL_S)
        if steps > 0:
            self._octets *= AGING_FACTOR**steps
            self._aged_s += steps * AGING_INTERVAL_S
