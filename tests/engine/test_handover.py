"""Hosts that move: the eight families of handover, both at once, and what may be lost meanwhile."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address

import pytest

from hipgw.proto import (
    EndpointConfig,
    HandedOver,
    LocatorState,
    MoveSa,
    Rekeyed,
    State,
)
from hipgw.values import DhGroup, Direction, Encapsulation, Path
from hipgw.wire import (
    Ack,
    AddressLocator,
    EchoRequestSigned,
    EchoResponseSigned,
    EspInfo,
    HipPacket,
    LocatorRecord,
    LocatorSet,
    PacketType,
    Parameter,
    Seq,
    SpiLocator,
)
from tests.engine.forge import resigned_r1, without
from tests.engine.network import (
    Network,
    Node,
    Weather,
    assert_joined,
    exchange,
    identity,
    parse_packet,
)
from tests.engine.traffic import Traffic

pytestmark = pytest.mark.usefixtures("hip_version")


FAST = EndpointConfig(dh_groups=(DhGroup.NIST_P256,), announce_locators=True)
QUIET = replace(FAST, announce_locators=False)
OLD = {4: "192.0.2.1", 6: "2001:db8::1"}
NEW = {4: "198.51.100.1", 6: "2001:db8:1::1"}
ROUND_TRIP_S = 0.02


def joined(
    config: EndpointConfig = FAST,
    other_config: EndpointConfig | None = None,
    *,
    addresses: Iterable[str] = (OLD[4],),
    other_addresses: Iterable[str] = (),
    seed: int = 1,
    encapsulation: Encapsulation = Encapsulation.RAW,
) -> tuple[Network, Node, Node]:
    network = Network(seed)
    one = network.node(config=config, addresses=tuple(addresses))
    other = network.node(config=other_config or config, addresses=tuple(other_addresses))
    for node in (one, other):
        node.tell_addresses()
    network.run(0.1)
    version = one.address.version
    target = next(address for address in other.addresses if address.version == version)
    ports = (10500, 10500) if encapsulation is Encapsulation.UDP else (0, 0)
    one.want(other, Path(one.address, target, encapsulation, *ports))
    network.run(0.5)
    assert one.state(other) is State.ESTABLISHED
    assert one.send_esp(other)
    network.run(0.5)
    network.watched.append((one, other))
    return network, one, other


def updates(network: Network, since: int = 0) -> list[HipPacket]:
    return [parse_packet(one.payload) for one in network.sent(PacketType.UPDATE)[since:]]


def path_of(node: Node, other: Node) -> tuple[str, str]:
    view = node.view(other)
    assert view is not None
    return str(view.path.local), str(view.path.peer)


def states(node: Node, other: Node) -> dict[str, LocatorState]:
    view = node.view(other)
    assert view is not None
    return {str(one.address): one.state for one in view.locators}


FAMILIES = [(4, 4), (4, 6), (6, 6), (6, 4)]


@pytest.mark.parametrize(("before", "after"), FAMILIES)
def test_hard_handover(before: int, after: int) -> None:
    network, one, other = joined(addresses=(OLD[before],))
    traffic = Traffic(network, one, other, every_s=0.005)
    network.run(1.0)
    assert traffic.there.lost == traffic.back.lost == 0
    moved_s = network.now
    one.move(NEW[after])
    network.run(2.0)
    traffic.stop()
    network.run(0.5)
    assert path_of(one, other)[0] == NEW[after]
    assert path_of(other, one)[1] == NEW[after]
    assert traffic.there.lost == 0, "what we send takes the new address at once"
    gap_s = traffic.back.longest_gap_s(moved_s, moved_s + 1.0)
    assert gap_s <= ROUND_TRIP_S + 0.02
    assert set(traffic.back.troubles) <= {"nobody there", "no way out"}
    assert states(other, one)[OLD[before]] is LocatorState.DEPRECATED
    assert states(other, one)[NEW[after]] is LocatorState.ACTIVE
    assert_joined(one, other)


@pytest.mark.parametrize(("before", "after"), FAMILIES)
def test_soft_handover_loses_nothing(before: int, after: int) -> None:
    network, one, other = joined(addresses=(OLD[before],))
    traffic = Traffic(network, one, other, every_s=0.005)
    network.run(1.0)
    one.move(OLD[before], NEW[after], preferences=(0, 10))
    network.run(1.0)
    assert path_of(one, other)[0] == NEW[after]
    assert path_of(other, one)[1] == NEW[after]
    one.move(NEW[after])
    network.run(1.0)
    traffic.stop()
    network.run(0.5)
    assert traffic.there.lost == traffic.back.lost == 0
    assert states(other, one)[OLD[before]] is LocatorState.DEPRECATED
    assert_joined(one, other)


@pytest.mark.parametrize("encapsulation", list(Encapsulation))
def test_new_uplink_that_does_not_work_takes_no_data(encapsulation: Encapsulation) -> None:
    network, one, other = joined(QUIET, encapsulation=encapsulation)
    network.dead.add(ip_address(NEW[4]))
    traffic = Traffic(network, one, other, every_s=0.005)
    one.move(OLD[4], NEW[4], preferences=(0, 10))
    network.run(20.0)
    assert path_of(one, other)[0] == OLD[4]
    assert path_of(other, one)[1] == OLD[4]
    assert states(other, one)[NEW[4]] is LocatorState.UNVERIFIED
    assert traffic.there.lost == traffic.back.lost == 0
    view = one.view(other)
    assert view is not None
    assert str(view.announced[0]) == OLD[4], "nor is it preferred any more"


def test_handover_is_the_three_way_exchange_of_rfc_8046() -> None:
    network, one, other = joined(QUIET)
    since = len(network.sent(PacketType.UPDATE))
    view = one.view(other)
    assert view is not None
    one.move(NEW[4])
    network.run(1.0)
    first, second, third = updates(network, since)
    (record,) = first.require(LocatorSet).locators
    assert record.locator == SpiLocator(view.spi_in or 0, ip_address(NEW[4]))
    assert record.preferred
    for packet, spi in ((first, view.spi_in), (second, view.spi_out)):
        info = packet.require(EspInfo)
        assert info.old_spi == info.new_spi == spi
    assert second.require(Ack).update_ids == (first.require(Seq).update_id,)
    assert third.require(Ack).update_ids == (second.require(Seq).update_id,)
    assert third.require(EchoResponseSigned).data == second.require(EchoRequestSigned).data
    assert third.get(Seq) is None
    sent = network.sent(PacketType.UPDATE)[since:]
    assert [str(one.path.peer) for one in sent] == [NEW[4], "192.0.2.2", NEW[4]]
    assert str(sent[1].path.local) == NEW[4]


def test_same_keys_and_spis_after_a_handover() -> None:
    network, one, other = joined()
    before = {key: (sa.encryption_key, sa.suite) for key, sa in one.sas.items()}
    since = len(one.log)
    one.move(NEW[4])
    network.run(1.0)
    assert {key: (sa.encryption_key, sa.suite) for key, sa in one.sas.items()} == before
    moved = [effect for effect in one.log[since:] if isinstance(effect, MoveSa)]
    assert {effect.direction for effect in moved} == {Direction.IN, Direction.OUT}
    assert {str(effect.path.local) for effect in moved} == {NEW[4]}
    assert [event.reason for event in one.saw(HandedOver)] == ["address"]
    assert [event.reason for event in other.saw(HandedOver)] == ["peer"]


@pytest.mark.parametrize("with_dh", [False, True])
def test_handover_with_rekey(with_dh: bool) -> None:
    config = replace(QUIET, rekey_on_move=True, rekey_with_dh=with_dh)
    network, one, other = joined(config)
    since = len(network.sent(PacketType.UPDATE))
    traffic = Traffic(network, one, other, every_s=0.005)
    one.move(NEW[4])
    network.run(2.0)
    traffic.stop()
    network.run(0.5)
    assert [event.reason for event in one.saw(Rekeyed)] == ["move"]
    first, second, third = updates(network, since)
    assert first.get(LocatorSet) is not None
    assert first.require(EspInfo).old_spi != first.require(EspInfo).new_spi
    assert second.get(EchoRequestSigned) is not None
    assert third.get(EchoResponseSigned) is not None
    assert traffic.there.lost == 0
    assert set(traffic.back.troubles) <= {"nobody there", "limited"}
    assert states(other, one)[NEW[4]] is LocatorState.ACTIVE
    network.run(200.0)
    assert_joined(one, other)


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("config", [QUIET, replace(QUIET, rekey_on_move=True)])
def test_each_update_of_a_handover_lost_once(config: EndpointConfig, number: int) -> None:
    network, one, other = joined(config)
    traffic = Traffic(network, one, other)
    lost = iter(range(100))
    network.wire = lambda datagram: (
        [] if datagram.kind is PacketType.UPDATE and next(lost) == number else [datagram]
    )
    one.move(NEW[4])
    network.run(2.0)
    assert states(other, one)[NEW[4]] is LocatorState.ACTIVE
    before = traffic.there.lost, traffic.back.lost
    network.run(1.0)
    assert (traffic.there.lost, traffic.back.lost) == before
    traffic.stop()
    network.run(200.0)
    assert_joined(one, other)


@pytest.mark.parametrize("seed", range(24))
def test_a_walk_in_bad_weather(seed: int) -> None:
    config = replace(FAST, rekey_on_move=seed % 3 == 0, rekey_with_dh=seed % 2 == 0)
    network, one, other = joined(config, seed=seed)
    network.weather = Weather(loss=0.2, duplication=0.1, latency_s=0.02, spread_s=0.1)
    traffic = Traffic(network, one, other, every_s=0.05)
    for step in range(6):
        family = 4 if (seed + step) % 2 else 6
        one.move(f"198.51.100.{10 + step}" if family == 4 else f"2001:db8:1::{10 + step}")
        network.run(0.4 if step % 3 else 5.0)
    network.run(30.0)
    for flow in traffic.flows:
        flow.troubles.clear()
    network.run(5.0)
    assert traffic.there.lost == traffic.back.lost == 0
    traffic.stop()
    network.weather = Weather()
    network.run(200.0)
    assert path_of(one, other) == path_of(other, one)[::-1]
    assert_joined(one, other)


def test_both_hosts_move_at_once_with_one_address_left_each() -> None:
    network, one, other = joined(
        addresses=(OLD[4], OLD[6]), other_addresses=("192.0.2.2", "2001:db8::2")
    )
    traffic = Traffic(network, one, other)
    network.run(0.5)
    one.addresses = [ip_address("198.51.100.1"), ip_address(OLD[6])]
    other.addresses = [ip_address("198.51.100.2"), ip_address("2001:db8::2")]
    one.tell_addresses()
    other.tell_addresses()
    network.run(2.0)
    for flow in traffic.flows:
        flow.troubles.clear()
    network.run(1.0)
    assert traffic.there.lost == traffic.back.lost == 0
    assert path_of(one, other) == path_of(other, one)[::-1]
    traffic.stop()
    network.run(1.0)
    assert_joined(one, other)


@pytest.mark.parametrize("after_s", [0.0101, 0.015, 0.0201, 0.025, 0.031])
def test_one_moves_while_the_move_of_the_other_is_being_verified(after_s: float) -> None:
    network, one, other = joined(QUIET)
    one.move(NEW[4])
    network.run(after_s)
    other.move("198.51.100.2")
    network.run(2.0)
    assert path_of(one, other) == (NEW[4], "198.51.100.2")
    assert path_of(other, one) == ("198.51.100.2", NEW[4])
    assert states(one, other)["198.51.100.2"] is LocatorState.ACTIVE
    assert states(other, one)[NEW[4]] is LocatorState.ACTIVE
    assert_joined(one, other)


def test_address_gone_and_back() -> None:
    network, one, other = joined(QUIET)
    traffic = Traffic(network, one, other)
    one.move()
    network.run(20.0)
    assert one.state(other) is State.ESTABLISHED
    assert one.endpoint.activity["stranded"] == 1
    one.move(OLD[4])
    network.run(1.0)
    for flow in traffic.flows:
        flow.troubles.clear()
    network.run(1.0)
    assert traffic.there.lost == traffic.back.lost == 0
    traffic.stop()
    network.run(1.0)
    assert_joined(one, other)


def test_move_while_stranded() -> None:
    network, one, other = joined(QUIET)
    one.move()
    network.run(20.0)
    one.move(NEW[4])
    network.run(1.0)
    assert path_of(other, one)[1] == NEW[4]
    assert_joined(one, other)


def test_stranded_host_looks_ever_more_seldom_until_it_has_an_address() -> None:
    network, one, other = joined(QUIET)
    one.endpoint.manual_update(other.hit, network.now)
    one.move()
    deadlines, end = 0, network.now + 120.0
    while (at := one.endpoint.next_deadline() or end) < end:
        deadlines += 1
        one.endpoint.handle_deadline(at)
        one.settle()
    assert deadlines < 40
    network.now = end
    one.move(NEW[4])
    assert network.run(0.1, until=lambda: path_of(other, one)[1] == NEW[4])


def test_rekey_under_way_when_the_host_moves() -> None:
    for after_s in (0.0, 0.005, 0.011, 0.015, 0.021):
        network, one, other = joined(QUIET)
        traffic = Traffic(network, one, other, every_s=0.005)
        mover, stayer = one, other
        one.endpoint.rekey_association(other.hit, network.now)
        one.settle()
        network.run(after_s)
        mover.move(NEW[4])
        network.run(5.0)
        assert len(one.saw(Rekeyed)) == len(stayer.saw(Rekeyed)) == 1
        for flow in traffic.flows:
            assert "cannot open" not in flow.troubles
            flow.troubles.clear()
        network.run(1.0)
        assert traffic.there.lost == traffic.back.lost == 0
        traffic.stop()
        network.run(200.0)
        assert_joined(one, other)


def test_responder_of_a_rekey_moves_in_the_middle() -> None:
    for after_s in (0.005, 0.011, 0.015, 0.021):
        network, one, other = joined(QUIET)
        other.endpoint.rekey_association(one.hit, network.now)
        other.settle()
        network.run(after_s)
        one.move(NEW[4])
        network.run(5.0)
        assert len(one.saw(Rekeyed)) == len(other.saw(Rekeyed)) == 1
        assert path_of(other, one)[1] == NEW[4]
        network.run(200.0)
        assert_joined(one, other)


def test_host_moves_before_the_base_exchange_is_over() -> None:
    network = Network()
    one = network.node(config=QUIET, addresses=(OLD[4],))
    other = network.node(config=QUIET)
    one.tell_addresses()
    network.wire = lambda datagram: [] if datagram.kind is PacketType.R2 else [datagram]
    one.want(other)
    network.run(0.1)
    assert one.state(other) is State.I2_SENT
    network.wire = lambda datagram: [datagram]
    one.addresses.append(ip_address(NEW[4]))
    one.endpoint.local_addresses_changed([], network.now)
    network.run(1.0)
    assert one.state(other) is State.ESTABLISHED
    one.move(NEW[4])
    network.run(1.0)
    assert path_of(other, one)[1] == NEW[4]
    assert one.send_esp(other)
    assert_joined(one, other)


@pytest.mark.parametrize(
    "address", ["fe80::1", "169.254.1.1", "224.0.0.1", "ff02::1", "127.0.0.1", "::1", "::"]
)
def test_some_addresses_are_never_announced(address: str) -> None:
    network, one, other = joined(QUIET)
    since = len(network.sent(PacketType.UPDATE))
    one.move(OLD[4], address, preferences=(0, 10))
    network.run(1.0)
    assert len(network.sent(PacketType.UPDATE)) == since
    one.move(OLD[4], address, NEW[4])
    network.run(1.0)
    records = updates(network, since)[0].require(LocatorSet).locators
    assert {str(record.locator.address) for record in records} == {OLD[4], NEW[4]}  # type: ignore[union-attr]
    assert path_of(one, other)[0] == OLD[4]


def test_base_exchange_announces_locators_where_configured() -> None:
    for config, announced in ((FAST, True), (QUIET, False)):
        network = Network()
        one = network.node(config=config)
        other = network.node(config=config)
        one.tell_addresses()
        other.tell_addresses()
        network.run(0.1)
        exchange(one, other)
        network.run(1.0)
        for kind in (PacketType.R1, PacketType.I2, PacketType.R2):
            packet = parse_packet(network.sent(kind)[-1].payload)
            assert (packet.get(LocatorSet) is not None) is announced
        expected = {LocatorState.ACTIVE}
        assert set(states(one, other).values()) <= expected
        assert len(states(one, other)) == len(states(other, one)) == (2 if announced else 0)


def test_link_local_address_is_used_and_not_announced() -> None:
    network = Network()
    one = network.node(config=FAST, addresses=("fe80::1",))
    other = network.node(config=FAST, addresses=("fe80::2", "192.0.2.2"))
    one.tell_addresses()
    other.tell_addresses()
    network.run(0.1)
    exchange(one, other)
    network.run(1.0)
    assert parse_packet(network.sent(PacketType.I2)[0].payload).get(LocatorSet) is None
    (record,) = parse_packet(network.sent(PacketType.R2)[0].payload).require(LocatorSet).locators
    assert record.locator.address == ip_address("192.0.2.2")  # type: ignore[union-attr]
    assert path_of(one, other) == ("fe80::1", "fe80::2")
    one.tell_addresses()
    network.run(1.0)
    assert_joined(one, other)


@pytest.mark.parametrize("second", ["198.51.100.2", "2001:db8:1::2"])
@pytest.mark.parametrize("is_preferred", [True, False])
def test_locators_of_the_r1(second: str, is_preferred: bool) -> None:
    """A preferred one is where the I2 goes; others are verified after the base exchange."""
    network = Network()
    one = network.node(config=QUIET)
    config = FAST if is_preferred else QUIET  # who announces ties no puzzle to addresses
    other = network.node(config=config, addresses=("192.0.2.2", second))
    one.tell_addresses()
    network.run(0.1)
    record = LocatorRecord(AddressLocator(ip_address(second)), 100, 0, preferred=is_preferred)

    def list_it(parameters: tuple[Parameter, ...]) -> list[Parameter]:
        everything = [*without(LocatorSet)(parameters), LocatorSet((record,))]
        return sorted(everything, key=lambda parameter: parameter.wire_type)

    network.wire = lambda datagram: (
        [resigned_r1(datagram, other.identities[0], list_it)]
        if datagram.kind is PacketType.R1
        else [datagram]
    )
    one.want(other)
    network.run(1.0)
    i2 = network.sent(PacketType.I2)[0]
    assert str(i2.path.local) == (second if is_preferred else "192.0.2.2")
    assert one.state(other) is State.ESTABLISHED
    assert states(one, other)[second] is LocatorState.ACTIVE
    assert path_of(one, other)[1] == str(i2.path.local)
    assert one.send_esp(other)
    assert_joined(one, other)


def test_large_keys_leave_room_for_locators() -> None:
    config = EndpointConfig(announce_locators=True, dh_groups=(DhGroup.MODP_3072,))
    network = Network()
    keys = identity("rsa-4096", 0), identity("rsa-3072", 0)
    one, other = (network.node(key, config=config) for key in keys)
    for node, number in ((one, 1), (other, 2)):
        node.move(*(f"192.0.2.{10 * k + number}" for k in range(12)))
    network.run(0.1)
    exchange(one, other)


def test_nothing_is_announced_twice() -> None:
    network, one, _other = joined(QUIET)
    one.move(NEW[4])
    network.run(1.0)
    since = len(network.sent(PacketType.UPDATE))
    for _ in range(5):
        one.tell_addresses()
        network.run(0.5)
    assert len(network.sent(PacketType.UPDATE)) == since


def test_operator_runs_the_update_by_hand() -> None:
    network, one, other = joined(QUIET)
    since = len(network.sent(PacketType.UPDATE))
    assert one.endpoint.manual_update(other.hit, network.now) == 1
    one.settle()
    network.run(1.0)
    assert updates(network, since)[0].get(LocatorSet) is not None
    assert one.endpoint.manual_update(None, network.now) == 1
    assert one.endpoint.manual_update(one.hit, network.now) == 0
    one.settle()
    network.run(1.0)
    assert one.endpoint.manual_update(None, network.now, with_rekey=True) == 1
    one.settle()
    network.run(1.0)
    assert len(one.saw(Rekeyed)) == 1
    network.run(200.0)
    assert_joined(one, other)


def test_locators_with_a_lifetime_are_renewed() -> None:
    network, one, other = joined(replace(QUIET, locator_lifetime_s=60, ual_s=0.0))
    one.move(NEW[4])
    network.run(500.0)
    assert states(other, one)[NEW[4]] is LocatorState.ACTIVE
    network.watched.clear()
    network.wire = lambda _: []
    network.run(61.0)
    assert states(other, one)[NEW[4]] is LocatorState.DEPRECATED


def test_locators_that_cannot_be_renewed_for_a_while() -> None:
    patient = replace(QUIET, ual_s=0.0)
    network, one, other = joined(replace(patient, locator_lifetime_s=60), patient)
    one.move(NEW[4])
    network.run(10.0)
    one.move()
    network.run(100.0)  # the time to renew passes, with nowhere to send from
    one.move(NEW[4])
    network.run(10.0)
    assert states(other, one)[NEW[4]] is LocatorState.ACTIVE
    assert_joined(one, other)


def test_interfamily_handover_to_an_address_that_only_we_know_of() -> None:
    """The peer announces nothing; our own configuration names its other address."""
    network = Network()
    one = network.node(config=QUIET, addresses=(OLD[4],))
    other = network.node(config=QUIET)
    one.tell_addresses()
    one.endpoint.want_association(
        other.hit,
        [
            one.path_to(other),
            Path(ip_address(OLD[6]), ip_address("2001:db8::2")),
        ],
        network.now,
    )
    one.settle()
    network.run(0.5)
    assert one.send_esp(other)
    traffic = Traffic(network, one, other)
    network.run(1.0)
    one.move(NEW[6])
    network.run(2.0)
    assert path_of(one, other) == (NEW[6], "2001:db8::2")
    assert states(one, other)["2001:db8::2"] is LocatorState.ACTIVE
    before = traffic.there.lost, traffic.back.lost
    network.run(1.0)
    assert (traffic.there.lost, traffic.back.lost) == before
    traffic.stop()
    network.run(1.0)
    assert_joined(one, other)
