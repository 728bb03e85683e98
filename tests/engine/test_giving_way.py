"""Strangers give way: half-open exchanges and associations that nobody has proven, fairly."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from hipgw.proto import AbandonJob, Closed, EndpointConfig, State
from hipgw.proto.association import Association
from hipgw.proto.dialect_v2 import DialectV2
from hipgw.proto.events import Role
from hipgw.proto.local_identity import LocalIdentity
from hipgw.proto.unproven import Unproven
from hipgw.values import DhGroup, Hit, NotifyType, Path
from tests.engine.hostile import notified
from tests.engine.network import Network, Node, assert_joined, exchange, identity

pytestmark = pytest.mark.usefixtures("hip_version")

FAST = EndpointConfig(dh_groups=(DhGroup.NIST_P256,), rekey_s=0.0)
FEW = replace(FAST, half_open_most=3, reply_source_burst=50.0)


def crowd(network: Network, place: str, count: int) -> list[Node]:
    """Hosts behind one address."""
    return [network.node(config=FAST, addresses=[place]) for _ in range(count)]


def begin(network: Network, nodes: list[Node], other: Node) -> None:
    """I2s of all of them arrive; their answers reach whoever asked."""
    real, by_hit = network.node_at, {node.hit: node for node in nodes}
    for node in nodes:
        network.node_at = lambda address, n=node: (  # type: ignore[method-assign,misc]
            n if address in n.addresses else real(address)
        )
        node.want(other)
        network.run(0.1)
    assert by_hit
    network.node_at = real  # type: ignore[method-assign]


def test_the_source_that_holds_most_slots_gives_way_to_another() -> None:
    network = Network()
    other = network.node(config=FEW)
    greedy = crowd(network, "198.51.100.7", 3)
    network.hold_jobs(other)
    begin(network, greedy, other)
    assert len(other.endpoint._parts.reception._responder._slots) == 3
    modest = network.node(config=FAST)
    modest.want(other)
    network.run(0.1)
    assert other.endpoint.activity["half_open_evicted"] == 1
    assert len([one for one in other.log if isinstance(one, AbandonJob)]) == 1
    del network.held_jobs[other.name][:1]  # the job of the evicted one
    while any(
        type(effect.job).__name__ == "AcceptI2" for effect, _ in network.held_jobs[other.name]
    ):
        network.finish_job(other, "AcceptI2")
    network.run(0.1)
    assert modest.state(other) is State.ESTABLISHED


def test_the_one_that_gave_way_is_told_to_try_again_and_does() -> None:
    network = Network()
    other = network.node(config=FEW)
    greedy = crowd(network, "198.51.100.7", 3)
    network.hold_jobs(other)
    begin(network, greedy, other)
    loser = greedy[0]
    modest = network.node(config=FAST)
    modest.want(other)
    network.run(0.05)
    for node in greedy[1:]:
        node.addresses = []
    while network.held_jobs[other.name]:
        effect, result = network.held_jobs[other.name].pop(0)
        other.endpoint.job_done(effect.job_id, result, network.now)
        other.settle()
    del network.held_jobs[other.name]
    network.run(0.1)
    assert NotifyType.RESPONDER_BUSY_PLEASE_RETRY in notified(loser)
    network.run(10.0)
    assert loser.state(other) is State.ESTABLISHED


def test_nobody_gives_way_when_that_would_not_be_fairer() -> None:
    network = Network()
    other = network.node(config=FEW)
    network.hold_jobs(other)
    for _ in range(4):
        network.node(config=FAST).want(other)
        network.run(0.1)
    assert other.dropped() == {"busy": 1}
    assert "half_open_evicted" not in other.endpoint.activity


def test_unproven_associations_give_way_at_the_ceiling_and_proven_ones_do_not() -> None:
    network = Network()
    other = network.node(config=replace(FAST, associations_most=3, unproven_least_s=1.0))
    friend = network.node(config=FAST)
    exchange(friend, other)
    strangers = [network.node(config=FAST) for _ in range(2)]
    for stranger in strangers:
        stranger.want(other)
        network.run(0.5)
    assert all(other.state(stranger) is State.R2_SENT for stranger in strangers)
    late = network.node(config=FAST)
    late.want(other)
    network.run(0.2)
    assert late.state(other) is State.ESTABLISHED
    assert other.saw(Closed) == [Closed(other.hit, strangers[0].hit, "evicted")]
    assert_joined(friend, other)
    assert len(other.endpoint.table) == 3


def test_the_exchange_complete_timer_proves_nothing() -> None:
    network = Network()
    other = network.node(config=replace(FAST, associations_most=1))
    stranger, late = network.node(config=FAST), network.node(config=FAST)
    stranger.want(other)
    network.run(60.0)
    assert other.state(stranger) is State.ESTABLISHED
    late.want(other)
    network.run(1.0)
    assert other.state(stranger) is State.UNASSOCIATED
    assert late.state(other) is State.ESTABLISHED


def test_young_ones_do_not_give_way() -> None:
    network = Network()
    other = network.node(config=replace(FAST, associations_most=1, unproven_least_s=100.0))
    stranger, late = network.node(config=FAST), network.node(config=FAST)
    stranger.want(other)
    network.run(1.0)
    late.want(other)
    network.run(1.0)
    assert other.state(stranger) is State.R2_SENT
    assert other.dropped()["busy"] >= 1


def test_the_unproven_have_a_ceiling_of_their_own() -> None:
    network = Network()
    other = network.node(config=replace(FAST, unproven_most=2, unproven_least_s=0.0))
    strangers = [network.node(config=FAST) for _ in range(5)]
    for stranger in strangers:
        stranger.want(other)
        network.run(0.2)
    assert [other.state(stranger) for stranger in strangers[:3]] == [State.UNASSOCIATED] * 3
    assert [other.state(stranger) for stranger in strangers[3:]] == [State.R2_SENT] * 2
    assert other.endpoint.activity["unproven_evicted"] == 3


def association(number: int, address: str) -> Association:
    peer = Hit(bytes.fromhex("20010022") + number.to_bytes(12, "big"))
    path = Path(ip_address("192.0.2.1"), ip_address(address))
    return Association(
        LocalIdentity.of(identity(), 2), peer, DialectV2(), path, Role.RESPONDER, 0.0, 0.0
    )


def test_the_oldest_of_the_fullest_source_gives_way() -> None:
    table = Unproven()
    modest = association(0, "192.0.2.9")
    table.add(modest, 0.0)
    greedy = [association(n, "198.51.100.1") for n in range(1, 6)]
    for number, one in enumerate(greedy):
        table.add(one, float(number))
    evicted = []
    for _ in range(4):
        one = table.oldest_of_fullest(10.0, 1.0)
        assert one is not None
        evicted.append(one)
        table.forget(one)
    assert evicted == greedy[:4]
    assert len(table) == 2
    table.forget(modest)
    table.forget(modest)
    assert table.oldest_of_fullest(4.5, 1.0) is None
    assert table.oldest_of_fullest(5.0, 1.0) is greedy[4]
    table.forget(greedy[4])
    assert table.oldest_of_fullest(99.0, 0.0) is None
    assert len(table) == 0


def test_the_table_of_the_unproven_stays_as_large_as_they_are_many() -> None:
    table = Unproven()
    everyone = [association(n, f"10.0.{n // 256}.{n % 256}") for n in range(300)]
    for _ in range(30):
        for one in everyone:
            table.add(one, 0.0)
    assert len(table) == 300
    assert len(table._heap) <= 64 + 2 * 300 + 1
