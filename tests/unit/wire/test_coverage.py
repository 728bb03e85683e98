"""Octets under MACs and signatures (RFC 7401 sections 5.2.12 to 5.2.15)."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from hipgw.errors import LocalProtocolError, WireError
from hipgw.values import NULL_HIT, Hit
from hipgw.wire import (
    Ack,
    DhGroupList,
    EchoRequestSigned,
    EchoRequestUnsigned,
    HipMac,
    HipMac2,
    HipPacket,
    HipSignature,
    HipSignature2,
    HostId,
    PacketType,
    Parameter,
    Puzzle,
    R1Counter,
    Seq,
    UnknownParameter,
    append_parameter,
    covered_octets,
    emit_packet,
    emit_parameter,
    mac2_octets,
    mac2_octets_to_make,
    parse_packet,
    patch_r1,
    proven_octets,
    r1_signed_octets,
    with_checksum,
)

A = Hit.parse("2001:21::a")
B = Hit.parse("2001:22::b")
HOST_ID = emit_parameter(HostId(5, b"\3\1\0\1nnn", 1, b"\1r\0"))
ADDRESSES = ip_address("192.0.2.1"), ip_address("192.0.2.2")


def packet(kind: PacketType, *parameters: Parameter) -> bytes:
    return emit_packet(HipPacket(kind, A, B, parameters))


def on_the_wire(octets: bytes) -> bytes:
    filled = with_checksum(octets, *ADDRESSES)
    assert filled[4:6] != b"\0\0"
    return filled


def test_mac_and_signature() -> None:
    """What is covered is the packet as if the rest had never been there, checksum 0."""
    seq, mac, signature = Seq(1), HipMac(b"m" * 32), HipSignature(5, b"s" * 30)
    whole = on_the_wire(
        packet(PacketType.UPDATE, seq, mac, signature, EchoRequestUnsigned(b"behind"))
    )
    assert covered_octets(whole, HipMac.TYPE) == packet(PacketType.UPDATE, seq)
    assert covered_octets(whole, HipSignature.TYPE) == packet(PacketType.UPDATE, seq, mac)


def test_both_proofs_at_once() -> None:
    seq, mac, signature = Seq(1), HipMac(b"m" * 32), HipSignature(5, b"s" * 30)
    whole = on_the_wire(
        packet(PacketType.UPDATE, seq, mac, signature, EchoRequestUnsigned(b"behind"))
    )
    apart = tuple(covered_octets(whole, kind.TYPE) for kind in (HipMac, HipSignature))
    assert proven_octets(whole) == apart
    for parts in ((seq,), (seq, mac), (seq, signature)):
        with pytest.raises(WireError) as caught:
            proven_octets(packet(PacketType.UPDATE, *parts))
        assert caught.value.reason == "hip_missing"
    with pytest.raises(WireError) as caught:
        proven_octets(whole[:-8])
    assert caught.value.reason == "hip_short"


def test_padding_is_covered_as_it_came() -> None:
    whole = bytearray(packet(PacketType.UPDATE, EchoRequestSigned(b"x"), HipMac(b"m" * 32)))
    whole[45:48] = b"abc"
    covered = covered_octets(bytes(whole), HipMac.TYPE)
    assert covered[40:] == bytes.fromhex("0381 0001 78") + b"abc"


def test_nothing_to_cover() -> None:
    with pytest.raises(WireError) as caught:
        covered_octets(packet(PacketType.UPDATE, Seq(1)), HipMac.TYPE)
    assert caught.value.reason == "hip_missing"
    assert caught.value.parameter_type == HipMac.TYPE


def test_mac_2() -> None:
    """HOST_ID comes last although its type is below that of others, and Header Length counts it."""
    echo = EchoRequestSigned(b"123")
    before = packet(PacketType.R2, echo)
    whole = on_the_wire(packet(PacketType.R2, echo, HipMac2(b"m" * 32), HipSignature(5, b"s")))
    expected = bytearray(before + HOST_ID)
    expected[1] = len(expected) // 8 - 1
    assert mac2_octets(whole, HOST_ID) == bytes(expected)
    assert mac2_octets(before, HOST_ID) == bytes(expected)
    assert mac2_octets_to_make(before, HOST_ID) == bytes(expected)


def test_mac_2_that_fits_no_packet() -> None:
    whole = packet(PacketType.R2, EchoRequestSigned(bytes(1500)), HipMac2(b"m" * 32))
    with pytest.raises(WireError) as caught:
        mac2_octets(whole, emit_parameter(HostId(5, bytes(500))))
    assert caught.value.reason == "hip_malformed"
    with pytest.raises(WireError):
        mac2_octets(whole, b"abc")


def test_r1() -> None:
    """Receiver HIT, opaque and I are zero; K and lifetime stay (section 5.2.15)."""
    rest = R1Counter(7), DhGroupList((7,))
    puzzle = Puzzle(10, 37, b"\xab\xcd", b"i" * 32)
    blank = Puzzle(10, 37, b"\0\0", bytes(32))
    expected = emit_packet(HipPacket(PacketType.R1, A, NULL_HIT, (rest[0], blank, rest[1])))
    unsigned = packet(PacketType.R1, rest[0], puzzle, rest[1])
    signed = append_parameter(unsigned, HipSignature2(5, b"s" * 30))
    signed = on_the_wire(append_parameter(signed, EchoRequestUnsigned(b"more")))
    assert r1_signed_octets(signed) == expected
    assert r1_signed_octets(unsigned) == expected


def test_r1_without_puzzle() -> None:
    for octets in (
        packet(PacketType.R1, R1Counter(7), HipSignature2(5, b"s")),
        packet(PacketType.R1),
    ):
        with pytest.raises(WireError) as caught:
            r1_signed_octets(octets)
        assert caught.value.reason == "hip_missing"


def test_r1_with_a_runt_puzzle() -> None:
    with pytest.raises(WireError) as caught:
        r1_signed_octets(packet(PacketType.R1, UnknownParameter(257, b"\1")))
    assert caught.value.reason == "hip_malformed"


def test_append() -> None:
    first = on_the_wire(packet(PacketType.UPDATE, Seq(1)))
    assert append_parameter(first, Ack((2,))) == packet(PacketType.UPDATE, Seq(1), Ack((2,)))
    assert append_parameter(packet(PacketType.I1), Seq(1)) == packet(PacketType.I1, Seq(1))
    echo = EchoRequestUnsigned(b"x")
    twice = append_parameter(append_parameter(first, echo), echo)
    assert parse_packet(twice).parameters == (Seq(1), echo, echo)


def test_what_must_not_be_appended() -> None:
    ack = packet(PacketType.UPDATE, Ack((2,)))
    for octets, parameter in (
        (ack, Seq(1)),
        (ack, Ack((3,))),
        (packet(PacketType.R1, EchoRequestUnsigned(bytes(2000))), EchoRequestUnsigned(b"")),
    ):
        assert len(octets) <= 2048
        with pytest.raises(LocalProtocolError):
            append_parameter(octets, parameter)
    for broken, reason in ((ack + bytes(8), "hip_long"), (ack[:-1], "hip_short")):
        with pytest.raises(WireError) as caught:
            append_parameter(broken, HipMac(b"m"))
        assert caught.value.reason == reason
    runaway = bytearray(ack)
    runaway[43] = 200
    with pytest.raises(WireError) as caught:
        append_parameter(bytes(runaway), HipMac(b"m"))
    assert caught.value.reason == "hip_malformed"


def test_patch_r1() -> None:
    rest = R1Counter(7), DhGroupList((7,)), HipSignature2(5, b"s" * 30)
    template = emit_packet(
        HipPacket(
            PacketType.R1, A, NULL_HIT, (rest[0], Puzzle(10, 37, b"\0\0", bytes(32)), *rest[1:])
        )
    )
    patched = patch_r1(on_the_wire(template), B, b"\xab\xcd", b"i" * 32)
    puzzle = Puzzle(10, 37, b"\xab\xcd", b"i" * 32)
    assert patched == packet(PacketType.R1, rest[0], puzzle, *rest[1:])
    assert r1_signed_octets(patched) == r1_signed_octets(template)


@pytest.mark.parametrize(("opaque_octets", "i_octets"), [(2, 31), (2, 33), (1, 32), (3, 31)])
def test_patch_of_another_size(opaque_octets: int, i_octets: int) -> None:
    template = packet(PacketType.R1, Puzzle(10, 37, b"\0\0", bytes(32)))
    with pytest.raises(LocalProtocolError):
        patch_r1(template, B, bytes(opaque_octets), bytes(i_octets))


def test_patch_of_no_template() -> None:
    for octets in (b"", packet(PacketType.R1), packet(PacketType.R1, Seq(1))[:-1]):
        with pytest.raises(LocalProtocolError):
            patch_r1(octets, B, b"\0\0", bytes(32))
