"""TLV rules of RFC 7401 section 5.2.1."""

from __future__ import annotations

import pytest

from hipgw.errors import LocalProtocolError, WireError
from hipgw.values import Hit
from hipgw.wire import (
    Ack,
    EchoRequestUnsigned,
    HipPacket,
    PacketType,
    Seq,
    UnknownParameter,
    emit_packet,
    emit_parameter,
    find_tlv,
    parse_packet,
    parse_parameters,
    total_octets,
)

HITS = Hit.parse("2001:21::a"), Hit.parse("2001:22::b")
SEQ = "0181 0004 00000001"
ACK = "01c1 0004 00000001"
DH_LIST = "01ff 0001 07 000000"
UNKNOWN_CRITICAL = "0fa1 0002 abcd 0000"  # 4001
OTHER_CRITICAL = "8001 0000 00000000"
UNKNOWN_OPTIONAL = "0fa2 0002 abcd 0000"  # 4002


def packet_of(parameters: str) -> bytes:
    """An UPDATE around TLVs in hex."""
    tlvs = bytes.fromhex(parameters)
    empty = emit_packet(HipPacket(PacketType.UPDATE, *HITS))
    return empty[:1] + bytes([(len(empty) + len(tlvs)) // 8 - 1]) + empty[2:] + tlvs


def error_of(parameters: str) -> WireError:
    with pytest.raises(WireError) as caught:
        parse_packet(packet_of(parameters))
    return caught.value


@pytest.mark.parametrize(
    ("length", "total"),
    [(0, 8), (1, 8), (4, 8), (5, 16), (12, 16), (13, 24), (20, 24), (36, 40), (143, 152)],
)
def test_total_length(length: int, total: int) -> None:
    """The RFC's formula is the next multiple of 8 above head and contents."""
    assert total_octets(length) == total
    assert len(emit_parameter(UnknownParameter(2, bytes(length)))) == total


def test_padding_is_not_checked_but_sent_as_zero() -> None:
    expected = (EchoRequestUnsigned(b"x"),)
    assert parse_packet(packet_of("f8ad 0001 78 123456")).parameters == expected
    assert emit_parameter(expected[0]) == bytes.fromhex("f8ad 0001 78 000000")


def test_order() -> None:
    assert parse_packet(packet_of(SEQ + ACK)).parameters == (Seq(1), Ack((1,)))
    error = error_of(ACK + SEQ)
    assert (error.reason, error.parameter_type, error.offset_octets) == ("hip_malformed", 385, 48)


def test_order_of_unknown_parameters() -> None:
    assert error_of(UNKNOWN_OPTIONAL + SEQ).reason == "hip_malformed"


def test_same_type_must_be_adjacent() -> None:
    assert error_of("f8ad 0001 78 000000 f9fe 0000 00000000 f8ad 0001 78 000000").reason == (
        "hip_malformed"
    )


def test_repetition() -> None:
    error = error_of(SEQ + SEQ)
    assert (error.reason, error.parameter_type, error.offset_octets) == ("hip_malformed", 385, 48)
    twice = parse_packet(packet_of("f8ad 0001 78 000000" * 2))
    assert twice.all(EchoRequestUnsigned) == (EchoRequestUnsigned(b"x"),) * 2
    assert len(parse_packet(packet_of(UNKNOWN_OPTIONAL * 2)).parameters) == 2


@pytest.mark.parametrize(
    "parameters",
    [
        "0181 0005 00000001",
        SEQ + "01c1 ffff 00000001",
        "0fa2 0005 00000000",
    ],
)
def test_longer_than_the_packet(parameters: str) -> None:
    assert error_of(parameters).reason == "hip_malformed"


def test_malformed_contents_say_where() -> None:
    error = error_of(SEQ + "01c1 0003 00000100")
    assert (error.reason, error.parameter_type, error.offset_octets) == ("hip_malformed", 449, 48)
    assert "Ack" in str(error)


def test_unknown_critical() -> None:
    error = error_of(SEQ + UNKNOWN_CRITICAL + OTHER_CRITICAL)
    assert (error.reason, error.parameter_type, error.offset_octets) == ("hip_critical", 4001, 48)


def test_unknown_critical_comes_after_everything_else() -> None:
    assert error_of(UNKNOWN_CRITICAL + SEQ).reason == "hip_malformed"
    assert error_of(UNKNOWN_CRITICAL + "f041 0000 00000000").reason == "hip_malformed"


def test_version_one_transform_is_unknown_and_critical() -> None:
    """Type 577 is HIP_TRANSFORM of RFC 5201; 128 is its optional R1_COUNTER."""
    assert error_of("0241 0002 0001 0000").parameter_type == 577
    assert parse_packet(packet_of("0080 000c" + "00" * 12)).parameters == (
        UnknownParameter(128, bytes(12)),
    )


def test_tlvs_alone() -> None:
    assert parse_parameters(b"") == ()
    assert parse_parameters(bytes.fromhex(SEQ + DH_LIST))[0] == Seq(1)
    for octets in (b"\0", b"\0\0\0", bytes.fromhex(SEQ) + b"\0\0"):
        with pytest.raises(WireError) as caught:
            parse_parameters(octets)
        assert caught.value.reason == "hip_malformed"
    with pytest.raises(WireError) as caught:
        parse_parameters(bytes.fromhex(UNKNOWN_CRITICAL))
    assert caught.value.reason == "hip_critical"


def test_find() -> None:
    octets = packet_of(SEQ + ACK + "f8ad 0009 78787878 78787878 78 000000")
    assert find_tlv(octets, 385) == (40, 8)
    assert find_tlv(octets, 449) == (48, 8)
    assert find_tlv(octets, 63661) == (56, 16)
    assert find_tlv(octets, 511) is None
    assert find_tlv(packet_of(ACK + SEQ), 385) == (48, 8)


def test_find_in_broken_packets() -> None:
    for octets, reason in (
        (b"", "hip_short"),
        (packet_of(SEQ)[:-1], "hip_short"),
        (packet_of("0181 0005 00000001"), "hip_malformed"),
    ):
        with pytest.raises(WireError) as caught:
            find_tlv(octets, 449)
        assert caught.value.reason == reason


def test_a_parameter_too_long_for_its_length_field() -> None:
    with pytest.raises(LocalProtocolError):
        emit_parameter(UnknownParameter(2, bytes(0x10000)))
    with pytest.raises(LocalProtocolError):
        emit_parameter(UnknownParameter(0x10000, b""))


def test_an_unknown_parameter_cannot_be_read_without_its_type() -> None:
    with pytest.raises(WireError):
        UnknownParameter.parse(b"abc")
