"""A host with many associations moves: it signs no more UPDATEs at once than it may."""

from __future__ import annotations

import random
from dataclasses import replace
from ipaddress import ip_address

from hipgw.proto import Compute, EndpointConfig, State
from hipgw.proto.association import Association
from hipgw.proto.core import Core
from hipgw.proto.dialect_v2 import DialectV2
from hipgw.proto.events import Role
from hipgw.proto.herald import Herald, last_data_s
from hipgw.proto.jobs import SignPacket
from hipgw.values import DhGroup, Direction, Hit, Path
from hipgw.wire import LocatorSet, PacketType, parse_packet
from tests.engine.network import FAST as FAST_KEY
from tests.engine.network import Network, Node, exchange, identity

CONFIG = EndpointConfig(
    dh_groups=(DhGroup.NIST_P256,), announce_rate=20.0, announce_burst=5.0, rekey_s=0.0
)
PEERS = 30


def crowd(config: EndpointConfig = CONFIG) -> tuple[Network, Node, list[Node]]:
    """One host, and many that have an association with it."""
    network = Network()
    one = network.node(config=config)
    one.tell_addresses()
    others = [network.node() for _ in range(PEERS)]
    for other in others:
        exchange(one, other)
    network.run(1.0)
    return network, one, others


def carry(one: Node, other: Node, octets: int = 100_000) -> None:
    """The data plane of `one` has sent to `other`."""
    spi = one.current_out[one.hit, other.hit]
    hits = {"local": one.hit, "peer": other.hit}
    one.endpoint.sa_usage(spi, octets, 100, one.network.now, direction=Direction.OUT, **hits)
    one.settle()


def told(network: Network, one: Node, since: int) -> list[Hit]:
    """Who was sent a LOCATOR_SET, in that order, first copies only."""
    found: dict[Hit, None] = {}
    for datagram in network.carried[since:]:
        if datagram.source == one.name and datagram.kind is PacketType.UPDATE:
            packet = parse_packet(datagram.payload)
            if packet.get(LocatorSet) is not None:
                found[packet.receiver] = None
    return list(found)


def test_some_are_told_at_once_and_the_others_at_a_rate() -> None:
    network, one, _ = crowd()
    since, moved_s = len(network.carried), network.now
    one.move("198.51.100.1")
    assert len(told(network, one, since)) == 5
    network.run(0.5)
    assert 13 <= len(told(network, one, since)) <= 16
    assert network.run(5.0, until=lambda: len(told(network, one, since)) == PEERS)
    assert network.now - moved_s > (PEERS - 6) / CONFIG.announce_rate


def test_no_more_is_signed_at_once_than_told() -> None:
    _, one, _ = crowd()
    since = len(one.log)
    one.move("198.51.100.1")
    signed = [
        effect
        for effect in one.log[since:]
        if isinstance(effect, Compute) and isinstance(effect.job, SignPacket)
    ]
    assert len(signed) == 5


def test_who_carries_data_is_told_first() -> None:
    network, one, others = crowd()
    busy = [others[17], others[23], others[4]]
    for other in busy:
        carry(one, other)
        network.run(0.01)
    since = len(network.carried)
    one.move("198.51.100.1")
    assert told(network, one, since)[:3] == [other.hit for other in reversed(busy)]


def test_who_begins_to_carry_data_need_not_wait() -> None:
    network, one, _ = crowd(replace(CONFIG, announce_rate=1.0))
    since = len(network.carried)
    one.move("198.51.100.1")
    network.run(0.1)
    waiting = [n for n in network.nodes[1:] if n.hit not in told(network, one, since)]
    assert len(waiting) == PEERS - 5
    late = waiting[-1]
    carry(one, late)
    assert network.run(2.0, until=lambda: len(told(network, one, since)) == 6)
    assert told(network, one, since)[5] == late.hit


def test_all_paths_are_moved_at_once() -> None:
    _, one, _ = crowd()
    one.move("198.51.100.1")
    assert {str(view.path.local) for view in one.endpoint.associations()} == {"198.51.100.1"}


def test_a_second_move_tells_each_peer_the_newest_addresses() -> None:
    network, one, others = crowd()
    one.move("198.51.100.1")
    network.run(0.1)
    one.move("198.51.100.2")
    network.run(5.0)
    for other in others:
        view = other.view(one)
        assert view is not None
        assert str(view.path.peer) == "198.51.100.2"


def test_an_association_that_ends_while_it_waits_is_passed_over() -> None:
    network, one, others = crowd()
    one.move("198.51.100.1")
    for other in others[:20]:
        one.close(other)
    network.run(5.0)
    assert [other.state(one) for other in others[20:]] == [State.ESTABLISHED] * 10
    assert all(str(other.view(one).path.peer) == "198.51.100.1" for other in others[20:])  # type: ignore[union-attr]


def test_ten_thousand_associations() -> None:
    """By the queue alone: bounded work in each call, each peer told once, within the rate."""
    core = Core([identity(FAST_KEY, 1)], EndpointConfig(), random.Random(1).randbytes, 1000.0)
    path = Path(ip_address("192.0.2.1"), ip_address("192.0.2.2"))
    rng = random.Random(2)
    crowd = []
    for number in range(10_000):
        hit = Hit(bytes.fromhex("20010022") + number.to_bytes(12))
        local = next(iter(core.identities.values()))
        association = Association(local, hit, DialectV2(), path, Role.INITIATOR, 0, 0)
        if number % 100 == 0:
            association.esp.last_sent_s = 900 + rng.random()
        crowd.append(association)
    order: list[tuple[float, Association]] = []

    def tell(association: Association, now: float, is_forced: bool) -> bool:
        assert not is_forced
        order.append((now, association))
        return True

    herald = Herald(core, tell)
    herald.announce(dict.fromkeys(crowd, False), 1000.0)
    assert len(order) == core.config.announce_burst
    most = 0
    while (now := core.timers.next_deadline()) is not None:
        assert core.timers.take_due(now) is not None
        before = len(order)
        herald.on_timer(now)
        most = max(most, len(order) - before)
    assert most <= 6
    assert len({association.peer for _, association in order}) == len(order) == 10_000
    assert len(herald) == 0
    latest = [last_data_s(association) for _, association in order[:100]]
    assert latest == sorted(latest, reverse=True)
    assert latest[-1] > 0, "those that carry data come first"
    took_s = order[-1][0] - 1000.0
    assert 39 < took_s < 42
