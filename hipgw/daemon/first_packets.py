"""Packets that wait for their association: bounded per peer and in total, first come first out.

The packet that triggers a base exchange, and those that follow while it runs, are kept here and go
out in order once the outbound SA is there (architecture, "The packet path").  A full queue refuses
the new packet and keeps the old ones: the first packet of a connection is the one that matters.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from hipgw.values import Hit

PACKET_COST_OCTETS: Final = 128
"""What the smallest packet costs us, so that empty ones cannot pass the limits in number."""

Pair = tuple[Hit, Hit]
"""Local and peer HIT."""


@dataclass(slots=True)
class _Waiting:
    packets: list[bytes] = field(default_factory=list)
    octets: int = 0


class FirstPackets:
    """Queues of inner IP packets, one per pair of HITs."""

    def __init__(
        self, *, peer_packets: int = 64, peer_octets: int = 262_144, total_octets: int = 8_388_608
    ) -> None:
        self._peer_packets = peer_packets
        self._peer_octets = peer_octets
        self._total_limit = total_octets
        self._total = 0
        self._waiting: dict[Pair, _Waiting] = {}
        self.counters: Counter[str] = Counter()

    def __len__(self) -> int:
        """Packets waiting now, all peers."""
        return sum(len(queue.packets) for queue in self._waiting.values())

    @property
    def octets(self) -> int:
        """Octets charged for now, all peers."""
        return self._total

    def pairs(self) -> list[Pair]:
        """For whom something waits."""
        return list(self._waiting)

    def waiting_for(self, pair: Pair) -> int:
        """Packets that wait for this pair."""
        queue = self._waiting.get(pair)
        return len(queue.packets) if queue else 0

    def put(self, pair: Pair, packet: bytes) -> bool:
        """Keep a packet; False, and one count, when a limit refuses it."""
        cost = max(len(packet), PACKET_COST_OCTETS)
        queue = self._waiting.get(pair)
        packets, octets = (len(queue.packets), queue.octets) if queue else (0, 0)
        is_full = packets >= self._peer_packets or octets + cost > self._peer_octets
        if is_full or self._total + cost > self._total_limit:
            self.counters["queue_full"] += 1
            return False
        if queue is None:
            queue = self._waiting[pair] = _Waiting()
        queue.packets.append(packet)
        queue.octets += cost
        self._total += cost
        return True

    def take(self, pair: Pair) -> list[bytes]:
        """All packets of a pair, oldest first; they wait no more."""
        queue = self._waiting.pop(pair, None)
        if queue is None:
            return []
        self._total -= queue.octets
        return queue.packets

    def drop(self, pair: Pair) -> int:
        """Forget the packets of a pair whose exchange failed; returns and counts how many."""
        count = len(self.take(pair))
        self.counters["queue_failed"] += count
        return count
