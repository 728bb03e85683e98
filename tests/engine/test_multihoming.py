"""Several addresses: failover, dead peers, heartbeats and their numbers."""

from __future__ import annotations

import itertools
from dataclasses import replace
from ipaddress import ip_address

import pytest

from hipgw.proto import (
    Closed,
    EndpointConfig,
    Failed,
    HandedOver,
    HeartbeatView,
    LocatorState,
    State,
)
from hipgw.values import DhGroup, Path
from hipgw.wire import (
    Ack,
    AddressLocator,
    LocatorRecord,
    LocatorSet,
    PacketType,
    Seq,
)
from tests.engine.forge import sealed
from tests.engine.network import Network, Node, Weather, assert_joined, drop_first, parse_packet
from tests.engine.traffic import Traffic

pytestmark = pytest.mark.usefixtures("hip_version")


FAST = EndpointConfig(
    dh_groups=(DhGroup.NIST_P256,), announce_locators=True, heartbeat_s=1.0, update_tries=6
)
FIRST, SECOND = ("192.0.2.1", "198.51.100.1")
PEER, PEER_SECOND = ("192.0.2.2", "198.51.100.2")


def joined(
    config: EndpointConfig = FAST,
    *,
    addresses: tuple[str, ...] = (FIRST, SECOND),
    other_addresses: tuple[str, ...] = (PEER,),
    weather: Weather | None = None,
) -> tuple[Network, Node, Node]:
    network = Network(weather=weather)
    one = network.node(config=config, addresses=addresses)
    other = network.node(config=config, addresses=other_addresses)
    for node in (one, other):
        node.tell_addresses()
    network.run(0.1)
    one.want(other)
    network.run(1.0)
    assert one.send_esp(other)
    network.run(1.0)
    assert (one.state(other), other.state(one)) == (State.ESTABLISHED, State.ESTABLISHED)
    network.watched.append((one, other))
    return network, one, other


def path_of(node: Node, other: Node) -> tuple[str, str]:
    view = node.view(other)
    assert view is not None
    return str(view.path.local), str(view.path.peer)


def beats(node: Node, other: Node) -> HeartbeatView:
    view = node.view(other)
    assert view is not None
    return view.heartbeat


def assert_flows(network: Network, traffic: Traffic) -> None:
    for flow in traffic.flows:
        flow.troubles.clear()
    network.run(1.0)
    for flow in traffic.flows:
        assert flow.lost == 0


def test_uplink_goes_silent() -> None:
    network, one, other = joined()
    traffic = Traffic(network, one, other)
    network.run(1.0)
    network.dead.add(ip_address(FIRST))
    network.run(4.0)
    assert path_of(one, other) == (SECOND, PEER)
    assert path_of(other, one) == (PEER, SECOND)
    assert "failover" in {event.reason for event in one.saw(HandedOver)}
    assert_flows(network, traffic)
    view = other.view(one)
    assert view is not None
    assert {str(entry.address): entry.is_preferred for entry in view.locators} == {
        FIRST: False,
        SECOND: True,
    }
    traffic.stop()
    network.run(1.0)
    assert_joined(one, other)


def test_uplink_of_the_peer_goes_silent() -> None:
    network, one, other = joined(addresses=(FIRST,), other_addresses=(PEER, PEER_SECOND))
    traffic = Traffic(network, one, other)
    network.run(1.0)
    network.dead.add(ip_address(PEER))
    network.run(4.0)
    assert path_of(one, other) == (FIRST, PEER_SECOND)
    assert path_of(other, one) == (PEER_SECOND, FIRST)
    assert_flows(network, traffic)


def test_both_have_two_uplinks_and_one_each_goes_silent() -> None:
    network, one, other = joined(other_addresses=(PEER, PEER_SECOND))
    traffic = Traffic(network, one, other)
    network.run(1.0)
    network.dead |= {ip_address(FIRST), ip_address(PEER_SECOND)}
    network.run(6.0)
    assert path_of(one, other) == (SECOND, PEER)
    assert path_of(other, one) == (PEER, SECOND)
    assert_flows(network, traffic)


def test_better_uplink_is_taken_again_once_it_works() -> None:
    network, one, other = joined(replace(FAST, recheck_s=10.0))
    one.tell_addresses(10, 5)
    traffic = Traffic(network, one, other)
    network.run(1.0)
    network.dead.add(ip_address(FIRST))
    network.run(4.0)
    assert path_of(one, other) == (SECOND, PEER)
    network.run(12.0)
    assert path_of(one, other) == (SECOND, PEER)
    network.dead.clear()
    network.run(12.0)
    assert path_of(one, other) == (FIRST, PEER)
    assert path_of(other, one) == (PEER, FIRST)
    assert_flows(network, traffic)


