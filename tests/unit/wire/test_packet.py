"""Headers and whole packets (RFC 7401 sections 5.1 and 5.2.1)."""

from __future__ import annotations

import pytest

from hipgw.errors import LocalProtocolError, WireError
from hipgw.values import NULL_HIT, Hit
from hipgw.wire import (
    CONTROL_ANONYMOUS,
    Ack,
    DhGroupList,
    EchoRequestUnsigned,
    HipPacket,
    PacketType,
    Seq,
    UnknownParameter,
    emit_packet,
    parse_packet,
    peek_header,
)

A = Hit.parse("2001:21::a")
B = Hit.parse("2001:22::b")


def header(
    octets: int = 40, kind: int = 1, version: int = 0x21, controls: int = 0, next_header: int = 59
) -> bytes:
    """Forty octets in the order of the figure in section 5.1."""
    first = bytes([next_header, octets // 8 - 1, kind, version, 0, 0]) + controls.to_bytes(2, "big")
    return first + A.packed + B.packed


def reason_of(octets: bytes) -> str:
    with pytest.raises(WireError) as caught:
        parse_packet(octets)
    return caught.value.reason


def test_header_fields() -> None:
    octets = header(controls=1, kind=2)
    packet = parse_packet(octets)
    assert packet == HipPacket(PacketType.R1, A, B, (), controls=CONTROL_ANONYMOUS)
    assert packet.version == 2
    assert packet.octets == octets
    assert emit_packet(packet) == octets


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (1, "I1"),
        (2, "R1"),
        (3, "I2"),
        (4, "R2"),
        (16, "UPDATE"),
        (17, "NOTIFY"),
        (18, "CLOSE"),
        (19, "CLOSE_ACK"),
        (20, "HDRR"),
        (32, "HIP_DATA"),
    ],
)
def test_packet_types(number: int, name: str) -> None:
    assert parse_packet(header(kind=number)).packet_type is PacketType[name]


@pytest.mark.parametrize("number", [0, 5, 15, 21, 33, 127])
def test_unknown_type(number: int) -> None:
    assert reason_of(header(kind=number)) == "hip_type"


def test_bits_that_receivers_ignore() -> None:
    """SHIM6 bits, reserved bits beside the version, controls other than A, padding, checksum."""
    octets = bytearray(header(octets=48, kind=0x80 | 1, version=0x2E, controls=0xFFFE))
    octets[4:6] = b"\xaa\xaa"
    octets += bytes.fromhex("01ff0001 07 ffffff")
    packet = parse_packet(bytes(octets))
    assert packet == HipPacket(PacketType.I1, A, B, (DhGroupList((7,)),))


@pytest.mark.parametrize("count", [0, 1, 39])
def test_shorter_than_a_header(count: int) -> None:
    assert reason_of(header()[:count]) == "hip_short"
    with pytest.raises(WireError) as caught:
        peek_header(header()[:count])
    assert caught.value.reason == "hip_short"


def test_shorter_than_header_length() -> None:
    assert reason_of(header(octets=48)) == "hip_short"
    assert reason_of(header(octets=48) + bytes(7)) == "hip_short"


def test_trailing_octets() -> None:
    assert reason_of(header() + b"\0") == "hip_long"


def test_trailing_octets_of_another_next_header_are_ignored() -> None:
    """Section 5.1: trailing data behind an unimplemented Next Header MUST be ignored."""
    octets = header(next_header=17, kind=32)
    packet = parse_packet(octets + b"a UDP datagram")
    assert packet == HipPacket(PacketType.HIP_DATA, A, B, next_header=17)
    assert packet.octets == octets
    assert emit_packet(packet) == octets


def test_header_length_below_four() -> None:
    assert reason_of(header(octets=32)) == "hip_malformed"


@pytest.mark.parametrize("version", [0x01, 0x11, 0x31, 0xF1])
def test_version(version: int) -> None:
    assert reason_of(header(version=version)) == "hip_version"


def test_version_one_on_request() -> None:
    packet = parse_packet(header(version=0x11), versions=frozenset({1, 2}))
    assert packet.version == 1
    assert emit_packet(packet) == header(version=0x11)
    with pytest.raises(WireError):
        parse_packet(header(), versions=frozenset({1}))


def test_peek() -> None:
    assert peek_header(header(kind=0x80 | 99, version=0x11)) == (99, 1, A, B)


def test_longest_packet() -> None:
    """Header Length 255 is 2048 octets, 2008 of them parameters."""
    packet = HipPacket(PacketType.R1, A, B, (EchoRequestUnsigned(bytes(2004)),))
    octets = emit_packet(packet)
    assert len(octets) == 2048
    assert octets[1] == 255
    assert parse_packet(octets) == packet
    with pytest.raises(LocalProtocolError, match="2008"):
        emit_packet(HipPacket(PacketType.R1, A, B, (EchoRequestUnsigned(bytes(2005)),)))


def test_what_must_not_be_sent() -> None:
    for packet in (
        HipPacket(PacketType.UPDATE, A, B, (Ack((1,)), Seq(1))),
        HipPacket(PacketType.UPDATE, A, B, (Seq(1), Seq(1))),
        HipPacket(PacketType.UPDATE, A, B, (Seq(1 << 32),)),
        HipPacket(PacketType.UPDATE, A, B, controls=0x8000),
        HipPacket(PacketType.UPDATE, A, B, version=16),
        HipPacket(PacketType.UPDATE, A, B, next_header=256),
    ):
        with pytest.raises(LocalProtocolError):
            emit_packet(packet)


def test_reading_parameters() -> None:
    echoes = EchoRequestUnsigned(b"1"), EchoRequestUnsigned(b"2")
    packet = HipPacket(PacketType.UPDATE, A, NULL_HIT, (Seq(7), *echoes))
    assert packet.get(Seq) == Seq(7)
    assert packet.get(Ack) is None
    assert packet.get(EchoRequestUnsigned) == echoes[0]
    assert packet.all(EchoRequestUnsigned) == echoes
    assert packet.all(Ack) == ()
    assert packet.require(Seq) == Seq(7)
    with pytest.raises(WireError) as caught:
        packet.require(Ack)
    assert caught.value.reason == "hip_missing"
    assert caught.value.parameter_type == 449


def test_unknown_parameters_are_kept() -> None:
    octets = header(octets=56) + bytes.fromhex("03400004 00000007 8000 0003 616263 00")
    packet = parse_packet(octets)
    assert packet.all(UnknownParameter) == (UnknownParameter(0x8000, b"abc"),)
    assert emit_packet(packet) == octets


def test_octets_are_no_part_of_the_value() -> None:
    packet = parse_packet(header())
    assert "octets" not in repr(packet)
    assert packet == HipPacket(PacketType.I1, A, B)
    assert hash(packet) == hash(HipPacket(PacketType.I1, A, B))
