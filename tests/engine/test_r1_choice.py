"""Several I1s, several R1s: which is answered, and when (RFC 7401 sections 6.6.1, 6.8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address

import pytest

from hipgw.proto import EndpointConfig
from hipgw.values import DhGroup, Path
from hipgw.wire import HipPacket, PacketType, R1Counter, parse_packet
from tests.engine.forge import resigned_r1, swap
from tests.engine.network import Datagram, Network, Node, assert_joined, identity

FAST = EndpointConfig(dh_groups=(DhGroup.NIST_P256,))
NEAR, FAR = "192.0.2.2", "192.0.2.102"


def two_ways(config: EndpointConfig = FAST) -> tuple[Node, Node, tuple[Path, Path]]:
    """A peer with a near address (1 ms) and a far one (20 ms)."""
    network = Network()
    one = network.node(config=config)
    other = network.node(config=FAST, addresses=[NEAR, FAR])
    paths = Path(one.address, ip_address(NEAR)), Path(one.address, ip_address(FAR))
    return one, other, paths


def delayed(network: Network, seconds: dict[str, float], counters: dict[str, int]) -> None:
    """Each address of the peer has its delay, and may offer R1s of another counter."""

    def wire(datagram: Datagram) -> Sequence[Datagram]:
        ends = {str(datagram.path.local), str(datagram.path.peer)}
        (place,) = ends & {NEAR, FAR}
        if datagram.kind is PacketType.R1 and place in counters:
            signer = network.nodes[1].identities[0]
            datagram = resigned_r1(datagram, signer, swap(R1Counter(counters[place])))
        network.deliver(datagram, seconds[place])
        return []

    network.wire = wire


def i2s(network: Network) -> list[tuple[str, int]]:
    """Where each I2 went, and the R1 counter that it returns."""
    found = []
    for datagram in network.sent(PacketType.I2):
        packet: HipPacket = parse_packet(datagram.payload)
        found.append((str(datagram.path.local), packet.require(R1Counter).counter))
    return found


def test_of_equal_r1s_the_first_is_answered() -> None:
    one, other, paths = two_ways()
    network = one.network
    delayed(network, {NEAR: 0.02, FAR: 0.001}, {})
    one.want(other, *paths)
    network.run(0.2)
    assert i2s(network) == [(FAR, 1)]
    assert one.send_esp(other)
    assert_joined(one, other)


def test_a_larger_counter_that_comes_in_time_is_answered() -> None:
    one, other, paths = two_ways()
    network = one.network
    delayed(network, {NEAR: 0.015, FAR: 0.02}, {FAR: 7})
    one.want(other, *paths)
    network.run(0.06)
    assert i2s(network) == [(FAR, 7)]


def test_a_smaller_counter_is_not() -> None:
    one, other, paths = two_ways()
    network = one.network
    delayed(network, {NEAR: 0.015, FAR: 0.02}, {NEAR: 8, FAR: 7})
    one.want(other, *paths)
    network.run(0.06)
    assert i2s(network) == [(NEAR, 8)]


def test_the_wait_ends_with_the_answer_of_the_last_address() -> None:
    one, other, paths = two_ways()
    network = one.network
    delayed(network, {NEAR: 0.010, FAR: 0.011}, {})
    one.want(other, *paths)
    assert network.run(0.5, lambda: bool(i2s(network)))
    assert network.now == pytest.approx(1000.022)


def test_the_wait_is_two_round_trips_when_an_address_is_silent() -> None:
    one, other, paths = two_ways()
    network = one.network
    delayed(network, {NEAR: 0.010, FAR: 60.0}, {})
    one.want(other, *paths)
    assert network.run(0.5, lambda: bool(i2s(network)))
    assert network.now == pytest.approx(1000.020 + 0.040)


def test_the_wait_has_a_ceiling() -> None:
    one, other, paths = two_ways(replace(FAST, r1_wait_most_s=0.005))
    network = one.network
    delayed(network, {NEAR: 0.010, FAR: 60.0}, {})
    one.want(other, *paths)
    assert network.run(0.5, lambda: bool(i2s(network)))
    assert network.now == pytest.approx(1000.025)


@pytest.mark.parametrize(
    ("config", "count"),
    [(FAST, 1), (replace(FAST, r1_wait_most_s=0.0), 2), (replace(FAST, shotgun=True), 2)],
    ids=["one path", "turned off", "shotgun"],
)
def test_without_reason_nothing_waits(config: EndpointConfig, count: int) -> None:
    one, other, paths = two_ways(config)
    network = one.network
    delayed(network, {NEAR: 0.010, FAR: 60.0}, {})
    one.want(other, *paths[:count])
    assert network.run(0.5, lambda: bool(i2s(network)))
    assert network.now == pytest.approx(1000.020)


def test_after_a_timeout_only_one_address_is_asked_and_nothing_waits() -> None:
    one, other, paths = two_ways()
    network = one.network
    network.dead.update({ip_address(NEAR), ip_address(FAR)})
    one.want(other, *paths)
    network.run(0.45)
    network.dead.clear()
    delayed(network, {NEAR: 0.010, FAR: 0.010}, {})
    assert network.run(0.5, lambda: len(network.sent(PacketType.I1)) == 3)
    began = network.now
    assert network.run(0.5, lambda: bool(i2s(network)))
    assert network.now == pytest.approx(began + 0.020)


def test_a_forged_r1_delays_nothing_and_is_not_chosen() -> None:
    """A liar claims the largest counter from the far address, with a signature of its own."""
    one, other, paths = two_ways()
    network = one.network
    delayed(network, {NEAR: 0.010, FAR: 60.0}, {})
    plain = network.wire

    def wire(datagram: Datagram) -> Sequence[Datagram]:
        if datagram.kind is PacketType.R1:
            liar = identity("ecdsa-p256", 250)
            forged = resigned_r1(datagram, liar, swap(R1Counter(99)))
            network.deliver(replace(forged, path=replace(forged.path, peer=paths[1].peer)), 0.012)
        return plain(datagram)

    network.wire = wire
    one.want(other, *paths)
    assert network.run(0.5, lambda: bool(i2s(network)))
    assert i2s(network) == [(NEAR, 1)]
    assert one.dropped() in ({"signature_wrong": 1}, {"hip_checksum": 1})


def test_closing_while_an_r1_is_held_ends_it() -> None:
    one, other, paths = two_ways()
    network = one.network
    delayed(network, {NEAR: 0.010, FAR: 60.0}, {})
    one.want(other, *paths)
    network.run(0.030)
    assert one.endpoint.activity["r1_held"] == 1
    one.close(other)
    network.run(0.5)
    assert i2s(network) == []
    assert one.endpoint.associations() == []
