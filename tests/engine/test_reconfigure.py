"""Another configuration for a running endpoint: what was derived from the old one follows."""

from __future__ import annotations

from dataclasses import replace

from hipgw.proto import Closed, EndpointConfig, Failed, State
from hipgw.proto.core import TimerKind
from hipgw.values import DhGroup, EspSuite, Hit, HitSuite
from hipgw.wire import DhGroupList, DiffieHellman, LocatorSet, PacketType, Puzzle, parse_packet
from tests.engine.forge import bare
from tests.engine.network import Network, Node, Weather, assert_joined, exchange

FAST = EndpointConfig(dh_groups=(DhGroup.NIST_P256,), rekey_s=0.0)


def pair(config: EndpointConfig = FAST) -> tuple[Network, Node, Node]:
    network = Network()
    return network, network.node(config=config), network.node(config=config)


def reconfigure(node: Node, **keys: object) -> frozenset[str]:
    config = replace(node.endpoint.config, **keys)  # type: ignore[arg-type]
    changed = node.endpoint.reconfigure(config, node.network.now)
    node.settle()
    return changed


def has_timer(node: Node, kind: TimerKind) -> bool:
    (association,) = node.endpoint._core.associations.values()
    return (association, kind) in node.endpoint._core.timers


def test_the_same_configuration_does_nothing() -> None:
    _, one, _ = pair()
    before = one.endpoint.activity["r1_generations"]
    assert reconfigure(one) == frozenset()
    assert reconfigure(one, r1_counter=99) == frozenset()
    assert one.endpoint.activity["r1_generations"] == before


def test_associations_stand_and_r1s_are_made_anew() -> None:
    network, one, other = pair()
    exchange(one, other)
    third = network.node(config=FAST)
    changed = reconfigure(other, puzzle_k=5, esp_suites=(EspSuite.AES_128_CBC_HMAC_SHA256,))
    assert changed == {"puzzle_k", "esp_suites"}
    assert_joined(one, other)
    exchange(third, other)
    r1 = parse_packet(network.sent(PacketType.R1)[-1].payload)
    assert r1.require(Puzzle).k == 5 == other.endpoint.puzzle_k
    view = third.view(other)
    assert view is not None
    assert view.esp_suite is EspSuite.AES_128_CBC_HMAC_SHA256
    assert other.endpoint.activity["r1_generations"] == 2, "one generation for both"


def test_the_r1_counter_goes_on() -> None:
    _, one, _ = pair()
    before = one.stored_r1_counter
    reconfigure(one, hit_suites=(HitSuite.ECDSA_SHA384,))
    assert one.stored_r1_counter == before + 1


def test_an_i2_to_an_r1_from_before_is_taken() -> None:
    network, one, other = pair()
    one.want(other)
    network.run(0.015)  # the R1 is under way
    reconfigure(other, puzzle_k=3)
    network.run(1.0)
    assert one.send_esp(other)
    assert_joined(one, other)
    assert len(network.sent(PacketType.I1)) == 1


def test_groups_of_an_i1_under_way_follow() -> None:
    network, one, other = pair(replace(FAST, dh_groups=(DhGroup.NIST_P384,)))
    network.dead.add(other.address)
    one.want(other)
    reconfigure(one, dh_groups=(DhGroup.NIST_P256,))
    reconfigure(other, dh_groups=(DhGroup.NIST_P256,))
    network.dead.clear()
    network.run(3.0)
    i1 = parse_packet(network.sent(PacketType.I1)[-1].payload)
    assert i1.require(DhGroupList).groups == (DhGroup.NIST_P256,)
    r1 = parse_packet(network.sent(PacketType.R1)[-1].payload)
    assert r1.require(DiffieHellman).group == DhGroup.NIST_P256
    assert one.state(other) is State.ESTABLISHED


def test_peers_that_policy_refuses_now_are_closed_and_others_are_not() -> None:
    network, one, other = pair()
    third = network.node(config=FAST)
    exchange(one, other)
    exchange(third, other)

    def all_but_one(peer: Hit) -> bool:
        return peer != one.hit

    reconfigure(other, permits=all_but_one)
    network.run(1.0)
    assert other.saw(Closed) == [Closed(other.hit, one.hit, "policy")]
    assert one.state(other) is State.CLOSED
    assert_joined(third, other)
    other.want(one)
    assert other.saw(Failed)[-1] == Failed(other.hit, one.hit, "policy")