def test_link_that_goes_down_is_left_at_once() -> None:
    network, one, other = joined(replace(FAST, heartbeat_s=0.0))
    traffic = Traffic(network, one, other, every_s=0.005)
    network.run(0.5)
    network.dead.add(ip_address(FIRST))
    one.endpoint.path_failed(one.path_to(other), network.now, is_certain=True)
    one.settle()
    assert path_of(one, other) == (SECOND, PEER)
    network.run(0.1)
    assert path_of(other, one) == (PEER, SECOND)
    assert_flows(network, traffic)


def test_hint_that_a_path_failed_is_checked_first() -> None:
    network, one, other = joined(replace(FAST, heartbeat_s=0.0))
    one.endpoint.path_failed(one.path_to(other), network.now)
    one.settle()
    network.run(1.0)
    assert path_of(one, other) == (FIRST, PEER), "it works: an ICMP error may be forged"
    network.dead.add(ip_address(FIRST))
    one.endpoint.path_failed(one.path_to(other), network.now)
    one.settle()
    network.run(1.0)
    assert path_of(one, other) == (SECOND, PEER)
    assert path_of(other, one) == (PEER, SECOND)


def test_hint_about_a_path_that_nobody_uses() -> None:
    network, one, _ = joined()
    before = len(network.carried)
    other_path = Path(ip_address("203.0.113.1"), ip_address("203.0.113.2"))
    one.endpoint.path_failed(other_path, network.now, is_certain=True)
    one.settle()
    assert len(network.carried) == before


def test_dead_peer_is_closed_and_new_attempts_back_off() -> None:
    network, one, other = joined(replace(FAST, failed_hold_s=5.0, failed_hold_most_s=40.0))
    traffic = Traffic(network, one, other)
    network.run(1.0)
    network.watched.clear()
    network.dead.add(ip_address(PEER))
    assert network.run(15.0, until=lambda: one.state(other) is State.CLOSING)
    assert not one.sas
    network.run(1.0)
    holds = []
    for _ in range(5):
        one.want(other)
        assert network.run(60.0, until=lambda: one.state(other) is State.E_FAILED)
        failed_s = network.now
        assert network.run(60.0, until=lambda: one.state(other) is State.UNASSOCIATED)
        holds.append(round(network.now - failed_s))
    assert holds == [5, 10, 20, 40, 40]
    assert len(one.saw(Failed)) == 5
    traffic.stop()
    network.dead.clear()
    one.want(other)
    network.run(2.0)
    assert one.send_esp(other)
    network.wire = lambda datagram: [] if datagram.kind is PacketType.I2 else [datagram]
    one.close(other)
    network.run(1.0)
    one.want(other)
    assert network.run(60.0, until=lambda: one.state(other) is State.E_FAILED)
    failed_s = network.now
    assert network.run(60.0, until=lambda: one.state(other) is State.UNASSOCIATED)
    assert round(network.now - failed_s) == 5, "an exchange that succeeded ends the back-off"


def test_closed_says_that_the_peer_is_unreachable() -> None:
    network, one, other = joined(replace(FAST, ual_s=20.0, msl_s=5.0, heartbeat_always=True))
    network.watched.clear()
    network.wire = lambda _: []
    network.run(60.0)
    assert one.saw(Closed) == [Closed(one.hit, other.hit, "unreachable")]
    assert one.state(other) is State.UNASSOCIATED


def test_no_heartbeat_while_the_peer_is_heard_or_nothing_is_sent() -> None:
    network, one, other = joined()
    network.run(20.0)
    assert beats(one, other).sent == 0, "nothing is sent"
    traffic = Traffic(network, one, other)
    network.run(20.0)
    traffic.stop()
    network.run(0.5)
    assert beats(one, other).sent == beats(other, one).sent == 0


def test_heartbeat_of_who_sends_and_hears_nothing() -> None:
    network, one, other = joined()
    traffic = Traffic(network, one, other, both_ways=False)
    network.run(20.0)
    traffic.stop()
    mine = beats(one, other)
    assert 12 <= mine.sent <= 20
    assert mine.received == mine.sent
    assert mine.lost == 0
    assert mine.mean_rtt_s == pytest.approx(0.02, abs=0.005)
    assert beats(other, one).sent == 0
    packets = [parse_packet(one.payload) for one in network.sent(PacketType.UPDATE)[-2:]]
    assert packets[0].get(Seq) is not None
    assert packets[1].get(Ack) is not None


