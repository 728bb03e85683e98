"""What must hold of the wire room for any value and for any octets.

Every parser either returns a value or raises WireError, whatever it is given.
"""

from __future__ import annotations

import contextlib
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hipgw.errors import LocalProtocolError, WireError
from hipgw.values import Hit, Quirk
from hipgw.wire import (
    PARAMETERS,
    EchoRequestUnsigned,
    HipPacket,
    Parameter,
    UnknownParameter,
    append_parameter,
    checksum_is_right,
    covered_octets,
    emit_packet,
    emit_parameter,
    find_tlv,
    mac2_octets,
    pad_plaintext,
    parse_packet,
    parse_parameters,
    patch_r1,
    peek_header,
    r1_signed_octets,
    strip_plaintext_padding,
    with_checksum,
)
from tests.property.wire_strategies import STRATEGIES, addresses, in_order, packets, parameters

HOST_ID_TLV = bytes.fromhex("02c1 0007 0001 0000 0005 6b 0000000000")
V4 = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")


def test_every_parameter_has_a_strategy() -> None:
    assert set(STRATEGIES) == {*PARAMETERS.values(), UnknownParameter}


@pytest.mark.parametrize("kind", STRATEGIES, ids=lambda kind: kind.__name__)
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_parameter_round_trip(kind: type[Parameter], data: st.DataObject) -> None:
    parameter = data.draw(STRATEGIES[kind])
    octets = emit_parameter(parameter)
    assert len(octets) % 8 == 0
    assert parse_parameters(octets) == (parameter,)
    assert emit_parameter(parse_parameters(octets)[0]) == octets


@settings(deadline=None, max_examples=200)
@given(packets)
def test_packet_round_trip(packet: HipPacket) -> None:
    try:
        octets = emit_packet(packet)
    except LocalProtocolError:  # the one thing wrong with these packets: their size
        assert sum(len(emit_parameter(each)) for each in packet.parameters) > 2008
        return
    parsed = parse_packet(octets)
    assert parsed == packet
    assert parsed.octets == octets
    assert emit_packet(parsed) == octets
    assert peek_header(octets) == (packet.packet_type, 2, packet.sender, packet.receiver)
    foreign = parse_packet(octets, quirks=frozenset(Quirk))
    assert [each.wire_type for each in foreign.parameters] == [
        each.wire_type for each in parsed.parameters
    ]


