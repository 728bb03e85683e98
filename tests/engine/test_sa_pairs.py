"""Further pairs of security associations, their addresses and their end (RFC 8047 section 5.1)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from itertools import count

import pytest

from hipgw.proto import EndpointConfig, InstallSa, LocatorState, State
from hipgw.values import DhGroup, Direction, Spi
from hipgw.wire import (
    Ack,
    DhPublicValue,
    DiffieHellman,
    DiffieHellmanV1,
    EspInfo,
    HipPacket,
    LocatorSet,
    PacketType,
    Parameter,
    Seq,
    SpiLocator,
)
from tests.engine.forge import sealed
from tests.engine.network import Datagram, Network, Node, Weather, assert_joined, parse_packet
from tests.engine.traffic import Traffic

pytestmark = pytest.mark.usefixtures("hip_version")

WITH_DH = DiffieHellman(7, bytes(64))

FIRST, SECOND, THIRD = "192.0.2.1", "198.51.100.1", "203.0.113.1"
FAST = EndpointConfig(
    dh_groups=(DhGroup.NIST_P256,), announce_locators=True, rekey_s=0.0, sa_pair_idle_s=30.0
)


def joined(
    config: EndpointConfig = FAST, weather: Weather | None = None
) -> tuple[Network, Node, Node]:
    network = Network(weather=weather)
    one = network.node(config=config, addresses=(FIRST, SECOND))
    other = network.node(config=config, addresses=("192.0.2.2",))
    one.tell_addresses(10, 0)
    other.tell_addresses()
    network.run(0.1)
    one.want(other)
    network.run(1.0)
    assert one.send_esp(other)
    network.run(1.0)
    network.watched.append((one, other))
    return network, one, other


def open_pair(one: Node, other: Node, address: str = SECOND) -> bool:
    is_open = one.endpoint.open_sa_pair(other.hit, ip_address(address), one.network.now)
    one.settle()
    return is_open


def update(one: Node, other: Node, *parameters: Parameter) -> None:
    other.receive(*sealed(one, other, PacketType.UPDATE, *parameters))


def updates(network: Network, since: int) -> list[HipPacket]:
    return [parse_packet(each.payload) for each in network.sent(PacketType.UPDATE)[since:]]


def spis(node: Node, direction: Direction = Direction.IN) -> set[int]:
    return {spi for way, spi, _ in node.sas if way is direction}


def in_use(node: Node, peer: Node) -> tuple[int, int]:
    view = node.view(peer)
    assert view is not None
    assert view.spi_in is not None
    assert view.spi_out is not None
    return view.spi_in, view.spi_out


def move_to_second(one: Node) -> None:
    one.tell_addresses(0, 10)


def test_a_pair_is_asked_for_and_bound_to_an_address() -> None:
    network, one, other = joined()
    since, (old_in, old_out) = len(network.sent(PacketType.UPDATE)), in_use(one, other)
    assert open_pair(one, other)
    network.run(1.0)
    first, second, third, *_ = updates(network, since)
    info = first.require(EspInfo)
    assert (info.old_spi, info.keymat_index > 0) == (0, True)
    assert [record.locator for record in first.require(LocatorSet).locators] == [
        SpiLocator(old_in, ip_address(FIRST)),
        SpiLocator(info.new_spi, ip_address(SECOND)),
    ]
    answer = second.require(EspInfo)
    assert (answer.old_spi, answer.keymat_index) == (0, info.keymat_index)
    assert second.require(Ack).update_ids == (first.require(Seq).update_id,)
    assert second.require(Seq).update_id in third.require(Ack).update_ids
    assert spis(one) == {old_in, info.new_spi}
    assert spis(other) == {old_out, answer.new_spi}
    assert in_use(one, other) == (old_in, old_out), "nothing has moved yet"
    assert one.endpoint.activity["sa_pair_opened"] == 1


def test_keys_of_both_pairs_differ_and_agree_on_both_sides() -> None:
    network, one, other = joined()
    assert open_pair(one, other)
    network.run(1.0)
    keys = [
        effect.sa.encryption_key
        for node in (one, other)
        for effect in node.log
        if isinstance(effect, InstallSa) and effect.sa.direction is Direction.IN
    ]
    assert len(set(keys)) == len(keys) == 4


def test_the_pair_takes_over_with_its_address_and_the_peer_follows() -> None:
    network, one, other = joined()
    traffic = Traffic(network, one, other)
    network.run(0.5)
    assert open_pair(one, other)
    network.run(1.0)
    before, since = in_use(one, other), len(network.sent(PacketType.UPDATE))
    move_to_second(one)
    network.run(2.0)
    after = in_use(one, other)
    assert not set(before) & set(after)
    assert in_use(other, one) == after[::-1]
    assert traffic.there.lost == traffic.back.lost == 0
    assert before[0] in spis(one), "what is under way to the pair before is still received"
    told = [packet.get(LocatorSet) for packet in updates(network, since)]
    bound = {record.locator for listing in told if listing for record in listing.locators}
    assert SpiLocator(after[0], ip_address(SECOND)) in bound
    traffic.stop()


def test_what_is_unused_is_ended_on_both_sides() -> None:
    network, one, other = joined()
    traffic = Traffic(network, one, other)
    assert open_pair(one, other)
    network.run(1.0)
    move_to_second(one)
    network.run(2.0)
    assert (len(spis(one)), len(spis(other))) == (2, 2)
    network.run(60.0)
    assert (len(spis(one)), len(spis(other))) == (1, 1)
    assert traffic.there.lost == traffic.back.lost == 0
    traffic.stop()
    network.run(1.0)
    assert_joined(one, other)


def test_a_pair_that_nobody_takes_is_ended() -> None:
    network, one, other = joined()
    traffic = Traffic(network, one, other)
    assert open_pair(one, other)
    network.run(60.0)
    traffic.stop()
    network.run(1.0)
    assert_joined(one, other)
    assert one.endpoint.open_sa_pair(other.hit, ip_address(SECOND), network.now), "and again"


def _lone_request(network: Network, one: Node, other: Node) -> None:
    """A pair is asked for, and nobody ever answers."""
    network.wire = lambda datagram: [] if datagram.kind is PacketType.UPDATE else [datagram]
    assert open_pair(one, other, THIRD)


def test_a_request_without_answer_does_not_keep_unused_pairs_alive() -> None:
    config = replace(FAST, update_tries=50)
    network = Network()
    one = network.node(config=config, addresses=(FIRST, SECOND, THIRD))
    other = network.node(config=config, addresses=("192.0.2.2",))
    one.tell_addresses(10, 0, 0)
    other.tell_addresses()
    network.run(0.1)
    one.want(other)
    network.run(1.0)
    assert one.send_esp(other)
    network.run(1.0)
    assert open_pair(one, other)
    network.run(25.0)
    assert len(spis(one)) == 2
    _lone_request(network, one, other)
    network.run(20.0)
    assert len(spis(one)) == 1, "unused for 30 seconds, and a while"


@pytest.mark.parametrize("late_s", [0.0, 0.005, 0.015])
def test_both_ask_at_once(late_s: float) -> None:
    network, one, other = joined()
    assert open_pair(one, other)
    network.run(late_s)
    asked = other.endpoint.open_sa_pair(other.hit, other.address, network.now)
    assert not asked, "with oneself there is none"
    other.endpoint.open_sa_pair(one.hit, other.address, network.now)
    other.settle()
    network.run(2.0)
    move_to_second(one)
    network.run(2.0)
    assert one.send_esp(other)
    assert other.send_esp(one)
    assert in_use(one, other) == in_use(other, one)[::-1]


@pytest.mark.parametrize("number", range(3))
def test_each_update_lost_once(number: int) -> None:
    network, one, other = joined()
    seen = count()

    def lose(datagram: Datagram) -> list[Datagram]:
        is_lost = datagram.kind is PacketType.UPDATE and next(seen) == number
        return [] if is_lost else [datagram]

    network.wire = lose
    assert open_pair(one, other)
    network.run(5.0)
    assert (len(spis(one)), len(spis(other))) == (2, 2)
    move_to_second(one)
    network.run(5.0)
    assert one.send_esp(other)
    assert other.send_esp(one)
    assert in_use(one, other) == in_use(other, one)[::-1]


@pytest.mark.parametrize("seed", range(5))
def test_in_bad_weather_with_rekeys(seed: int) -> None:
    config = replace(FAST, rekey_timeout_s=5.0)
    network, one, other = joined(config)
    network.random.seed(seed)
    network.weather = Weather(loss=0.1, duplication=0.1, spread_s=0.05, job_s=0.02)
    for turn in range(8):
        open_pair(one, other)
        network.run(network.random.random())
        (one, other)[turn % 2].endpoint.manual_update(None, network.now, with_rekey=True)
        one.settle()
        other.settle()
        network.run(3.0)
        one.tell_addresses(turn % 2 * 10, 5)
        network.run(3.0)
    network.weather = Weather()
    network.run(20.0)
    assert (one.state(other), other.state(one)) == (State.ESTABLISHED, State.ESTABLISHED)
    assert one.send_esp(other)
    assert other.send_esp(one)


def test_no_rekey_begins_while_a_pair_is_made_and_the_other_way_round() -> None:
    network, one, other = joined()
    assert open_pair(one, other)
    assert not one.endpoint.rekey_association(other.hit, network.now)
    network.run(1.0)
    assert one.endpoint.rekey_association(other.hit, network.now)
    one.settle()
    assert not open_pair(one, other)
    network.run(1.0)
    assert one.send_esp(other)
    assert other.send_esp(one)


def test_a_rekey_of_the_pair_in_use_keeps_its_address() -> None:
    network, one, other = joined()
    assert open_pair(one, other)
    network.run(1.0)
    move_to_second(one)
    network.run(1.0)
    before = in_use(one, other)
    assert one.endpoint.rekey_association(other.hit, network.now)
    one.settle()
    network.run(1.0)
    after = in_use(one, other)
    assert before != after
    since = len(network.sent(PacketType.UPDATE))
    one.endpoint.manual_update(other.hit, network.now)
    one.settle()
    records = updates(network, since)[0].require(LocatorSet).locators
    assert SpiLocator(after[0], ip_address(SECOND)) in [record.locator for record in records]


def test_a_close_takes_all_pairs_along() -> None:
    network, one, other = joined()
    network.watched.clear()
    assert open_pair(one, other)
    network.run(1.0)
    move_to_second(one)
    network.run(1.0)
    one.close(other)
    network.run(1.0)
    assert one.sas == other.sas == {}


def test_pairs_are_few_however_often_the_peer_asks() -> None:
    network, one, other = joined()
    network.watched.clear()
    network.wire = lambda _: []
    for number in range(1, 12):
        update(one, other, Seq(number), EspInfo(200, 0, 0x1000 + number))
        network.run(0.06)
    assert len(spis(other)) <= 4
    assert other.endpoint.activity["sa_pair_refused"] >= 8


@pytest.mark.parametrize(
    "parameters",
    [
        (EspInfo(200, 0, 7),),
        (EspInfo(200, 0, 0x2000), WITH_DH),
        (EspInfo(0xFFFF, 0, 0x2000),),
    ],
)
def test_a_request_against_the_rules_opens_nothing(parameters: tuple[Parameter, ...]) -> None:
    network, one, other = joined()
    before = dict(other.sas)
    if WITH_DH in parameters and one.dialect.VERSION == 1:
        parameters = (parameters[0], DiffieHellmanV1((DhPublicValue(3, bytes(192)),)))
    update(one, other, Seq(1), *parameters)
    network.run(1.0)
    assert other.sas == before


def test_an_spi_that_is_in_use_already_is_refused() -> None:
    network, one, other = joined()
    update(one, other, Seq(1), EspInfo(200, 0, in_use(other, one)[1]))
    network.run(1.0)
    assert len(spis(other)) == 1


def test_the_only_sa_is_deprecated_and_the_data_stops() -> None:
    network, one, other = joined()
    update(one, other, Seq(1), EspInfo(0, in_use(other, one)[1], 0))
    network.run(1.0)
    view = other.view(one)
    assert view is not None
    assert {locator.state for locator in view.locators} == {LocatorState.DEPRECATED}
    assert other.budgets == {(other.hit, one.hit): 0}


def test_the_sa_in_use_is_deprecated_and_another_pair_takes_over() -> None:
    network, one, other = joined()
    assert open_pair(one, other)
    network.run(1.0)
    old, (new,) = in_use(other, one)[1], spis(one) - {in_use(one, other)[0]}
    update(one, other, Seq(7), EspInfo(0, old, 0))
    network.run(0.2)
    assert in_use(other, one)[1] == new
    view = other.view(one)
    assert view is not None
    states = {str(locator.address): locator.state for locator in view.locators}
    assert states == {FIRST: LocatorState.DEPRECATED, SECOND: LocatorState.ACTIVE}
    assert other.send_esp(one)


def test_a_pair_that_the_peer_ends_receives_for_the_grace_time_and_no_longer() -> None:
    network, one, other = joined()
    assert open_pair(one, other)
    network.run(1.0)
    (spare,) = spis(one) - {in_use(one, other)[0]}
    used = in_use(other, one)
    update(one, other, Seq(7), EspInfo(0, spare, 0))
    network.run(FAST.sa_grace_s / 2)
    assert len(spis(other)) == 2
    network.run(FAST.sa_grace_s)
    assert spis(other) == {used[0]}
    assert in_use(other, one) == used


def test_data_on_a_pair_says_that_the_peer_has_taken_it() -> None:
    network, one, other = joined()
    network.watched.clear()
    assert open_pair(one, other)
    network.run(1.0)
    (spare,) = spis(one) - {in_use(one, other)[0]}
    one.endpoint.esp_received(Spi(spare), network.now)
    one.settle()
    assert in_use(one, other)[0] == spare
    assert one.send_esp(other)


def test_a_request_in_the_middle_of_a_rekey_is_refused() -> None:
    network, one, other = joined()
    network.wire = lambda _: []
    assert other.endpoint.rekey_association(one.hit, network.now)
    other.settle()
    update(one, other, Seq(1), EspInfo(200, 0, 0x2000))
    assert other.endpoint.activity["sa_pair_refused"] == 1
    assert len(spis(other)) == 1


def test_end_of_an_unknown_spi_is_ignored() -> None:
    network, one, other = joined()
    update(one, other, Seq(1), EspInfo(0, 0x7777, 0))
    network.run(1.0)
    assert other.endpoint.activity["update_esp_info_ignored"] == 1
    assert_joined(one, other)


def test_no_pair_without_an_association_or_for_an_address_that_is_not_ours() -> None:
    network, one, other = joined()
    assert not open_pair(one, other, "203.0.113.1")
    stranger = network.node()
    assert not one.endpoint.open_sa_pair(stranger.hit, ip_address(SECOND), network.now)