def test_heartbeat_even_in_silence_where_configured() -> None:
    network, one, other = joined(replace(FAST, heartbeat_always=True))
    network.run(20.0)
    assert beats(one, other).sent + beats(other, one).sent >= 15


def test_lost_heartbeats_are_counted() -> None:
    network, one, other = joined(
        replace(FAST, heartbeat_always=True, update_tries=12), addresses=(FIRST,)
    )
    network.weather = Weather(loss=0.2)
    network.run(60.0)
    network.weather = Weather()
    network.run(5.0)
    mine = beats(one, other)
    assert mine.lost > 0
    assert mine.sent == mine.received + mine.lost
    assert one.state(other) is State.ESTABLISHED


def test_retransmissions_follow_the_round_trip_time() -> None:
    for latency_s in (0.05, 0.2):
        network, one, other = joined(replace(FAST, heartbeat_s=0.0), addresses=(FIRST,))
        network.weather = Weather(latency_s=latency_s)
        for _ in range(20):
            one.endpoint.manual_update(other.hit, network.now)
            one.settle()
            network.run(5.0)
        view = one.view(other)
        assert view is not None
        assert view.rtt_s is not None
        assert view.rtt_s == pytest.approx(2 * latency_s, rel=0.3)
        network.wire = lambda _: []
        network.watched.clear()
        since, started_s = len(network.carried), network.now
        times: list[float] = []
        one.endpoint.manual_update(other.hit, network.now)
        one.settle()

        def count(
            network: Network = network, since: int = since, times: list[float] = times
        ) -> bool:
            while len(times) < len(network.carried) - since:
                times.append(network.now)
            return len(times) >= 5

        network.run(60.0, until=count)
        assert times[0] == started_s
        gaps = [b - a for a, b in itertools.pairwise(times)]
        for number, gap in enumerate(gaps):
            expected = 2 * view.rtt_s * 2**number
            assert expected <= gap <= expected * 1.11


def test_answer_to_a_repeated_update_tells_no_round_trip_time() -> None:
    network, one, other = joined(replace(FAST, heartbeat_s=0.0), addresses=(FIRST,))
    view = one.view(other)
    assert view is not None
    before_s = view.rtt_s
    network.wire = drop_first(PacketType.UPDATE)
    one.endpoint.manual_update(other.hit, network.now)
    one.settle()
    network.run(5.0)
    view = one.view(other)
    assert view is not None
    assert view.retransmissions >= 1
    assert view.rtt_s == before_s


def test_no_more_updates_are_outstanding_than_the_window_holds() -> None:
    network, one, other = joined(
        replace(FAST, heartbeat_s=0.0, locators_most=64, verifications_most=64), addresses=(FIRST,)
    )
    since = len(network.carried)
    network.dead |= {ip_address(f"203.0.113.{number}") for number in range(50)}
    locators = [AddressLocator(ip_address(f"203.0.113.{number}")) for number in range(50)]
    records = (LocatorRecord(locator) for locator in (AddressLocator(one.address), *locators))
    other.receive(*sealed(one, other, PacketType.UPDATE, LocatorSet(tuple(records)), Seq(9)))
    ids = {
        packet.require(Seq).update_id
        for datagram in network.carried[since:]
        if (packet := parse_packet(datagram.payload)).get(Seq) is not None
    }
    assert len(ids) == 32
    assert other.endpoint.activity["update_window_full"] >= 1


def test_second_address_is_learned_and_verified_ahead() -> None:
    _, one, other = joined()
    view = other.view(one)
    assert view is not None
    assert {entry.state for entry in view.locators} == {LocatorState.ACTIVE}
    assert {str(entry.address) for entry in view.locators} == {FIRST, SECOND}
    assert one.view(other) is not None


def test_losing_the_unused_address_is_told_and_moves_nothing() -> None:
    network, one, other = joined()
    since = len(network.sent(PacketType.UPDATE))
    one.move(FIRST)
    network.run(1.0)
    assert path_of(one, other) == (FIRST, PEER)
    sent = network.sent(PacketType.UPDATE)[since:]
    records = parse_packet(sent[0].payload).require(LocatorSet).locators
    assert len(records) == 1
    assert not one.saw(HandedOver)
    view = other.view(one)
    assert view is not None
    states = {str(entry.address): entry.state for entry in view.locators}
    assert states == {FIRST: LocatorState.ACTIVE, SECOND: LocatorState.DEPRECATED}


def test_update_of_a_peer_without_any_answer_from_us_is_no_sign_of_life_for_others() -> None:
    _network, one, other = joined()
    payload, path = sealed(one, other, PacketType.UPDATE, Seq(500))
    other.receive(payload, path)
    assert other.dropped()["replayed"] == 1
    assert_joined(one, other)