@settings(deadline=None, max_examples=300)
@given(packets, st.binary(max_size=400), st.frozensets(st.sampled_from(Quirk)))
def test_switches_read_more_and_never_less(
    packet: HipPacket, octets: bytes, quirks: frozenset[Quirk]
) -> None:
    """Whatever comes, a parser with switches raises WireError or takes it."""
    head = emit_packet(HipPacket(packet.packet_type, packet.sender, packet.receiver))
    body = octets[: len(octets) & ~7]
    whole = head[:1] + bytes([(len(head) + len(body)) // 8 - 1]) + head[2:] + body
    try:
        strict = parse_packet(whole)
    except WireError:
        with contextlib.suppress(WireError):
            assert parse_packet(whole, quirks=quirks).octets == whole
        return
    assert parse_packet(whole, quirks=quirks).octets == strict.octets


@settings(deadline=None)
@given(st.lists(parameters, max_size=5).map(in_order), st.sampled_from((1, 8, 16)))
def test_plaintext_round_trip(inside: tuple[Parameter, ...], block_octets: int) -> None:
    tlvs = b"".join(emit_parameter(parameter) for parameter in inside)
    padded = pad_plaintext(tlvs, block_octets)
    assert len(padded) % block_octets == 0
    assert strip_plaintext_padding(padded) == tlvs
    assert parse_parameters(padded, lenient_tail=True) == inside
    literal = tlvs + bytes([16 - len(tlvs) % 16]) * (16 - len(tlvs) % 16)
    assert strip_plaintext_padding(literal) == tlvs


@settings(deadline=None)
@given(packets, addresses, addresses)
def test_checksum_round_trip(
    packet: HipPacket, source: IPv4Address | IPv6Address, destination: IPv4Address | IPv6Address
) -> None:
    octets = emit_packet(HipPacket(packet.packet_type, packet.sender, packet.receiver))
    if source.version != destination.version:
        with pytest.raises(LocalProtocolError):
            with_checksum(octets, source, destination)
        return
    filled = with_checksum(octets, source, destination)
    assert filled[:4] + filled[6:] == octets[:4] + octets[6:]
    assert checksum_is_right(filled, source, destination)
    assert with_checksum(filled, source, destination) == filled


@settings(deadline=None)
@given(packets, st.binary(max_size=20))
def test_append_keeps_the_packet(packet: HipPacket, data: bytes) -> None:
    """A parameter appended comes back, and what was there is covered as it was."""
    last = EchoRequestUnsigned(data)
    if any(each.wire_type > last.TYPE for each in packet.parameters):
        return
    octets = emit_packet(packet)
    longer = append_parameter(octets, last)
    assert parse_packet(longer).parameters == (*packet.parameters, last)
    if packet.get(EchoRequestUnsigned) is None:
        assert covered_octets(longer, last.TYPE) == octets


def survive(octets: bytes) -> None:
    """Give octets to every reader; anything but WireError and the two stated refusals fails."""
    for read in (
        parse_packet,
        peek_header,
        parse_parameters,
        lambda each: parse_parameters(each, lenient_tail=True),
        strip_plaintext_padding,
        lambda each: find_tlv(each, 257),
        lambda each: covered_octets(each, 61697),
        lambda each: mac2_octets(each, HOST_ID_TLV),
        r1_signed_octets,
    ):
        with contextlib.suppress(WireError):
            read(octets)
    assert checksum_is_right(octets, *V4) in {True, False}
    with contextlib.suppress(WireError, LocalProtocolError):
        append_parameter(octets, EchoRequestUnsigned(b"x"))
    with contextlib.suppress(LocalProtocolError):
        patch_r1(octets, Hit(bytes(16)), bytes(2), bytes(32))


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200))
def test_any_octets(octets: bytes) -> None:
    survive(octets)


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from((1, 2, 3, 4, 16, 17, 18, 32)),
    st.lists(
        st.tuples(
            st.one_of(st.sampled_from(sorted(PARAMETERS)), st.integers(0, 0xFFFF)),
            st.binary(max_size=60),
        ),
        max_size=6,
    ),
    st.booleans(),
)
def test_any_contents_in_right_frames(
    packet_type: int, tlvs: list[tuple[int, bytes]], is_sorted: bool
) -> None:
    """Well-framed packets with arbitrary contents reach the parser of every parameter."""
    if is_sorted:
        tlvs = sorted(tlvs)
    body = b""
    for number, contents in tlvs:
        body += number.to_bytes(2, "big") + len(contents).to_bytes(2, "big") + contents
        body += bytes(-len(body) % 8)
    head = bytes([59, (40 + len(body)) // 8 - 1, packet_type, 0x21]) + bytes(36)
    survive(head + body)


@pytest.mark.parametrize("kind", PARAMETERS.values(), ids=lambda kind: kind.__name__)
@settings(deadline=None, max_examples=60)
@given(contents=st.binary(max_size=120))
def test_any_contents(kind: type[Parameter], contents: bytes) -> None:
    """What a parameter accepts, it can mostly write again; and it accepts what it has written."""
    try:
        parameter = kind.parse(contents)
    except WireError:
        return
    try:
        again = parameter.contents()
    except LocalProtocolError:  # a locator lifetime of zero: read, but never written
        return
    assert kind.parse(again) == parameter


@settings(deadline=None, max_examples=300)
@given(
    packets,
    st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=4),
    st.integers(0, 60),
    st.binary(max_size=10),
)
def test_mutated_packets(
    packet: HipPacket, changes: list[tuple[int, int]], cut: int, tail: bytes
) -> None:
    try:
        octets = bytearray(emit_packet(packet))
    except LocalProtocolError:
        return
    for place, value in changes:
        octets[place % len(octets)] = value
    survive(bytes(octets))
    survive(bytes(octets[: max(0, len(octets) - cut)]) + tail)
