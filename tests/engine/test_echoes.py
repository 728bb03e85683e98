"""ECHO_REQUESTs are answered, by the response of the same kind, in whatever answers the packet."""

from __future__ import annotations

from hipgw.proto import EndpointConfig
from hipgw.values import DhGroup
from hipgw.wire import (
    EchoRequestSigned,
    EchoRequestUnsigned,
    EchoResponseSigned,
    EchoResponseUnsigned,
    PacketType,
    Seq,
    append_parameter,
    parse_packet,
)
from tests.engine.forge import checksummed, resigned_r1, sealed
from tests.engine.network import Datagram, Network, Node, exchange, readdressed

FAST = EndpointConfig(dh_groups=(DhGroup.NIST_P256,))
BLOBS = (b"first middlebox", b"second")


def pair() -> tuple[Network, Node, Node]:
    network = Network()
    return network, network.node(config=FAST), network.node(config=FAST)


def with_requests(payload: bytes, datagram_path: object) -> bytes:
    """What middleboxes on the way make of a packet (RFC 7401 section 5.2.21)."""
    octets = payload[:4] + bytes(2) + payload[6:]
    for blob in BLOBS:
        octets = append_parameter(octets, EchoRequestUnsigned(blob))
    return checksummed(octets, datagram_path)  # type: ignore[arg-type]


def middleboxes(kind: PacketType):  # type: ignore[no-untyped-def]
    def wire(datagram: Datagram) -> list[Datagram]:
        if datagram.kind is not kind:
            return [datagram]
        changed = with_requests(datagram.payload, datagram.path)
        return [Datagram(datagram.source, changed, datagram.path)]

    return wire


def unsigned(payload: bytes) -> tuple[bytes, ...]:
    return tuple(one.data for one in parse_packet(payload).all(EchoResponseUnsigned))


def test_unsigned_requests_of_an_r1_come_back_in_the_i2() -> None:
    network, one, other = pair()
    network.wire = middleboxes(PacketType.R1)
    exchange(one, other)
    assert unsigned(network.sent(PacketType.I2)[0].payload) == BLOBS


def test_the_signed_request_of_an_r1_comes_back_under_the_signature_of_the_i2() -> None:
    network, one, other = pair()

    def wire(datagram: Datagram) -> list[Datagram]:
        if datagram.kind is PacketType.R1:
            return [
                resigned_r1(
                    datagram,
                    other.identities[0],
                    lambda old: (*old, EchoRequestSigned(b"state of ours")),
                )
            ]
        return [datagram]

    network.wire = wire
    exchange(one, other)
    i2 = parse_packet(network.sent(PacketType.I2)[0].payload)
    assert i2.require(EchoResponseSigned).data == b"state of ours"


def test_unsigned_requests_of_an_i2_come_back_in_the_r2_and_in_its_copies() -> None:
    network, one, other = pair()
    network.wire = middleboxes(PacketType.I2)
    one.want(other)
    network.run(0.2)
    i2 = network.sent(PacketType.I2)[0]
    other.receive(with_requests(i2.payload, i2.path), i2.path)
    r2s = network.sent(PacketType.R2)
    assert [unsigned(r2.payload) for r2 in r2s] == [BLOBS, BLOBS]
    assert one.send_esp(other)


def test_requests_of_an_update_come_back_in_its_acknowledgement() -> None:
    network, one, other = pair()
    exchange(one, other)
    payload, path = sealed(one, other, PacketType.UPDATE, Seq(0), EchoRequestSigned(b"nonce"))
    for _ in range(2):  # the second is a copy
        other.receive(with_requests(payload, path), path)
    answers = network.sent(PacketType.UPDATE)
    assert [unsigned(answer.payload) for answer in answers] == [BLOBS, BLOBS]
    assert parse_packet(answers[0].payload).require(EchoResponseSigned).data == b"nonce"


def test_requests_of_a_close_come_back_in_the_close_ack() -> None:
    network, one, other = pair()
    exchange(one, other)
    network.wire = middleboxes(PacketType.CLOSE)
    one.close(other)
    network.run(0.2)
    close = parse_packet(network.sent(PacketType.CLOSE)[0].payload)
    ack = network.sent(PacketType.CLOSE_ACK)[0]
    assert unsigned(ack.payload) == BLOBS
    echoed = parse_packet(ack.payload).require(EchoResponseSigned).data
    assert echoed == close.require(EchoRequestSigned).data
    assert one.view(other) is None


def test_requests_that_leave_no_room_are_answered_as_far_as_there_is_room() -> None:
    network, one, other = pair()
    exchange(one, other)
    payload, path = sealed(one, other, PacketType.UPDATE, Seq(0))
    octets = payload[:4] + bytes(2) + payload[6:]
    for blob in (bytes(700), bytes(700), bytes(300)):
        octets = append_parameter(octets, EchoRequestUnsigned(blob))
    other.receive(checksummed(octets, path), path)
    (answer,) = network.sent(PacketType.UPDATE)
    assert len(unsigned(answer.payload)) >= 1
    assert len(answer.payload) <= 2048
    assert readdressed(answer, path).path == path
