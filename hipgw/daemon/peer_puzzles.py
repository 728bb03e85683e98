"""Which peers have a puzzle difficulty of their own: `[[peer]] puzzle_k`, and `hipconf set puzzle`.

What was said by hand comes before the configuration and ends with the next reload or restart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from hipgw.daemon.config import Config
from hipgw.values import Hit


@dataclass(frozen=True, slots=True)
class PeerPuzzles:
    """K by peer."""

    said: Mapping[Hit, int]
    """By the configuration."""
    by_hand: Mapping[Hit, int | None] = field(default_factory=dict)
    """None: as everybody's, whatever the configuration says."""

    @classmethod
    def of(cls, config: Config) -> PeerPuzzles:
        """As a configuration says, and nothing by hand."""
        return cls(config.puzzle_ks())

    @property
    def ks(self) -> dict[Hit, int]:
        """What holds, for the peers that are not as everybody."""
        both = {**self.said, **self.by_hand}
        return {hit: k for hit, k in both.items() if k is not None}

    @property
    def changed_by_hand(self) -> frozenset[str]:
        """As the operator is told."""
        return frozenset(f"peer {hit} puzzle_k" for hit in self.by_hand)

    def with_one(self, hit: Hit, k: int | None) -> PeerPuzzles:
        """The same with another value for one peer, by hand; None: as everybody's."""
        by_hand = {**self.by_hand, hit: k}
        if self.said.get(hit) == k:
            del by_hand[hit]
        return replace(self, by_hand=by_hand)
