"""Hosts that call each other at once, lose their state, or are many."""

from __future__ import annotations

from itertools import pairwise

import pytest

from hipgw.proto import (
    EndpointConfig,
    Role,
    State,
    StoreR1Counter,
)
from hipgw.values import (
    DhGroup,
)
from hipgw.wire import (
    PacketType,
)
from tests.engine.network import (
    Datagram,
    Network,
    Node,
    Weather,
    assert_joined,
    exchange,
    low_and_high,
)

pytestmark = pytest.mark.usefixtures("hip_version")


FAST = EndpointConfig(dh_groups=(DhGroup.NIST_P256,))


def pair(config: EndpointConfig = FAST, other: EndpointConfig | None = None) -> tuple[Node, Node]:
    network = Network()
    return network.node(config=config), network.node(config=other or config)


def test_simultaneous_initiation_ends_in_one_association() -> None:
    for encounter in range(2):
        network = Network()
        low, high = low_and_high()
        one = network.node(low, config=FAST)
        other = network.node(high, config=FAST)
        first, second = ((one, other), (other, one))[encounter]
        first.want(second)
        network.run(0.005)
        second.want(first)
        network.run(0.3)
        assert one.state(other) is State.ESTABLISHED
        assert one.send_esp(other)
        assert_joined(one, other)
        view = one.view(other)
        assert view is not None
        assert view.role is Role.INITIATOR, "the smaller HIT stays Initiator"
        assert one.dropped() == {"hit_race_lost": 1}


def test_two_i2s_that_cross_end_in_one_association() -> None:
    network = Network()
    low, high = low_and_high()
    one, other = network.node(low, config=FAST), network.node(high, config=FAST)
    held: list[Datagram] = []

    def hold_i2(datagram: Datagram) -> list[Datagram]:
        if datagram.kind is PacketType.I2:
            held.append(datagram)
            return []
        return [datagram]

    one.want(other)  # its I1 is answered before the other side wants anything
    network.wire = hold_i2
    network.run(0.1)
    assert one.state(other) is State.I2_SENT
    other.want(one)
    network.run(0.1)
    assert other.state(one) is State.I2_SENT
    network.wire = lambda datagram: [datagram]
    for datagram in held:
        network.deliver(datagram)
    network.run(0.3)
    assert one.dropped() == {"hit_race_lost": 1}
    assert one.state(other) is State.ESTABLISHED
    assert one.send_esp(other)
    assert_joined(one, other)


def test_peer_that_lost_its_state_begins_again() -> None:
    one, other = pair()
    exchange(one, other)
    before = one.view(other)
    one.network.restart(other, FAST)
    assert not one.send_esp(other)
    exchange(other, one)
    assert_joined(one, other)
    after = one.view(other)
    assert before is not None
    assert after is not None
    assert before.spi_in != after.spi_in


def test_r1_counter_survives_a_restart_and_grows() -> None:
    one, other = pair()
    first = other.stored_r1_counter
    assert first == 1
    one.network.restart(other)
    assert other.stored_r1_counter == first + 1
    other.endpoint.handle_deadline(one.network.now + 301.0)
    stored = [e.counter for e in other.endpoint.take_effects() if isinstance(e, StoreR1Counter)]
    assert stored == [first + 2]


def test_many_hosts_at_once_do_not_mix() -> None:
    network = Network(seed=5, weather=Weather(spread_s=0.05, job_s=0.02))
    nodes = [network.node(config=FAST) for _ in range(6)]
    network.run(0.1)
    for one, other in pairwise(nodes):
        one.want(other)
    nodes[0].want(nodes[-1])
    network.run(2.0)
    for one, other in [*pairwise(nodes), (nodes[0], nodes[-1])]:
        assert one.send_esp(other)
        assert_joined(one, other)
