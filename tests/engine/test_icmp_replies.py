"""ICMP in answer to bad packets of strangers (RFC 7401 section 5.4), and never otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hipgw.proto import EndpointConfig, IcmpReplies, SendIcmp
from hipgw.values import DhGroup, Encapsulation, Hit, Path
from hipgw.wire import (
    Ack,
    DhGroupList,
    HipMac,
    Notification,
    PacketType,
    ParameterType,
    Seq,
    Solution,
    find_tlv,
    parse_packet,
)
from tests.engine.forge import bare, checksummed, swap
from tests.engine.forge import changed as with_changes
from tests.engine.hostile import capture_i2
from tests.engine.network import Datagram, Network, Node, exchange

FAST = EndpointConfig(dh_groups=(DhGroup.NIST_P256,))
MAY = replace(FAST, icmp_replies=IcmpReplies.MAY, icmp_source_burst=100.0, icmp_burst=100.0)
STRANGER = Hit(bytes.fromhex("20010022") + bytes(11) + b"\x07")


def icmp(node: Node) -> list[SendIcmp]:
    return [effect for effect in node.log if isinstance(effect, SendIcmp)]


def pair(config: EndpointConfig, family: int = 6) -> tuple[Network, Node, Node]:
    network = Network()
    places = ("2001:db8::1", "2001:db8::2") if family == 6 else ("192.0.2.1", "192.0.2.2")
    one, other = (network.node(config=config, addresses=[place]) for place in places)
    return network, one, other


def of_version(payload: bytes, version: int, path: Path) -> bytes:
    octets = bytearray(payload)
    octets[3] = version << 4 | 1
    octets[4:6] = bytes(2)
    return checksummed(bytes(octets), path)


def i1_of_version(one: Node, other: Node, version: int) -> tuple[bytes, Path]:
    path = other.path_to(one)
    i1 = bare(PacketType.I1, one.hit, other.hit, path, DhGroupList((7,)))
    return of_version(i1, version, path), path


@pytest.mark.parametrize("family", [4, 6])
def test_an_unknown_version_is_pointed_at(family: int) -> None:
    _, one, other = pair(FAST, family)
    payload, path = i1_of_version(one, other, 3)
    other.receive(payload, path)
    assert icmp(other) == [SendIcmp(path, 3, payload)]
    assert other.dropped() == {"hip_version": 1}


def test_answers_are_limited_by_source_and_in_total() -> None:
    network, one, other = pair(FAST)
    payload, path = i1_of_version(one, other, 3)
    for _ in range(50):
        other.receive(payload, path)
    assert len(icmp(other)) == 2
    assert other.endpoint.activity["icmp_not_sent"] == 48
    for number in range(50):
        elsewhere = replace(path, peer=type(path.peer)(f"2001:db8:{number + 1:x}::9"))
        other.receive(of_version(payload, 3, elsewhere), elsewhere)
    assert len(icmp(other)) == 10
    network.run(5.0)
    other.receive(payload, path)
    assert len(icmp(other)) == 11


def test_nothing_when_it_is_off_nor_over_udp_nor_to_a_multicast_address() -> None:
    _, one, other = pair(replace(FAST, icmp_replies=IcmpReplies.OFF))
    other.receive(*i1_of_version(one, other, 3))
    assert icmp(other) == []
    _, one, other = pair(FAST)
    payload, path = i1_of_version(one, other, 3)
    other.receive(payload, replace(path, encapsulation=Encapsulation.UDP))
    many = replace(path, local=type(path.local)("ff02::1"))
    other.receive(of_version(payload, 3, many), many)
    assert icmp(other) == []


def test_a_wrong_checksum_is_never_answered() -> None:
    _, one, other = pair(MAY)
    payload, path = i1_of_version(one, other, 2)
    other.receive(payload[:4] + bytes([payload[4] ^ 1]) + payload[5:], path)
    assert other.dropped() == {"hip_checksum": 1}
    assert icmp(other) == []


@pytest.mark.parametrize(
    ("family", "wish", "answers"),
    [
        (6, IcmpReplies.SHOULD, 1),
        (6, IcmpReplies.MAY, 1),
        (4, IcmpReplies.SHOULD, 0),
        (4, IcmpReplies.MAY, 1),
    ],
)
def test_a_wrong_solution_is_pointed_at(family: int, wish: IcmpReplies, answers: int) -> None:
    config = replace(FAST, puzzle_k=8, icmp_replies=wish)
    network, one, other = pair(config, family)
    i2 = capture_i2(network, one, other)
    solution = parse_packet(i2.payload).require(Solution)
    wrong = with_changes(i2, swap(replace(solution, j=bytes(len(solution.j)))))
    other.receive(wrong.payload, wrong.path)
    assert other.dropped() == {"puzzle_wrong": 1}
    assert len(icmp(other)) == answers
    for message in icmp(other):
        start = message.pointer_octets
        assert wrong.payload[start : start + len(solution.j)] == bytes(len(solution.j))
        found = find_tlv(wrong.payload, ParameterType.SOLUTION)
        assert found is not None
        assert start + len(solution.j) <= sum(found)


@pytest.mark.parametrize("kind", list(PacketType), ids=lambda kind: kind.name)
def test_packets_that_need_an_association_point_at_the_hit(kind: PacketType) -> None:
    _, one, other = pair(MAY)
    path = other.path_to(one)
    parameters = (HipMac(bytes(48)), *([Notification(1)] if kind is PacketType.NOTIFY else []))
    payload = bare(kind, one.hit, other.hit, path, *sorted(parameters, key=_type_of))
    other.receive(payload, path)
    wanted = []
    if kind in {PacketType.UPDATE, PacketType.CLOSE, PacketType.CLOSE_ACK}:
        wanted = [8]
    elif "hip_type" in other.dropped():  # a type that we do not speak is named as such
        wanted = [2]
    assert [message.pointer_octets for message in icmp(other)] == wanted


def _type_of(parameter: object) -> int:
    return parameter.wire_type  # type: ignore[attr-defined,no-any-return]


def test_a_receiver_that_is_not_ours_is_the_one_that_does_not_match() -> None:
    _, one, other = pair(MAY)
    exchange(one, other)
    path = other.path_to(one)
    other.receive(bare(PacketType.UPDATE, one.hit, STRANGER, path, Seq(0), Ack((1,))), path)
    assert [message.pointer_octets for message in icmp(other)] == [24]


def test_structure_is_pointed_at_only_for_strangers_and_only_if_we_may() -> None:
    for config, is_known, wanted in ((MAY, False, 1), (MAY, True, 0), (FAST, False, 0)):
        _, one, other = pair(config)
        if is_known:
            exchange(one, other)
        path = other.path_to(one)
        update = bytearray(bare(PacketType.UPDATE, one.hit, other.hit, path, Seq(0)))
        update[44:48] = bytes(4)
        update[42:44] = (200).to_bytes(2, "big")  # a length beyond the end
        update[4:6] = bytes(2)
        other.receive(checksummed(bytes(update), path), path)
        assert other.dropped() == {"hip_malformed": 1}
        assert len(icmp(other)) == wanted
        assert all(40 <= message.pointer_octets < 48 for message in icmp(other))


def test_an_unknown_type_is_pointed_at() -> None:
    _, one, other = pair(MAY)
    path = other.path_to(one)
    payload = bytearray(bare(PacketType.I1, one.hit, other.hit, path, DhGroupList((7,))))
    payload[2] = 99
    payload[4:6] = bytes(2)
    other.receive(checksummed(bytes(payload), path), path)
    assert [message.pointer_octets for message in icmp(other)] == [2]


def test_octets_of_any_length_raise_nothing() -> None:
    _, one, other = pair(MAY)
    payload, path = i1_of_version(one, other, 2)
    for length in range(len(payload)):
        other.receive(payload[:length], path)
    assert not isinstance(other.log[-1], Datagram)
