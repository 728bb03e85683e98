"""Layouts of single peers: read with their switch, refused without it."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from hipgw.errors import LocalProtocolError, WireError
from hipgw.values import NO_QUIRKS, Hit, Quirk, Quirks
from hipgw.wire import (
    AddressLocator,
    DiffieHellman,
    HipPacket,
    HipSignature,
    HipSignature2,
    LocatorRecord,
    LocatorSet,
    PacketType,
    Parameter,
    Seq,
    ShortHipSignature,
    ShortHipSignature2,
    SpiLocator,
    emit_packet,
    parse_packet,
)
from hipgw.wire.foreign_layouts import SHORT_LIFETIME_S, parameters_with
from hipgw.wire.registry import parameters_of

HITS = Hit.parse("2001:21::a"), Hit.parse("2001:22::b")
HITS_V1 = Hit.parse("2001:11::a"), Hit.parse("2001:12::b")
V6 = ip_address("2001:db8::99")
V6_HEX = "20010db8 00000000 00000000 00000099"
ALL = frozenset(Quirk)


def tlv(kind: type[Parameter], contents: str) -> bytes:
    octets = bytes.fromhex(contents)
    head = int(kind.TYPE).to_bytes(2) + len(octets).to_bytes(2)
    return head + octets + bytes(-(4 + len(octets)) & 7)


def packet_of(*tlvs: bytes, version: int = 2) -> bytes:
    hits = HITS if version == 2 else HITS_V1
    empty = emit_packet(HipPacket(PacketType.UPDATE, *hits, version=version))
    body = b"".join(tlvs)
    return empty[:1] + bytes([(len(empty) + len(body)) // 8 - 1]) + empty[2:] + body


def read(kind: type[Parameter], contents: str, quirks: Quirks, version: int = 2) -> Parameter:
    octets = packet_of(tlv(kind, contents), version=version)
    (parameter,) = parse_packet(octets, versions=frozenset({version}), quirks=quirks).parameters
    return parameter


DEVIATIONS = [
    (Quirk.WRONG_DH_LENGTH, DiffieHellman, "07 0008" + "ab" * 64, DiffieHellman(7, b"\xab" * 64)),
    (
        Quirk.SHORT_LOCATOR,
        LocatorSet,
        "00 01 04 00 00000000 1a2b3c4d" + V6_HEX,
        LocatorSet((LocatorRecord(SpiLocator(0x1A2B3C4D, V6), SHORT_LIFETIME_S),)),
    ),
]


@pytest.mark.parametrize(("quirk", "kind", "contents", "expected"), DEVIATIONS)
def test_read_with_the_switch_alone(
    quirk: Quirk, kind: type[Parameter], contents: str, expected: Parameter
) -> None:
    found = read(kind, contents, frozenset({quirk}))
    assert isinstance(found, kind)
    assert found.contents() == expected.contents()
    for others in (NO_QUIRKS, ALL - {quirk}):
        with pytest.raises(WireError) as caught:
            read(kind, contents, others)
        assert caught.value.reason == "hip_malformed"


def test_signature_with_an_algorithm_of_one_octet() -> None:
    quirks = frozenset({Quirk.ONE_OCTET_SIGNATURE_ALGORITHM})
    for kind, short in ((HipSignature, ShortHipSignature), (HipSignature2, ShortHipSignature2)):
        found = read(kind, "07 00 aabbcc", quirks)
        assert isinstance(found, short)
        assert (found.algorithm, found.signature) == (7, b"\0\xaa\xbb\xcc")
        assert found.contents() == bytes.fromhex("07 00 aabbcc")
        found = read(kind, "07 00 aabbcc", ALL - quirks)
        assert isinstance(found, kind)
        assert (found.algorithm, found.signature) == (0x700, b"\xaa\xbb\xcc")
        with pytest.raises(WireError):
            read(kind, "07", quirks)
        packet = HipPacket(PacketType.UPDATE, *HITS, (short(7, b"sig"),))
        assert parse_packet(emit_packet(packet), quirks=quirks).parameters == packet.parameters
    with pytest.raises(LocalProtocolError, match="version 1"):
        emit_packet(
            HipPacket(PacketType.UPDATE, *HITS_V1, (ShortHipSignature(7, b"s"),), version=1)
        )


def test_layouts_of_the_rfc_stay_readable() -> None:
    assert read(DiffieHellman, "07 0002 abcd", ALL).contents() == bytes.fromhex("070002abcd")
    for locator in (SpiLocator(5, V6), AddressLocator(V6)):
        whole = LocatorSet((LocatorRecord(locator, 60, preferred=True), LocatorRecord(locator)))
        assert read(LocatorSet, whole.contents().hex(), ALL).contents() == whole.contents()
    with_zero = "00 00 04 00 00000000" + V6_HEX
    found = read(LocatorSet, with_zero, ALL)
    assert isinstance(found, LocatorSet)
    assert found.locators[0].lifetime_s == 0, "a locator without SPI is nobody's deviation"


def test_hostile_contents_are_still_refused() -> None:
    for kind, contents in (
        (DiffieHellman, "07 00"),
        (LocatorSet, "00 01 04 00 00000000" + V6_HEX),  # 4 words are there, not 5
        (LocatorSet, "00 01 06 00 00000000 1a2b3c4d 00000000" + V6_HEX),
        (LocatorSet, "00 01 04"),
    ):
        with pytest.raises(WireError) as caught:
            read(kind, contents, ALL)
        assert caught.value.reason == "hip_malformed"


def test_order() -> None:
    seq, dh = tlv(Seq, "00000001"), tlv(DiffieHellman, "07 0002 abcd")
    mac = bytes.fromhex("f041 0004") + b"mac!"
    quirks = frozenset({Quirk.UNORDERED_PARAMETERS})
    octets = packet_of(dh, seq, mac)
    assert [one.wire_type for one in parse_packet(octets, quirks=quirks).parameters] == [
        DiffieHellman.TYPE,
        Seq.TYPE,
        61505,
    ]
    for wrong in (packet_of(dh, mac, seq), packet_of(dh, seq, dh)):
        with pytest.raises(WireError):  # behind the MAC, and twice
            parse_packet(wrong, quirks=ALL)
    with pytest.raises(WireError):
        parse_packet(octets, quirks=ALL - quirks)


def test_versions() -> None:
    """In HIPv1 the short algorithm field and two public values are the rule, not a deviation."""
    assert parameters_with(1, ALL - {Quirk.SHORT_LOCATOR}) == parameters_of(1)
    short = "00 01 04 00 00000000 1a2b3c4d" + V6_HEX
    assert isinstance(read(LocatorSet, short, ALL, version=1), LocatorSet)
    for version in (1, 2):
        assert parameters_with(version, NO_QUIRKS) == parameters_of(version)
        assert set(parameters_with(version, ALL)) == set(parameters_of(version))
        for number, kind in parameters_with(version, ALL).items():
            assert issubclass(kind, parameters_of(version)[number])
