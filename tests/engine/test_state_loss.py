"""A host that has lost its state and hears ESP that it cannot open (RFC 7402 section 5.4.1)."""

from __future__ import annotations

import pytest

from hipgw.proto import EndpointConfig, State
from hipgw.values import DhGroup
from hipgw.wire import PacketType
from tests.engine.network import Network, Node, assert_joined, exchange

pytestmark = pytest.mark.usefixtures("hip_version")

FAST = EndpointConfig(dh_groups=(DhGroup.NIST_P256,))


def pair(config: EndpointConfig = FAST) -> tuple[Network, Node, Node]:
    network = Network()
    one, other = network.node(config=config), network.node(config=config)
    exchange(one, other)
    return network, one, other


def hear(node: Node, peer: Node) -> bool:
    """The data plane of `node` got ESP with an unknown SPI from where `peer` is."""
    is_begun = node.endpoint.unknown_spi(peer.hit, [node.path_to(peer)], node.network.now)
    node.settle()
    return is_begun


def test_who_has_lost_its_state_calls_the_peer_that_only_sends() -> None:
    network, one, other = pair()
    network.restart(other)
    assert not one.send_esp(other)
    assert hear(other, one)
    network.run(1.0)
    assert one.send_esp(other)
    assert other.send_esp(one)
    assert_joined(one, other)


def test_one_base_exchange_however_many_packets_come() -> None:
    network, one, other = pair()
    network.restart(other)
    since = len(network.sent(PacketType.I1))
    assert [hear(other, one) for _ in range(5)] == [True, False, False, False, False]
    network.run(1.0)
    assert not hear(other, one), "ESTABLISHED: late packets of old keys mean nothing"
    assert len(network.sent(PacketType.I1)) - since == 1


def test_peer_that_does_not_answer_is_called_as_often_as_the_back_off_lets() -> None:
    network, one, other = pair()
    network.restart(other)
    network.dead.add(one.address)
    since = len(network.sent(PacketType.I1))
    calls = 0
    for _ in range(600):
        calls += hear(other, one)
        network.run(1.0)
    assert 2 <= calls <= 8
    assert len(network.sent(PacketType.I1)) - since == calls * FAST.tries


def test_closing_and_closed_associations_are_not_called() -> None:
    network, one, other = pair()
    one.close(other)
    assert one.state(other) is State.CLOSING
    assert not hear(one, other)
    network.run(0.1)
    assert other.state(one) is State.CLOSED
    assert not hear(other, one)


def test_flood_with_forged_sources_costs_few_i1s() -> None:
    network, _, other = pair()
    strangers = [network.node() for _ in range(30)]
    place = other.path_to(strangers[0])
    begun = [
        other.endpoint.unknown_spi(stranger.hit, [place], network.now) for stranger in strangers
    ]
    assert 0 < sum(begun) <= FAST.reply_source_burst
    assert other.endpoint.activity["unknown_spi_limited"] == len(begun) - sum(begun)


def test_nobody_calls_itself_or_whom_there_is_no_way_to() -> None:
    network, one, other = pair()
    network.restart(other)
    assert not other.endpoint.unknown_spi(other.hit, [other.path_to(one)], network.now)
    assert not other.endpoint.unknown_spi(one.hit, [], network.now)
