"""Locators as a weapon: hijacks, floods to others, full tables; and NATs, which look the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

import pytest

from hipgw.proto import EndpointConfig, HandedOver, LimitPath, LocatorState, NotifyReceived
from hipgw.values import DhGroup, Encapsulation, Path
from hipgw.wire import (
    LIFETIME_UNBOUNDED_S,
    Ack,
    AddressLocator,
    EchoRequestSigned,
    EchoResponseSigned,
    EspInfo,
    HipPacket,
    HipSignature,
    Locator,
    LocatorRecord,
    LocatorSet,
    PacketType,
    Parameter,
    Seq,
    SpiLocator,
    TransportLocator,
    UnknownLocator,
)
from tests.engine.forge import changed, checksummed, sealed, swap
from tests.engine.network import (
    Datagram,
    Network,
    Node,
    Weather,
    assert_joined,
    exchange,
    parse_packet,
)
from tests.engine.traffic import Traffic

FAST = EndpointConfig(dh_groups=(DhGroup.NIST_P256,))
VICTIM = "203.0.113.66"
NEW = "198.51.100.1"


def joined(
    config: EndpointConfig = FAST, encapsulation: Encapsulation = Encapsulation.RAW
) -> tuple[Network, Node, Node]:
    network = Network()
    one = network.node(config=config, addresses=("192.0.2.1",))
    other = network.node(config=config, addresses=("192.0.2.2",))
    one.tell_addresses()
    other.tell_addresses()
    exchange(one, other, *())
    if encapsulation is Encapsulation.UDP:
        one.close(other)
        network.run(1.0)
        one.want(other, one.path_to(other, encapsulation))
        network.run(0.5)
        assert one.send_esp(other)
    network.run(0.5)
    return network, one, other


def records(*locators: Locator, preferred: int = 0) -> LocatorSet:
    return LocatorSet(
        tuple(
            LocatorRecord(locator, LIFETIME_UNBOUNDED_S, 0, number == preferred)
            for number, locator in enumerate(locators)
        )
    )


def addresses(*texts: str) -> LocatorSet:
    return records(*(AddressLocator(ip_address(text)) for text in texts))


def update(one: Node, other: Node, *parameters: Parameter) -> None:
    other.receive(*sealed(one, other, PacketType.UPDATE, *parameters))


def states(node: Node, other: Node) -> dict[str, LocatorState]:
    view = node.view(other)
    assert view is not None
    return {str(one.address): one.state for one in view.locators}


def peer_address(node: Node, other: Node) -> str:
    view = node.view(other)
    assert view is not None
    return str(view.path.peer)


def sent_updates(network: Network, node: Node) -> list[tuple[str, HipPacket]]:
    return [
        (str(one.path.local), parse_packet(one.payload))
        for one in network.sent(PacketType.UPDATE)
        if one.source == node.name
    ]


def limits(node: Node) -> list[int | None]:
    return [effect.credit_octets for effect in node.log if isinstance(effect, LimitPath)]


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("mac_wrong", swap(addresses(VICTIM))),
        ("mac_wrong", swap(Seq(1))),
        ("signature_wrong", swap(HipSignature(7, bytes(64)))),
    ],
)
def test_unauthentic_update_moves_nobody(
    reason: str, change: Callable[[tuple[Parameter, ...]], tuple[Parameter, ...]]
) -> None:
    network, one, other = joined()
    network.wire = lambda datagram: (
        [changed(datagram, change)] if datagram.kind is PacketType.UPDATE else [datagram]
    )
    before = dict(other.sas)
    one.addresses.append(ip_address(NEW))
    one.tell_addresses(0, 10)
    network.run(0.05)
    assert other.dropped()[reason] >= 1
    assert other.sas == before
    assert peer_address(other, one) == "192.0.2.1"
    assert not sent_updates(network, other)


def test_address_of_a_third_party_gets_credit_and_no_more() -> None:
    """A peer sends the data that it asked for to somebody else (RFC 8046 section 3.3.2)."""
    network, one, other = joined()
    traffic = Traffic(network, one, other, octets=100)
    network.run(1.0)
    traffic.report()
    sent = traffic.back.sent
    lie = sealed(one, other, PacketType.UPDATE, addresses(VICTIM), Seq(0))
    one.addresses.clear()  # from here on `one` only lies
    other.receive(*lie)
    network.run(10.0)
    assert peer_address(other, one) == VICTIM
    assert states(other, one)[VICTIM] is LocatorState.UNVERIFIED
    limited = traffic.back.troubles["limited"]
    to_victim = (traffic.back.sent - sent - limited) * traffic.octets
    assert 0 < to_victim <= traffic.there.arrived * traffic.octets
    assert limited > 500
    assert None not in limits(other)


def test_liar_who_answers_the_first_copy_from_elsewhere_is_not_believed() -> None:
    """The nonce for the victim must not reach the liar by having the answer sent again."""
    network, one, other = joined()
    update(one, other, addresses(VICTIM), Seq(0))
    request = sealed(one, other, PacketType.UPDATE, addresses(VICTIM), Seq(0))
    for _ in range(4):
        other.receive(*request)
    for target, packet in sent_updates(network, other):
        if packet.get(EchoRequestSigned) is not None:
            assert target == VICTIM
    assert sum(packet.get(Ack) is not None for _, packet in sent_updates(network, other)) >= 2
    # Even the ACK of all of them proves nothing without the nonce.
    for update_id in range(3):
        update(one, other, Ack((update_id,)), EchoResponseSigned(bytes(16)))
    assert states(other, one)[VICTIM] is LocatorState.UNVERIFIED


def test_liar_who_spoofs_the_victim_first_and_repeats_himself_openly() -> None:
    """The answer to the first copy holds a nonce for the victim; the second must not get it."""
    network, one, other = joined()
    octets, path = sealed(one, other, PacketType.UPDATE, addresses(VICTIM), Seq(0))
    spoofed = replace(path, peer=ip_address(VICTIM))
    other.receive(checksummed(octets[:4] + bytes(2) + octets[6:], spoofed), spoofed)
    other.receive(octets, path)
    ((first, answer), (second, again)) = sent_updates(network, other)
    assert (first, second) == (VICTIM, "192.0.2.1")
    assert answer.get(EchoRequestSigned) is not None
    assert again.get(EchoRequestSigned) is None
    assert answer.require(Ack) == again.require(Ack) == Ack((0,))


def test_rekey_answer_does_not_leak_the_nonce_on_other_paths() -> None:
    network, one, other = joined()
    one.addresses.append(ip_address(NEW))
    view = other.view(one)
    assert view is not None
    assert view.spi_out is not None
    info = EspInfo(4000, view.spi_out, 4711)
    octets, path = sealed(one, other, PacketType.UPDATE, info, addresses(NEW, "192.0.2.1"), Seq(0))
    new_path = Path(path.local, ip_address(NEW))
    network.wire = lambda _: []
    other.receive(checksummed(octets[:4] + bytes(2) + octets[6:], new_path), new_path)
    network.run(5.0)
    nonces: dict[bytes, set[str]] = {}
    for target, packet in sent_updates(network, other):
        echo = packet.get(EchoRequestSigned)
        if echo is not None and packet.get(Ack) is not None:
            nonces.setdefault(echo.data, set()).add(target)
    ((nonce, targets),) = nonces.items()
    assert targets == {NEW, "192.0.2.1"}, "it goes everywhere in the end"
    update(one, other, Ack((0,)), EchoResponseSigned(nonce))
    assert states(other, one)[NEW] is LocatorState.UNVERIFIED, "so it proves nothing any more"


def test_credit_is_lifted_by_the_echo() -> None:
    network, one, other = joined()
    one.move(NEW)
    network.run(1.0)
    assert limits(other) == [0, None]
    assert not other.budgets


def test_echo_with_another_nonce_proves_nothing() -> None:
    network, one, other = joined()
    network.wire = lambda datagram: (
        [] if datagram.source == one.name and network.now > 1001.5 else [datagram]
    )
    update(one, other, addresses(NEW), Seq(0))
    (_, packet), *_ = [
        entry
        for entry in sent_updates(network, other)
        if entry[1].get(EchoRequestSigned) is not None
    ]
    seq = packet.require(Seq).update_id
    update(one, other, Ack((seq,)), EchoResponseSigned(b"guess"))
    assert states(other, one)[NEW] is LocatorState.UNVERIFIED


def test_replayed_update_does_not_bring_an_old_address_back() -> None:
    network, one, other = joined()
    one.move(NEW)
    network.run(1.0)
    old = network.sent(PacketType.UPDATE)[0]
    one.move("198.51.100.2")
    network.run(1.0)
    for _ in range(5):
        network.deliver(old)
    network.run(1.0)
    assert peer_address(other, one) == "198.51.100.2"
    assert states(other, one)[NEW] is LocatorState.DEPRECATED
    assert_joined(one, other)


def test_older_locator_set_that_comes_late_is_not_used() -> None:
    network, one, other = joined()
    update(one, other, addresses(NEW, "192.0.2.1"), Seq(1))
    update(one, other, addresses(VICTIM), Seq(0))
    assert VICTIM not in states(other, one)
    assert len(sent_updates(network, other)) >= 2, "it is acknowledged all the same"


def test_too_many_locators_are_cut_off() -> None:
    network, one, other = joined(replace(FAST, locators_most=16, verifications_most=4))
    many = [f"198.51.100.{number}" for number in range(1, 61)]
    update(one, other, addresses(*many), Seq(0))
    network.run(0.05)
    assert len(states(other, one)) <= 16
    asked = {target for target, packet in sent_updates(network, other) if packet.get(Seq)}
    assert len(asked) <= 4
    assert other.endpoint.activity["locators_too_many"] == 1
    update(one, other, addresses("192.0.2.1"), Seq(1))
    network.run(0.05)
    assert states(other, one)["192.0.2.1"] in {LocatorState.ACTIVE, LocatorState.UNVERIFIED}


def test_table_has_room_again_after_each_new_set() -> None:
    _, one, other = joined()
    for number in range(30):
        texts = [f"198.51.{number}.{host}" for host in range(1, 13)]
        update(one, other, addresses("192.0.2.1", *texts), Seq(number))
        assert len(states(other, one)) <= 16
        usable = [text for text in texts if text in states(other, one)]
        assert len(usable) == 12


@pytest.mark.parametrize(
    "address",
    ["224.0.0.5", "255.255.255.255", "::", "127.0.0.1", "169.254.3.4", "ff02::1", "fe80::9"],
)
def test_addresses_that_are_no_locators_are_ignored(address: str) -> None:
    network, one, other = joined()
    update(one, other, addresses("192.0.2.1", address), Seq(0))
    network.run(0.05)
    assert set(states(other, one)) == {"192.0.2.1"}
    assert other.endpoint.activity["locator_ignored"] == 1
    assert {target for target, _ in sent_updates(network, other)} == {"192.0.2.1"}


def test_hits_and_our_own_addresses_are_no_locators() -> None:
    network, one, other = joined()
    update(one, other, addresses("192.0.2.1", str(one.hit), "192.0.2.2"), Seq(0))
    network.run(0.05)
    assert set(states(other, one)) == {"192.0.2.1"}


def test_empty_set_deprecates_all_and_stops_the_data() -> None:
    network, one, other = joined()
    update(one, other, LocatorSet(()), Seq(0))
    network.run(0.05)
    assert states(other, one) == {"192.0.2.1": LocatorState.DEPRECATED}
    assert other.budgets == {(other.hit, one.hit): 0}
    update(one, other, addresses("192.0.2.1"), Seq(1))
    network.wire = lambda datagram: [datagram]
    assert states(other, one) == {"192.0.2.1": LocatorState.UNVERIFIED}, "never ACTIVE directly"


@pytest.mark.parametrize(
    "locator",
    [
        AddressLocator(ip_address(NEW)),
        SpiLocator(4711, ip_address(NEW)),
    ],
)
def test_locators_of_type_0_and_1_are_used(locator: Locator) -> None:
    network, one, other = joined()
    update(one, other, records(locator), Seq(0))
    assert states(other, one)[NEW] is LocatorState.UNVERIFIED
    assert sent_updates(network, other)[0][0] == NEW


def test_locator_of_type_2_is_used_over_udp() -> None:
    locator = TransportLocator(40000, 17, 0, 1, 4711, ip_address(NEW))
    _network, one, other = joined(encapsulation=Encapsulation.UDP)
    octets, path = sealed(one, other, PacketType.UPDATE, records(locator), Seq(0))
    path = replace(path, encapsulation=Encapsulation.UDP, local_port=10500, peer_port=10500)
    other.receive(octets[:4] + bytes(2) + octets[6:], path)
    view = other.view(one)
    assert view is not None
    assert {(str(one.address), one.port) for one in view.locators} >= {(NEW, 40000)}
    _, one, other = joined()
    update(one, other, records(locator), Seq(0))
    assert NEW not in states(other, one)


def test_unknown_preferred_locator_type_is_told_by_notify() -> None:
    network, one, other = joined()
    update(one, other, records(UnknownLocator(9, b"abcd")), Seq(0))
    network.run(0.1)
    assert [event.notify_type for event in one.saw(NotifyReceived)] == [46]


def test_lifetime_ends_and_the_data_with_it() -> None:
    network, one, other = joined()
    one.addresses.append(ip_address(NEW))
    record = LocatorRecord(AddressLocator(ip_address("192.0.2.1")), 30, 0, preferred=True)
    update(one, other, LocatorSet((record,)), Seq(0))
    network.run(29.0)
    assert states(other, one)["192.0.2.1"] is LocatorState.ACTIVE
    network.run(2.0)
    assert states(other, one)["192.0.2.1"] is LocatorState.DEPRECATED
    assert other.budgets == {(other.hit, one.hit): 0}


def test_flood_of_updates_of_one_peer_meets_a_rate() -> None:
    network, one, other = joined(replace(FAST, update_rate=5.0, update_burst=10.0))
    for number in range(25):
        update(one, other, Seq(number))
    assert other.dropped() == {"update_rate": 15}
    assert len(sent_updates(network, other)) == 10
    network.run(1.0)
    update(one, other, Seq(10))
    assert len(sent_updates(network, other)) == 11


def test_nat_gives_another_source_and_the_peer_is_asked_there() -> None:
    network, one, other = joined(encapsulation=Encapsulation.UDP)
    outside = ip_address("203.0.113.7")
    inside = ip_address("10.0.0.5")

    def translate(datagram: Datagram) -> list[Datagram]:
        path = datagram.path
        if path.peer == inside:
            return [replace(datagram, path=replace(path, peer=outside, peer_port=40321))]
        if path.local == outside:
            if path.local_port != 40321:
                return []
            return [replace(datagram, path=replace(path, local=inside, local_port=10500))]
        return [] if path.local == inside else [datagram]

    network.wire = translate
    one.move(str(inside))
    network.run(5.0)
    view = other.view(one)
    assert view is not None
    assert (view.path.peer, view.path.peer_port) == (outside, 40321)
    assert states(other, one)[str(outside)] is LocatorState.ACTIVE
    assert states(other, one)[str(inside)] is LocatorState.UNVERIFIED
    assert not view.is_limited
    assert one.view(other) is not None


def test_data_follows_a_nat_that_has_moved_once_the_peer_has_answered() -> None:
    """The data plane says where valid ESP comes from now; nothing goes to the old port any more."""
    network, one, other = joined(encapsulation=Encapsulation.UDP)
    port = 40321

    def translate(datagram: Datagram) -> list[Datagram]:
        path = datagram.path
        if datagram.source == "n1":
            return [replace(datagram, path=replace(path, peer_port=port))]
        if path.local_port != port:
            return []
        return [replace(datagram, path=replace(path, local_port=10500))]

    network.wire = translate
    view = other.view(one)
    assert view is not None
    assert view.spi_in is not None
    moved = replace(view.path, peer_port=port)
    other.endpoint.peer_seen_at(view.spi_in, moved, network.now)
    other.settle()
    assert target_port(other, one) == 10500
    network.run(1.0)
    assert target_port(other, one) == port
    assert other.saw(HandedOver)[-1].path == moved
    sent = len(sent_updates(network, other))
    other.endpoint.peer_seen_at(view.spi_in, moved, network.now)
    other.settle()
    assert len(sent_updates(network, other)) == sent
    assert_joined(one, other)


def test_data_does_not_follow_to_where_nobody_answers() -> None:
    network, one, other = joined(encapsulation=Encapsulation.UDP)
    view = other.view(one)
    assert view is not None
    assert view.spi_in is not None
    stray = replace(view.path, peer=ip_address(VICTIM), peer_port=666)
    other.endpoint.peer_seen_at(view.spi_in, stray, network.now)
    other.settle()
    network.run(20.0)
    assert peer_address(other, one) == "192.0.2.1"
    assert other.send_esp(one)
    assert_joined(one, other)


def target_port(node: Node, other: Node) -> int:
    view = node.view(other)
    assert view is not None
    return view.path.peer_port


def test_spoofed_source_is_asked_and_never_used() -> None:
    """Somebody on the path has a real UPDATE arrive from his own address."""
    network, one, other = joined(encapsulation=Encapsulation.UDP)
    octets, path = sealed(one, other, PacketType.UPDATE, Seq(0))
    path = replace(
        path,
        peer=ip_address(VICTIM),
        encapsulation=Encapsulation.UDP,
        local_port=10500,
        peer_port=666,
    )
    other.receive(octets[:4] + bytes(2) + octets[6:], path)
    network.run(20.0)
    assert states(other, one) == {
        "192.0.2.1": LocatorState.ACTIVE,
        VICTIM: LocatorState.UNVERIFIED,
    }
    assert peer_address(other, one) == "192.0.2.1"
    assert_joined(one, other)


def test_raw_source_is_no_candidate() -> None:
    _network, one, other = joined()
    octets, path = sealed(one, other, PacketType.UPDATE, Seq(0))
    path = replace(path, peer=ip_address(VICTIM))
    other.receive(checksummed(octets[:4] + bytes(2) + octets[6:], path), path)
    assert VICTIM not in states(other, one)


@pytest.mark.parametrize("octets", range(1640, 1800, 8))
def test_echo_that_leaves_no_room_for_the_rest_of_our_answer(octets: int) -> None:
    config = replace(FAST, rekey_with_dh=True)
    network, one, other = joined(config)
    view = other.view(one)
    assert view is not None
    assert view.spi_out is not None
    before = dict(other.sas)
    update(
        one,
        other,
        EspInfo(4000, view.spi_out, 4711),
        addresses("192.0.2.1", NEW),
        Seq(0),
        EchoRequestSigned(bytes(octets)),
    )
    network.run(0.2)
    acks = [packet for _, packet in sent_updates(network, other) if packet.get(Ack) is not None]
    assert len(acks[0].require(EchoResponseSigned).data) == octets
    network.run(100.0)
    if acks[0].get(EspInfo) is None:
        assert other.sas.items() >= before.items()


def test_weather_does_not_matter_to_credit() -> None:
    network, one, other = joined()
    network.weather = Weather(loss=0.2, duplication=0.2, latency_s=0.02, spread_s=0.1)
    traffic = Traffic(network, one, other, every_s=0.02)
    network.run(2.0)
    for number in range(5):
        one.move(f"198.51.100.{10 + number}")
        network.run(3.0)
    granted = sum(octets for octets in limits(other) if octets is not None)
    assert granted <= traffic.there.arrived * traffic.octets