def test_policy_ends_an_exchange_under_way() -> None:
    network, one, other = pair()
    network.dead.add(other.address)
    one.want(other)
    reconfigure(one, permits=lambda peer: peer != other.hit)
    assert one.saw(Failed) == [Failed(one.hit, other.hit, "policy")]
    assert one.state(other) is State.UNASSOCIATED


def test_heartbeat_begins_and_ends_on_associations_that_stand() -> None:
    network, one, other = pair()
    exchange(one, other)
    network.run(100.0)
    assert not network.sent(PacketType.UPDATE)
    reconfigure(one, heartbeat_s=2.0, heartbeat_always=True)
    network.run(5.0)
    view = one.view(other)
    assert view is not None
    assert view.heartbeat.received >= 1
    reconfigure(one, heartbeat_s=0.0)
    sent = len(network.sent(PacketType.UPDATE))
    network.run(60.0)
    assert len(network.sent(PacketType.UPDATE)) == sent
    assert not has_timer(one, TimerKind.HEARTBEAT)


def test_rekey_time_counts_from_when_the_keys_began() -> None:
    network, one, other = pair()
    exchange(one, other)
    network.run(50.0)
    assert not has_timer(one, TimerKind.REKEY)
    reconfigure(one, rekey_s=60.0)
    network.run(20.0)
    view = one.view(other)
    assert view is not None
    assert view.rekeys == 1
    assert one.send_esp(other)
    reconfigure(one, rekey_s=0.0)
    assert not has_timer(one, TimerKind.REKEY)


def test_idle_time_follows_both_ways() -> None:
    network, one, other = pair(replace(FAST, ual_s=0.0))
    exchange(one, other)
    network.run(3600.0)
    assert one.state(other) is State.ESTABLISHED
    reconfigure(one, ual_s=7200.0)
    network.run(3500.0)
    assert one.state(other) is State.ESTABLISHED
    network.run(200.0)
    assert one.saw(Closed) == [Closed(one.hit, other.hit, "idle")]


def test_locators_are_told_at_once_when_they_are_announced() -> None:
    network, one, other = pair()
    one.move("192.0.2.1", "192.0.2.101")
    exchange(one, other)
    assert not any(
        parse_packet(sent.payload).get(LocatorSet) for sent in network.sent(PacketType.UPDATE)
    )
    reconfigure(one, announce_locators=True)
    network.run(1.0)
    (told,) = [
        found
        for sent in network.sent(PacketType.UPDATE)
        if (found := parse_packet(sent.payload).get(LocatorSet)) is not None
    ]
    assert len(told.locators) == 2
    third = network.node(config=FAST)
    exchange(third, one)
    r1 = parse_packet(network.sent(PacketType.R1)[-1].payload)
    assert r1.get(LocatorSet) is not None


def test_shotgun_from_the_next_i1_on() -> None:
    network, one, other = pair()
    two_ways = [one.path_to(other), replace(one.path_to(other), peer=other.addresses[0])]
    reconfigure(one, shotgun=True)
    one.want(other, *two_ways)
    network.run(0.005)
    assert len(network.sent(PacketType.I1)) == 1, "the second copy is paced"


def test_limits_follow_and_what_was_used_up_stays_so() -> None:
    network, one, other = pair()
    path = other.path_to(one)

    def flood(count: int) -> int:
        before = len(network.sent(PacketType.R1))
        for _ in range(count):
            other.receive(bare(PacketType.I1, one.hit, other.hit, path, DhGroupList((7,))), path)
        return len(network.sent(PacketType.R1)) - before

    assert flood(100) == 40
    reconfigure(other, r1_source_rate=1.0, r1_source_burst=3.0)
    assert flood(100) == 0
    network.run(60.0)
    assert flood(100) == 3
    third = network.node(config=FAST)
    path = other.path_to(third)
    assert flood(100) == 3


def test_a_lower_ceiling_lets_nobody_new_in() -> None:
    network, one, other = pair()
    exchange(one, other)
    reconfigure(other, associations_most=1)
    third = network.node(config=FAST)
    third.want(other)
    network.run(0.2)
    assert other.dropped()["busy"] >= 1
    assert_joined(one, other)


def test_in_bad_weather_with_many_changes_an_exchange_still_comes_about() -> None:
    network = Network(seed=5, weather=Weather(loss=0.2, job_s=0.05))
    one, other = network.node(config=FAST), network.node(config=FAST)
    network.run(1.0)
    one.want(other)
    for k in range(12):
        reconfigure(other, puzzle_k=k % 3)
        network.run(0.4)
    network.run(40.0)
    assert one.state(other) is State.ESTABLISHED
