"""HIPv1 (RFC 5201): its own layouts, and which version a packet is read and written in."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from hipgw.errors import LocalProtocolError, WireError
from hipgw.values import Hit
from hipgw.wire import (
    DhPublicValue,
    DiffieHellman,
    DiffieHellmanV1,
    EchoRequestUnsigned,
    EspInfo,
    HipCipherList,
    HipMac,
    HipMac2V1,
    HipMacV1,
    HipPacket,
    HipSignature,
    HipSignature2,
    HipSignature2V1,
    HipSignatureV1,
    HipTransformList,
    HostId,
    HostIdV1,
    LocatorSet,
    PacketType,
    Parameter,
    Puzzle,
    PuzzleV1,
    R1Counter,
    R1CounterV1,
    Seq,
    Solution,
    SolutionV1,
    UnknownParameter,
    append_parameter,
    covered_octets,
    emit_packet,
    emit_parameter,
    parse_packet,
    parse_parameters,
    patch_r1,
    r1_signed_octets,
    with_checksum,
)
from tests.unit.wire.layouts import check_layout, check_malformed, check_read, check_refused

A, B = Hit.parse("2001:10::1"), Hit.parse("2001:10::2")
V1 = frozenset({1})
BOTH = frozenset({1, 2})
I_OCTETS = bytes.fromhex("0102030405060708")
J_OCTETS = bytes.fromhex("1112131415161718")
MAC = bytes(range(20))
PUZZLE = PuzzleV1(10, 39, b"\x48\x49", I_OCTETS)


def packet(kind: PacketType, *parameters: Parameter) -> HipPacket:
    return HipPacket(kind, A, B, parameters, version=1)


class TestLayouts:
    def test_r1_counter(self) -> None:
        check_layout(R1CounterV1(5, 0), 128, "00000000 0000000000000005", version=1)
        check_malformed(R1CounterV1, "00000000 00000000000005")

    def test_puzzle(self) -> None:
        check_layout(PUZZLE, 257, "0a 27 4849 0102030405060708", version=1)
        assert PUZZLE.lifetime_s == 128.0
        for contents in ("0a 27 4849", "0a 27 4849" + "00" * 7, "0a 27 4849" + "00" * 20):
            check_malformed(PuzzleV1, contents)
        check_refused(PuzzleV1(10, 39, b"HI", bytes(20)))
        check_refused(PuzzleV1(10, 39, b"H", I_OCTETS))
        check_refused(PuzzleV1(256, 39, b"HI", I_OCTETS))

    def test_solution(self) -> None:
        solution = SolutionV1(10, b"\x48\x49", I_OCTETS, J_OCTETS, 39)
        check_layout(solution, 321, "0a 27 4849 0102030405060708 1112131415161718", version=1)
        for contents in ("0a 00 4849" + "00" * 14, "0a 00 4849" + "00" * 18):
            check_malformed(SolutionV1, contents)
        check_refused(SolutionV1(10, b"HI", I_OCTETS, bytes(7)))
        check_refused(SolutionV1(10, b"HI", bytes(20), bytes(20)))

    def test_diffie_hellman_with_one_value_and_with_two(self) -> None:
        three, one = DhPublicValue(3, b"\xaa\xbb\xcc"), DhPublicValue(1, b"\xdd")
        check_layout(DiffieHellmanV1((three,)), 513, "03 0003 aabbcc", version=1)
        check_layout(DiffieHellmanV1((three, one)), 513, "03 0003 aabbcc 01 0001 dd", version=1)

    @pytest.mark.parametrize(
        "contents",
        [
            "",
            "03",
            "03 00",
            "03 0004 aabbcc",
            "03 0003 aabbcc 01",
            "03 0003 aabbcc 01 0002 dd",
            "03 0003 aabbcc 01 0001 dd 05 0000",
        ],
    )
    def test_malformed_diffie_hellman(self, contents: str) -> None:
        check_malformed(DiffieHellmanV1, contents)

    def test_diffie_hellman_that_is_not_sent(self) -> None:
        value = DhPublicValue(3, b"\1")
        check_refused(DiffieHellmanV1(()))
        check_refused(DiffieHellmanV1((value, value, value)))
        check_refused(DiffieHellmanV1((DhPublicValue(256, b"\1"),)))

    def test_hip_transform(self) -> None:
        check_layout(HipTransformList((1, 5)), 577, "0001 0005", version=1)
        check_layout(HipTransformList(()), 577, "", version=1)
        check_read(
            HipTransformList,
            "0001 0002 0003 0004 0005 0006 0007",
            HipTransformList((1, 2, 3, 4, 5, 6)),
        )
        check_malformed(HipTransformList, "0001 00")
        check_refused(HipTransformList((1,) * 7))

    def test_host_id(self) -> None:
        plain = HostIdV1(5, b"\x03\x01\x00\x01\xc1")
        check_layout(plain, 705, "0009 0000 0202 ff 05 03010001c1", version=1)
        named = HostIdV1(3, b"\x08", 1, b"vm\0", flags=0x0100, protocol=3)
        check_layout(named, 705, "0005 1003 0100 03 03 08 766d00", version=1)

    @pytest.mark.parametrize(
        "contents",
        [
            "",
            "0004 0000 0202 ff",
            "0003 0000 0202 ff 05",
            "0003 1001 0202 ff 05",  # the lengths add up, but HI is shorter than its head
            "0005 0000 0202 ff 05",
            "0004 0000 0202 ff 05 00",
            "0004 0001 0202 ff 05 61",  # a DI of type 0
        ],
    )
    def test_malformed_host_id(self, contents: str) -> None:
        check_malformed(HostIdV1, contents)

    def test_host_id_that_is_not_sent(self) -> None:
        check_refused(HostIdV1(5, b"k", 0, b"di"))
        check_refused(HostIdV1(5, b"k", 16, b"di"))
        check_refused(HostIdV1(5, b"k", 1, bytes(4096)))
        check_refused(HostIdV1(256, b"k"))

    @pytest.mark.parametrize(("kind", "number"), [(HipMacV1, 61505), (HipMac2V1, 61569)])
    def test_macs(self, kind: type[HipMacV1 | HipMac2V1], number: int) -> None:
        for octets in (16, 20):
            check_layout(kind(MAC[:octets]), number, MAC[:octets].hex(), version=1)
        for octets in (0, 12, 19, 32):
            check_malformed(kind, bytes(octets).hex())
            check_refused(kind(bytes(octets)))

    @pytest.mark.parametrize(
        ("kind", "number"), [(HipSignatureV1, 61697), (HipSignature2V1, 61633)]
    )
    def test_signatures(self, kind: type[HipSignatureV1 | HipSignature2V1], number: int) -> None:
        check_layout(kind(5, b"\xab\xcd"), number, "05 abcd", version=1)
        check_malformed(kind, "")
        check_malformed(kind, "05")
        check_refused(kind(5, b""))
        check_refused(kind(256, b"s"))


def test_what_both_versions_carry_is_found_by_one_name() -> None:
    solution = SolutionV1(0, b"HI", I_OCTETS, J_OCTETS)
    i2 = packet(
        PacketType.I2,
        R1CounterV1(7),
        solution,
        HostIdV1(5, b"key"),
        HipMacV1(MAC),
        HipSignatureV1(5, b"sig"),
    )
    parsed = parse_packet(emit_packet(i2), versions=BOTH)
    assert parsed == i2
    assert parsed.require(R1Counter).counter == 7
    assert parsed.require(Solution) is parsed.require(SolutionV1)
    assert parsed.require(HostId).hi == b"key"
    assert parsed.require(HipMac).mac == MAC
    assert parsed.require(HipSignature).signature == b"sig"


def test_the_header_picks_the_layout() -> None:
    """The same octets mean other things in the other version."""
    octets = emit_packet(packet(PacketType.I2, HipSignatureV1(5, b"\x01\x02\x03")))
    assert octets[3] == 0x11
    assert parse_packet(octets, versions=BOTH).parameters == (HipSignatureV1(5, b"\x01\x02\x03"),)
    as_v2 = octets[:3] + b"\x21" + octets[4:]
    assert parse_packet(as_v2, versions=BOTH).parameters == (HipSignature(0x0501, b"\x02\x03"),)


def test_version_one_is_refused_unless_asked_for() -> None:
    with pytest.raises(WireError) as caught:
        parse_packet(emit_packet(packet(PacketType.I1)))
    assert caught.value.reason == "hip_version"


def test_type_128_is_of_version_one_only() -> None:
    octets = emit_packet(packet(PacketType.R1, R1CounterV1(1)))
    as_v2 = octets[:3] + b"\x21" + octets[4:]
    assert parse_packet(as_v2).parameters == (UnknownParameter(128, bytes(11) + b"\1"),)


@pytest.mark.parametrize("number", [129, 511, 579, 715, 2049])
def test_critical_parameters_of_version_two_are_unknown_in_version_one(number: int) -> None:
    octets = emit_packet(packet(PacketType.R1, UnknownParameter(number, b"\0\1")))
    with pytest.raises(WireError) as caught:
        parse_packet(octets, versions=V1)
    assert (caught.value.reason, caught.value.parameter_type) == ("hip_critical", number)


@pytest.mark.parametrize(
    "parameter",
    [
        R1Counter(1),
        Puzzle(0, 0, b"HI", I_OCTETS),
        DiffieHellman(3, b"\1"),
        HipCipherList((2,)),
        HostId(5, b"key"),
        HipMac(MAC),
        HipSignature(5, b"sig"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_layouts_of_version_two_are_not_written_in_version_one(parameter: Parameter) -> None:
    with pytest.raises(LocalProtocolError, match="version 1"):
        emit_packet(packet(PacketType.I2, parameter))
    with pytest.raises(LocalProtocolError, match="version 1"):
        append_parameter(emit_packet(packet(PacketType.I2)), parameter)


@pytest.mark.parametrize(
    "parameter",
    [PUZZLE, HipTransformList((1,)), HostIdV1(5, b"key"), HipSignatureV1(5, b"sig")],
    ids=lambda each: type(each).__name__,
)
def test_layouts_of_version_one_are_not_written_in_version_two(parameter: Parameter) -> None:
    with pytest.raises(LocalProtocolError, match="version 2"):
        emit_packet(HipPacket(PacketType.I2, A, B, (parameter,)))
    with pytest.raises(LocalProtocolError, match="version 2"):
        append_parameter(emit_packet(HipPacket(PacketType.I2, A, B)), parameter)


def test_append_in_version_one() -> None:
    octets = emit_packet(packet(PacketType.UPDATE, EspInfo(72, 1, 2), LocatorSet(), Seq(1)))
    octets = append_parameter(octets, HipMacV1(MAC))
    octets = append_parameter(octets, HipSignatureV1(5, b"sig"))
    assert octets[3] == 0x11
    parsed = parse_packet(octets, versions=V1)
    assert [type(each) for each in parsed.parameters] == [
        EspInfo,
        LocatorSet,
        Seq,
        HipMacV1,
        HipSignatureV1,
    ]


def test_inside_encrypted_the_version_counts_too() -> None:
    tlv = emit_parameter(HostIdV1(5, b"key"))
    assert parse_parameters(tlv + b"\x08" * 8, lenient_tail=True, version=1) == (
        HostIdV1(5, b"key"),
    )
    with pytest.raises(WireError):
        parse_parameters(tlv)


def test_r1_signature_leaves_out_opaque_and_eight_octets_of_i() -> None:
    r1 = packet(PacketType.R1, PUZZLE, HipTransformList((1,)))
    template = append_parameter(emit_packet(r1), HipSignature2V1(5, b"sig"))
    patched = patch_r1(template, Hit.parse("2001:10::99"), b"\xaa\xbb", b"\xcc" * 8)
    assert parse_packet(patched, versions=V1).require(Puzzle) == PuzzleV1(
        10, 39, b"\xaa\xbb", b"\xcc" * 8
    )
    signed = r1_signed_octets(patched)
    assert signed == r1_signed_octets(template)
    assert signed[24:40] == bytes(16)
    assert signed[40:46] == bytes.fromhex("0101 000c 0a 27")
    assert signed[46:56] == bytes(10)
    assert signed[56:] == emit_parameter(HipTransformList((1,)))
    with pytest.raises(LocalProtocolError):
        patch_r1(template, A, b"HI", bytes(32))


@pytest.mark.parametrize(
    ("source", "destination"),
    [("192.168.0.1", "192.168.0.2"), ("::192.168.0.1", "::192.168.0.2")],
)
def test_checksum_of_rfc_5201(source: str, destination: str) -> None:
    """Appendix C.1 and C.2: an I1, with the same checksum over both families."""
    octets = emit_packet(packet(PacketType.I1))
    assert octets[:8] == bytes.fromhex("3b04 0111 0000 0000")
    filled = with_checksum(octets, ip_address(source), ip_address(destination))
    assert filled[4:6] == bytes.fromhex("01be")


class TestLenientOrder:
    """Hosts that break the order of types (HIPL 1.0.8, hip-vpls), when the caller says so."""

    COUNTER = emit_parameter(R1CounterV1(7))
    SOLUTION = emit_parameter(SolutionV1(0, b"HI", I_OCTETS, J_OCTETS))
    DH = emit_parameter(DiffieHellmanV1((DhPublicValue(3, b"\1"),)))
    MAC = emit_parameter(HipMacV1(MAC))
    SIGNATURE = emit_parameter(HipSignatureV1(5, b"sig"))

    @staticmethod
    def octets(*tlvs: bytes) -> bytes:
        body = b"".join(tlvs)
        head = emit_packet(packet(PacketType.I2))
        return head[:1] + bytes([(40 + len(body)) // 8 - 1]) + head[2:] + body

    def reason(self, *tlvs: bytes) -> str:
        with pytest.raises(WireError) as caught:
            parse_packet(self.octets(*tlvs), versions=V1, lenient_order=True)
        return caught.value.reason

    def test_counter_after_diffie_hellman(self) -> None:
        octets = self.octets(self.SOLUTION, self.DH, self.COUNTER, self.MAC, self.SIGNATURE)
        with pytest.raises(WireError) as caught:
            parse_packet(octets, versions=V1)
        assert (caught.value.reason, caught.value.parameter_type) == ("hip_malformed", 128)
        parsed = parse_packet(octets, versions=V1, lenient_order=True)
        assert [int(each.wire_type) for each in parsed.parameters] == [321, 513, 128, 61505, 61697]
        assert parsed.require(R1Counter).counter == 7
        assert len(covered_octets(octets, HipMac.TYPE)) == len(octets) - len(
            self.MAC + self.SIGNATURE
        )

    def test_of_version_two_as_well(self) -> None:
        body = emit_parameter(R1Counter(1)) + emit_parameter(EspInfo(0, 0, 1))
        assert parse_parameters(body, lenient_order=True) == (R1Counter(1), EspInfo(0, 0, 1))
        with pytest.raises(WireError):
            parse_parameters(body)

    def test_nothing_slips_in_behind_a_mac(self) -> None:
        """It would be taken for authenticated."""
        assert self.reason(self.SOLUTION, self.MAC, self.COUNTER) == "hip_malformed"
        assert self.reason(self.SOLUTION, self.SIGNATURE, self.MAC) == "hip_malformed"
        echo = emit_parameter(EchoRequestUnsigned(b"x"))
        assert self.reason(self.MAC, echo, self.DH) == "hip_malformed"

    def test_a_parameter_still_comes_once(self) -> None:
        assert self.reason(self.COUNTER, self.SOLUTION, self.COUNTER) == "hip_malformed"
        assert self.reason(self.DH, self.COUNTER, self.SOLUTION, self.COUNTER) == "hip_malformed"
        assert self.reason(self.COUNTER, self.COUNTER) == "hip_malformed"

    def test_signature_2_before_its_packet_is_strict_too(self) -> None:
        signature = emit_parameter(HipSignature2V1(5, b"sig"))
        assert self.reason(signature, self.COUNTER) == "hip_malformed"
        assert HipSignature2.TYPE > HipMac.TYPE
