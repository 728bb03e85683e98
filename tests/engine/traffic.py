"""Data between two nodes, all the time, as a data plane would carry it: with latency, and counted.

A packet is opened with the SA that the receiver has when it arrives.  What could not be opened was
lost by the engines; what could not be delivered was lost by the network.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from hipgw.proto import State
from hipgw.values import Direction, Hit, SecurityAssociation, Spi
from tests.engine.network import Network, Node

SaKey = tuple[Direction, Spi, Hit]
USAGE_S = 0.25
"""How often counters are handed to the engines."""


@dataclass(eq=False)
class Flow:
    """Packets of one node to another."""

    sender: Node
    receiver: Node
    sent: int = 0
    arrived: int = 0
    troubles: Counter[str] = field(default_factory=Counter)
    arrivals_s: list[float] = field(default_factory=list)

    @property
    def lost(self) -> int:
        return sum(self.troubles.values())

    def longest_gap_s(self, since_s: float, until_s: float) -> float:
        times = [since_s, *(at for at in self.arrivals_s if since_s <= at <= until_s), until_s]
        return max(b - a for a, b in itertools.pairwise(times))


class Traffic:
    """Both directions; start it once both nodes have an association."""

    def __init__(
        self,
        network: Network,
        one: Node,
        other: Node,
        *,
        every_s: float = 0.01,
        octets: int = 100,
        both_ways: bool = True,
    ) -> None:
        self.network = network
        self.octets = octets
        self.every_s = every_s
        self.there = Flow(one, other)
        self.back = Flow(other, one)
        self.flows = [self.there, self.back] if both_ways else [self.there]
        self.totals: dict[tuple[str, SaKey], list[int]] = defaultdict(lambda: [0, 0])
        self._is_running = True
        self._usage_at = network.now
        self._tick()

    def stop(self) -> None:
        self._is_running = False

    def _tick(self) -> None:
        if not self._is_running:
            return
        for flow in self.flows:
            self._send(flow)
        if self.network.now >= self._usage_at:
            self._usage_at = self.network.now + USAGE_S
            self.report()
        self.network.at(self.every_s, self._tick)

    def _send(self, flow: Flow) -> None:
        sender, receiver = flow.sender, flow.receiver
        pair = sender.hit, receiver.hit
        spi = sender.current_out.get(pair)
        if spi is None:
            if sender.state(receiver) is State.ESTABLISHED:
                flow.troubles["no outbound SA"] += 1
            return
        sa = sender.sas[Direction.OUT, spi, receiver.hit]
        flow.sent += 1
        if pair in sender.budgets:
            if sender.budgets[pair] < self.octets:
                flow.troubles["limited"] += 1
                return
            sender.budgets[pair] -= self.octets
        self._count(sender, (Direction.OUT, spi, receiver.hit))
        if not self.network.is_passable(sender, sa.path):
            flow.troubles["no way out"] += 1
            return
        weather = self.network.weather
        latency_s = weather.latency_s + self.network.random.random() * weather.spread_s
        self.network.at(latency_s, lambda: self._arrive(flow, sa))

    def _arrive(self, flow: Flow, sa: SecurityAssociation) -> None:
        if self.network.node_at(sa.path.peer) is not flow.receiver:
            flow.troubles["nobody there"] += 1
            return
        key = Direction.IN, sa.spi, flow.sender.hit
        into = flow.receiver.sas.get(key)
        if into is None or into.encryption_key != sa.encryption_key:
            flow.troubles["cannot open"] += 1
            return
        flow.arrived += 1
        flow.arrivals_s.append(self.network.now)
        is_first = not self.totals[flow.receiver.name, key][1]
        self._count(flow.receiver, key)
        if is_first:
            flow.receiver.endpoint.esp_received(sa.spi, self.network.now)
            flow.receiver.settle()

    def _count(self, node: Node, key: SaKey) -> None:
        totals = self.totals[node.name, key]
        totals[0] += self.octets
        totals[1] += 1

    def report(self) -> None:
        """Hand the counters of all SAs to the engines, as a daemon does now and then."""
        for flow in (self.there, self.back):
            node, peer = flow.sender, flow.receiver
            for (name, key), (octets, packets) in tuple(self.totals.items()):
                if name == node.name and key in node.sas:
                    node.endpoint.sa_usage(
                        key[1],
                        octets,
                        packets,
                        self.network.now,
                        direction=key[0],
                        local=node.hit,
                        peer=peer.hit,
                    )
                    node.settle()
