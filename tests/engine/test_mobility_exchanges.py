"""UPDATEs by hand, preferences that change, and addresses that are told to be over."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from hipgw.proto import EndpointConfig, HandedOver, LocatorState, State
from hipgw.values import DhGroup
from hipgw.wire import (
    Ack,
    EchoRequestSigned,
    EchoResponseSigned,
    HipPacket,
    LocatorSet,
    PacketType,
    Seq,
)
from tests.engine.network import Network, Node, assert_joined, parse_packet
from tests.engine.traffic import Traffic

pytestmark = pytest.mark.usefixtures("hip_version")

FAST = EndpointConfig(dh_groups=(DhGroup.NIST_P256,), announce_locators=True)
V4, V6 = ("192.0.2.2", "198.51.100.2"), ("2001:db8::2", "2001:db8:1::2")


def joined(*theirs: str, config: EndpointConfig = FAST) -> tuple[Network, Node, Node]:
    """`one` has an address of each family, `other` has `theirs`."""
    network = Network()
    one = network.node(config=config, addresses=("192.0.2.1", "2001:db8::1"))
    other = network.node(config=config, addresses=theirs)
    for node in (one, other):
        node.tell_addresses()
    network.run(0.1)
    one.want(other)
    network.run(0.5)
    assert one.send_esp(other)
    network.run(1.0)
    return network, one, other


def updates(network: Network, since: int) -> list[HipPacket]:
    return [parse_packet(each.payload) for each in network.sent(PacketType.UPDATE)[since:]]


def locators(node: Node, other: Node) -> dict[str, LocatorState]:
    view = node.view(other)
    assert view is not None
    return {str(each.address): each.state for each in view.locators}


def target(node: Node, other: Node) -> str:
    view = node.view(other)
    assert view is not None
    return str(view.path.peer)


def test_an_update_by_hand_has_three_packets() -> None:
    network, one, other = joined(*V4[:1])
    since = len(network.sent(PacketType.UPDATE))
    assert one.endpoint.manual_update(other.hit, network.now) == 1
    one.settle()
    network.run(1.0)
    first, second, third = updates(network, since)
    assert first.get(LocatorSet) is not None
    assert first.get(EchoRequestSigned) is None
    assert second.require(Ack).update_ids == (first.require(Seq).update_id,)
    assert third.require(Ack).update_ids == (second.require(Seq).update_id,)
    assert third.require(EchoResponseSigned).data == second.require(EchoRequestSigned).data
    assert third.get(Seq) is None
    assert_joined(one, other)


def test_an_address_that_does_not_echo_by_hand_stays_active_and_is_probed() -> None:
    network, one, other = joined(*V4[:1])
    network.wire = lambda datagram: (
        []
        if datagram.kind is PacketType.UPDATE
        and datagram.source == "n2"
        and parse_packet(datagram.payload).get(EchoRequestSigned) is not None
        else [datagram]
    )
    one.endpoint.manual_update(other.hit, network.now)
    one.settle()
    network.run(20.0)
    assert other.state(one) is State.ESTABLISHED
    assert locators(other, one)["192.0.2.1"] is LocatorState.ACTIVE


@pytest.mark.parametrize("places", [V4, V6, (V4[0], V6[0]), (V6[0], V4[0])])
def test_the_peer_prefers_another_address_and_gets_the_data_there(places: tuple[str, ...]) -> None:
    network, one, other = joined(*places)
    assert target(one, other) == places[0]
    traffic = Traffic(network, one, other)
    for preferred in (1, 0, 1):
        other.tell_addresses(*(10 if number == preferred else 0 for number in range(2)))
        network.run(1.0)
        assert target(one, other) == places[preferred]
        assert set(locators(one, other).values()) == {LocatorState.ACTIVE}
    assert traffic.there.lost == traffic.back.lost == 0
    traffic.stop()
    network.run(1.0)
    assert len(one.saw(HandedOver)) == 3
    assert_joined(one, other)


def test_an_address_that_is_over_is_deprecated_and_verified_when_it_is_back() -> None:
    network, one, other = joined(*V4)
    assert set(locators(one, other).values()) == {LocatorState.ACTIVE}
    other.move(V4[0])
    network.run(0.5)
    assert locators(one, other) == {V4[0]: LocatorState.ACTIVE, V4[1]: LocatorState.DEPRECATED}
    network.dead.add(ip_address(V4[1]))
    other.move(*V4)
    network.run(0.5)
    assert locators(one, other)[V4[1]] is LocatorState.UNVERIFIED, "never ACTIVE at once"
    network.dead.clear()
    network.run(5.0)
    assert locators(one, other)[V4[1]] is LocatorState.ACTIVE


@pytest.mark.parametrize("config", [FAST, replace(FAST, shotgun=True)])
def test_both_move_to_the_other_family_at_once(config: EndpointConfig) -> None:
    network, one, other = joined(V4[0], V6[0], config=config)
    traffic = Traffic(network, one, other)
    network.run(0.5)
    one.move("2001:db8::1")
    other.move(V6[0])
    network.run(2.0)
    assert (target(one, other), target(other, one)) == (V6[0], "2001:db8::1")
    for flow in traffic.flows:
        flow.troubles.clear()
    network.run(1.0)
    assert traffic.there.lost == traffic.back.lost == 0
    traffic.stop()
    network.run(1.0)
    assert_joined(one, other)
