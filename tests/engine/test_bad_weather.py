"""Loss, duplication, reordering and slow jobs; timers and their numbers."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from hipgw.proto import EndpointConfig, Established, Failed, State
from hipgw.values import DhGroup
from hipgw.wire import PacketType
from tests.engine.network import (
    Datagram,
    Network,
    Node,
    Weather,
    assert_joined,
    drop_first,
    exchange,
    low_and_high,
)

pytestmark = pytest.mark.usefixtures("hip_version")


FAST = EndpointConfig(dh_groups=(DhGroup.NIST_P256,))
BASE_EXCHANGE = (PacketType.I1, PacketType.R1, PacketType.I2, PacketType.R2)


def pair(network: Network, config: EndpointConfig = FAST) -> tuple[Node, Node]:
    return network.node(config=config), network.node(config=config)


@pytest.mark.parametrize("kind", BASE_EXCHANGE)
def test_each_packet_lost_once(kind: PacketType) -> None:
    network = Network()
    one, other = pair(network)
    network.wire = drop_first(kind)
    one.want(other)
    network.run(1.0)
    assert one.state(other) is State.ESTABLISHED
    assert one.send_esp(other)
    assert_joined(one, other)
    view = one.view(other)
    assert view is not None
    assert view.retransmissions == 1
    assert not one.dropped()


@pytest.mark.parametrize("kind", BASE_EXCHANGE)
def test_each_packet_delivered_twice(kind: PacketType) -> None:
    network = Network()
    one, other = pair(network)
    network.wire = lambda datagram: [datagram] * (2 if datagram.kind is kind else 1)
    one.want(other)
    network.run(1.0)
    assert one.state(other) is State.ESTABLISHED
    assert one.send_esp(other)
    assert_joined(one, other)
    assert len(one.saw(Established)) == len(other.saw(Established)) == 1


@pytest.mark.parametrize("seed", range(40))
def test_a_fifth_of_all_packets_lost_doubled_and_reordered(seed: int) -> None:
    network = Network(
        seed, Weather(loss=0.2, duplication=0.2, latency_s=0.02, spread_s=0.4, job_s=0.05)
    )
    low, high = low_and_high()
    keys = (low, high) if seed % 4 < 2 else (high, low)
    one, other = (network.node(key, config=FAST) for key in keys)
    network.run(0.1)
    one.want(other)
    if seed % 2:
        other.want(one)

    def joined() -> bool:
        for node, peer in ((one, other), (other, one)):
            if node.state(peer) is State.UNASSOCIATED and seed % 2 == 0 and node is one:
                node.want(peer)  # E-FAILED is over: as new data would do
        return State.ESTABLISHED in {one.state(other), other.state(one)} and (
            one.send_esp(other) and other.send_esp(one)
        )

    assert network.run(120.0, until=joined), (one.state(other), other.state(one))
    network.weather = Weather()
    network.run(60.0)  # what was under way arrives, Exchange-Complete runs out
    assert_joined(one, other)


def test_retransmissions_back_off_and_end_in_e_failed() -> None:
    network = Network()
    one, other = pair(network)
    network.wire = lambda _: []
    one.want(other)
    started = network.now
    times = [started]

    def count() -> bool:
        if len(network.carried) > len(times):
            times.append(network.now)
        return one.state(other) is State.E_FAILED

    assert network.run(60.0, until=count)
    assert len(times) == 6
    for gap, delay in zip((b - a for a, b in pairwise(times)), (0.5, 1, 2, 4, 8), strict=True):
        assert delay <= gap <= delay * 1.1
    assert one.saw(Failed) == [Failed(one.hit, other.hit, "no_answer")]
    assert network.run(21.0, until=lambda: one.state(other) is State.UNASSOCIATED)
    network.wire = lambda datagram: [datagram]
    exchange(one, other)


def test_nothing_is_sent_while_a_failed_exchange_is_held() -> None:
    network = Network()
    one, other = pair(network)
    network.wire = lambda _: []
    one.want(other)
    network.run(35.0, until=lambda: one.state(other) is State.E_FAILED)
    before = len(network.carried)
    one.want(other)
    network.run(5.0)
    assert len(network.carried) == before


def test_operator_ends_the_hold_by_closing() -> None:
    network = Network()
    one, other = pair(network)
    network.wire = lambda _: []
    one.want(other)
    network.run(35.0, until=lambda: one.state(other) is State.E_FAILED)
    one.close(other)
    assert one.state(other) is State.UNASSOCIATED
    network.wire = lambda datagram: [datagram]
    exchange(one, other)


def test_peer_may_call_while_our_own_failure_is_held() -> None:
    network = Network()
    one, other = pair(network)
    network.wire = lambda _: []
    one.want(other)
    network.run(35.0, until=lambda: one.state(other) is State.E_FAILED)
    network.wire = lambda datagram: [datagram]
    exchange(other, one)
    assert_joined(one, other)


def test_i2_without_answer_fails_and_leaves_no_sa() -> None:
    network = Network()
    one, other = pair(network)
    network.wire = lambda datagram: [] if datagram.kind is PacketType.I2 else [datagram]
    one.want(other)
    assert network.run(60.0, until=lambda: one.state(other) is State.E_FAILED)
    assert Counter(datagram.kind for datagram in network.carried) == {
        PacketType.I1: 1,
        PacketType.R1: 1,
        PacketType.I2: 6,
    }
    assert not one.sas


def test_lost_r2s_are_sent_again_as_they_were() -> None:
    network = Network()
    one, other = pair(network)
    lost: list[Datagram] = []

    def lose_three(datagram: Datagram) -> list[Datagram]:
        if datagram.kind is PacketType.R2 and len(lost) < 3:
            lost.append(datagram)
            return []
        return [datagram]

    network.wire = lose_three
    one.want(other)
    network.run(5.0)
    assert one.state(other) is State.ESTABLISHED
    assert len({datagram.payload for datagram in network.sent(PacketType.R2)}) == 1
    view = other.view(one)
    assert view is not None
    assert view.retransmissions == 3


def test_exchange_complete_timer_ends_r2_sent() -> None:
    network = Network()
    one, other = pair(network)
    one.want(other)
    network.run(1.0)
    assert other.state(one) is State.R2_SENT
    network.run(30.0)
    assert other.state(one) is State.ESTABLISHED
    assert_joined(one, other)


def test_r1_with_a_larger_counter_is_answered_in_i2_sent() -> None:
    network = Network()
    one, other = pair(network)
    network.wire = lambda datagram: [] if datagram.kind is PacketType.I2 else [datagram]
    one.want(other)
    network.run(0.1)
    assert one.state(other) is State.I2_SENT
    first = one.view(other)
    i1 = network.sent(PacketType.I1)[0]
    network.deliver(i1)  # a late copy: the same counter again
    network.run(0.1)
    assert one.dropped() == {"r1_counter_old": 1}
    other.endpoint.handle_deadline(network.now + 301.0)  # new generation
    other.settle()
    network.wire = lambda datagram: [datagram]
    network.deliver(i1)
    network.run(0.2)
    assert one.state(other) is State.ESTABLISHED
    assert one.send_esp(other)
    assert_joined(one, other)
    second = one.view(other)
    assert first is not None
    assert second is not None
    assert first.spi_in != second.spi_in


def test_jobs_of_a_dead_exchange_change_nothing() -> None:
    network = Network(weather=Weather(job_s=3.0))
    one, other = pair(network)
    network.run(5.0)
    one.want(other)
    network.run(0.5, until=lambda: bool(network.sent(PacketType.R1)))
    one.close(other)
    network.run(20.0)
    assert one.state(other) is State.UNASSOCIATED
    assert not one.sas
    assert not network.sent(PacketType.I2)


def test_a_clock_that_stands_still_is_no_harm() -> None:
    network = Network(weather=Weather(latency_s=0.0))
    one, other = pair(network)
    one.want(other)
    network.run(0.0)
    assert one.state(other) is State.ESTABLISHED
    one.endpoint.handle_deadline(network.now)
    one.endpoint.handle_deadline(network.now)
    assert not one.endpoint.take_effects()


def test_deadlines_are_only_work_for_later() -> None:
    network = Network()
    one, _ = pair(network)
    deadline = one.endpoint.next_deadline()
    assert deadline == pytest.approx(network.now + 300.0)
    one.endpoint.handle_deadline(network.now + 299.0)
    assert not one.endpoint.take_effects()
