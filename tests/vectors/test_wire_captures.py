"""Packets of other programs and of the reference set: checksums, values, byte-exact re-emission.

Where a capture breaks a rule of RFC 7401, the test states which, and that the packet is refused.
"""

from __future__ import annotations

import hmac
import json
from functools import cache
from ipaddress import ip_address

import pytest

from hipgw.errors import WireError
from hipgw.values import Hit
from hipgw.wire import (
    DhGroupList,
    DiffieHellman,
    EchoRequestSigned,
    EchoRequestUnsigned,
    EchoResponseSigned,
    EchoResponseUnsigned,
    Encrypted,
    EspInfo,
    EspTransform,
    HipCipherList,
    HipMac,
    HipMac2,
    HipPacket,
    HipSignature,
    HipSignature2,
    HitSuiteList,
    HostId,
    LocatorSet,
    PacketType,
    Puzzle,
    R1Counter,
    Seq,
    Solution,
    SpiLocator,
    TransportFormatList,
    checksum_is_right,
    covered_octets,
    emit_packet,
    find_tlv,
    mac2_octets,
    parse_packet,
    patch_r1,
    r1_signed_octets,
    with_checksum,
)
from tests.vectors.pcap_file import PCAP_FOLDER, Datagram, hip_packets

REFERENCE = (
    "hipv2-ref-rsa-p256-v4",
    "hipv2-ref-rsa-modp1536-v6",
    "hipv2-ref-ecdsa256-p384-udp",
    "hipv2-ref-ecdsa384-p256-v4",
)
PACKETS = {
    "cutehip-bex-2025": 4,
    "cutehip-ecdsa384-2026": 8,
    "hip-vpls-2026": 8,
    "hipl108-hybrid-v2-raw139": 4,
    "hipv1-openhip-hipl-raw139": 4,
    "hipv1-openhip-hipl-udp10500": 4,
    "hipv1-openhip-k10-raw139": 4,
    "hipv2-ref-rsa-p256-v4": 9,
    "hipv2-ref-rsa-modp1536-v6": 9,
    "hipv2-ref-ecdsa256-p384-udp": 6,
    "hipv2-ref-ecdsa384-p256-v4": 6,
}
# (capture, index of the HIP packet): reason, parameter type, why
REFUSED = {
    ("cutehip-bex-2025", 1): ("hip_malformed", 513, "R1: Public Value Length 8 for 64 octets"),
    ("cutehip-bex-2025", 2): ("hip_malformed", 513, "I2: Public Value Length 8 for 64 octets"),
    ("hip-vpls-2026", 2): ("hip_malformed", 65, "I2: R1_COUNTER before ESP_INFO"),
    ("hipl108-hybrid-v2-raw139", 1): ("hip_malformed", 705, "R1: HOST_ID of version 1"),
    ("hipl108-hybrid-v2-raw139", 2): ("hip_malformed", 705, "I2: HOST_ID of version 1"),
    **{
        (name, index): ("hip_version", None, "version 1")
        for name in PACKETS
        if name.startswith("hipv1")
        for index in range(4)
    },
}


EVERY_PACKET = [(name, index) for name, count in PACKETS.items() for index in range(count)]


@cache
def capture(name: str) -> list[Datagram]:
    return hip_packets(PCAP_FOLDER / f"{name}.pcap")


def octets_of(name: str, index: int) -> bytes:
    """The packet with checksum 0, as MACs see it and as it is emitted."""
    octets = capture(name)[index].octets
    return octets[:4] + b"\0\0" + octets[6:]


def vectors(name: str) -> dict[str, str]:
    loaded: dict[str, dict[str, str]] = json.loads(
        (PCAP_FOLDER / "hipv2-ref-vectors.json").read_text()
    )
    return loaded[name]


def test_captures_are_complete() -> None:
    """Nothing in the folder is left out, and no capture lost a packet on the way here."""
    found = {path.stem for path in PCAP_FOLDER.glob("*.pcap")}
    assert found == {*PACKETS, "esp-suites"}
    assert {name: len(capture(name)) for name in PACKETS} == PACKETS


@pytest.mark.parametrize(("name", "index"), EVERY_PACKET)
def test_checksum(name: str, index: int) -> None:
    """Over raw IP the checksum is right and ours is the same; inside UDP the field is zero."""
    sent = capture(name)[index]
    if sent.in_udp:
        assert sent.octets[4:6] == b"\0\0"
        return
    assert checksum_is_right(sent.octets, sent.source, sent.destination)
    assert with_checksum(sent.octets, sent.source, sent.destination) == sent.octets
    wrong = sent.octets[:5] + bytes([sent.octets[5] ^ 1]) + sent.octets[6:]
    assert not checksum_is_right(wrong, sent.source, sent.destination)


@pytest.mark.parametrize(("name", "index"), EVERY_PACKET)
def test_parse_and_emit(name: str, index: int) -> None:
    """Canonical packets come back octet for octet; the others are refused, and this says why."""
    octets = capture(name)[index].octets
    refusal = REFUSED.get((name, index))
    if refusal is None:
        packet = parse_packet(octets)
        assert packet.octets == octets
        assert emit_packet(packet) == octets_of(name, index)
        return
    reason, parameter_type, _why = refusal
    with pytest.raises(WireError) as caught:
        parse_packet(octets)
    assert (caught.value.reason, caught.value.parameter_type) == (reason, parameter_type)


@pytest.mark.parametrize("index", [1, 2])
def test_cutehip_2025_order(index: int) -> None:
    """With the length of its DIFFIE_HELLMAN mended, ESP_TRANSFORM before HOST_ID is seen."""
    octets = octets_of("cutehip-bex-2025", index)
    offset, _ = find_tlv(octets, DiffieHellman.TYPE) or (0, 0)
    assert octets[offset + 4 : offset + 7] == bytes.fromhex("07 0008")
    mended = octets[: offset + 5] + (64).to_bytes(2, "big") + octets[offset + 7 :]
    with pytest.raises(WireError) as caught:
        parse_packet(mended)
    assert (caught.value.reason, caught.value.parameter_type) == ("hip_malformed", HostId.TYPE)


@pytest.mark.parametrize("name", REFERENCE)
def test_vectors_are_the_captured_packets(name: str) -> None:
    for index, key in enumerate(("i1", "r1", "i2", "r2")):
        assert octets_of(name, index) == bytes.fromhex(vectors(name)[key])


def exchange(name: str) -> tuple[HipPacket, HipPacket, HipPacket, HipPacket]:
    i1, r1, i2, r2 = (parse_packet(each.octets) for each in capture(name)[:4])
    return i1, r1, i2, r2


@pytest.mark.parametrize("name", REFERENCE)
def test_reference_exchange(name: str) -> None:
    """Every field of the base exchange against the values the vectors were made from."""
    v = vectors(name)
    raw = {key: bytes.fromhex(v[key]) for key in ("I", "J", "hi_r", "dh_pub_i", "dh_pub_r")}
    group, cipher, suite = int(v["dh_group"]), int(v["hip_cipher"]), int(v["esp_suite"])
    index, k = int(v["keymat_index"]), int(v["K"])
    initiator, responder = Hit.parse(v["hit_i"]), Hit.parse(v["hit_r"])
    i1, r1, i2, r2 = exchange(name)
    assert [each.packet_type.name for each in (i1, r1, i2, r2)] == ["I1", "R1", "I2", "R2"]
    assert all((each.sender, each.receiver) == (initiator, responder) for each in (i1, i2))
    assert all((each.sender, each.receiver) == (responder, initiator) for each in (r1, r2))
    assert i1.parameters == (DhGroupList((group,)),)
    host_id = HostId(int(v["hi_alg"]), raw["hi_r"], 1, b"\x09responder\x07example\x03org\0")
    formats = TransportFormatList((4095,)), EspTransform((suite,))
    assert r1.parameters == (
        R1Counter(7),
        Puzzle(k, 37, b"\xab\xcd", raw["I"]),
        DhGroupList((group,)),
        DiffieHellman(group, raw["dh_pub_r"]),
        HipCipherList((cipher,)),
        host_id,
        HitSuiteList((int(v["oga"]),)),
        *formats,
        r1.require(HipSignature2),
        EchoRequestUnsigned(b"pong me"),
    )
    assert i2.parameters == (
        EspInfo(index, 0, int(v["spi_i"], 16)),
        R1Counter(7),
        Solution(k, b"\xab\xcd", raw["I"], raw["J"]),
        DiffieHellman(group, raw["dh_pub_i"]),
        HipCipherList((cipher,)),
        i2.require(Encrypted),
        *formats,
        HipMac(bytes.fromhex(v["i2_mac"])),
        i2.require(HipSignature),
        EchoResponseUnsigned(b"pong me"),
    )
    assert r2.parameters == (
        EspInfo(index, 0, int(v["spi_r"], 16)),
        HipMac2(bytes.fromhex(v["r2_mac2"])),
        r2.require(HipSignature),
    )


@pytest.mark.parametrize("name", REFERENCE)
def test_reference_r1_coverage(name: str) -> None:
    signed = bytes.fromhex(vectors(name)["r1_signed_bytes"])
    assert r1_signed_octets(capture(name)[1].octets) == signed


@pytest.mark.parametrize("name", REFERENCE)
def test_reference_r1_from_a_template(name: str) -> None:
    """An R1 whose puzzle and receiver are blank becomes the captured one."""
    r1 = octets_of(name, 1)
    puzzle = parse_packet(r1).require(Puzzle)
    offset, _ = find_tlv(r1, Puzzle.TYPE) or (0, 0)
    blank = bytearray(r1)
    blank[24:40] = bytes(16)
    blank[offset + 6 : offset + 8 + len(puzzle.i)] = bytes(2 + len(puzzle.i))
    receiver = parse_packet(r1).receiver
    assert patch_r1(bytes(blank), receiver, puzzle.opaque, puzzle.i) == r1


@pytest.mark.parametrize("name", REFERENCE)
def test_reference_mac_coverage(name: str) -> None:
    """HMACs over what we say is covered are those in the packets: right keys, right octets."""
    v = vectors(name)
    initiator, responder = ("gl", "lg") if v["initiator_hit_greater"] else ("lg", "gl")
    keys = {
        role: bytes.fromhex(v[f"hip_{half}_mac"])
        for role, half in (("initiator", initiator), ("responder", responder))
    }
    r1, i2, r2 = (octets_of(name, index) for index in (1, 2, 3))
    offset, total = find_tlv(r1, HostId.TYPE) or (0, 0)
    i2_mac = hmac.digest(keys["initiator"], covered_octets(i2, HipMac.TYPE), v["rhash"])
    r2_mac = hmac.digest(
        keys["responder"], mac2_octets(r2, r1[offset : offset + total]), v["rhash"]
    )
    assert i2_mac == bytes.fromhex(v["i2_mac"])
    assert r2_mac == bytes.fromhex(v["r2_mac2"])
    for sent in capture(name)[4:]:  # UPDATE, CLOSE, CLOSE_ACK
        packet = parse_packet(sent.octets)
        is_initiator = packet.sender == Hit.parse(v["hit_i"])
        key = keys["initiator" if is_initiator else "responder"]
        mac = hmac.digest(key, covered_octets(sent.octets, HipMac.TYPE), v["rhash"])
        assert packet.require(HipMac).mac == mac


def test_reference_mobility_and_close() -> None:
    name = "hipv2-ref-rsa-p256-v4"
    first, second, third, close, close_ack = (
        parse_packet(sent.octets) for sent in capture(name)[4:]
    )
    (record,) = first.require(LocatorSet).locators
    assert record.locator == SpiLocator(0x1A2B3C4D, ip_address("192.0.2.99"))
    assert (record.lifetime_s, record.preferred, record.traffic_type) == (600, True, 0)
    assert first.require(Seq) == second.require(Seq) == Seq(0)
    assert second.require(EchoRequestSigned).data == b"nonce-42"
    assert third.require(EchoResponseSigned).data == b"nonce-42"
    assert close.packet_type is PacketType.CLOSE
    assert close_ack.packet_type is PacketType.CLOSE_ACK
    assert close.require(EchoRequestSigned).data == b"close-nonce"
    assert close_ack.require(EchoResponseSigned).data == b"close-nonce"


def test_cutehip_ecdsa() -> None:
    """A base exchange of another implementation, read value by value."""
    i1, r1, i2, r2 = exchange("cutehip-ecdsa384-2026")
    assert len(i1.require(DhGroupList).groups) == 6
    assert r1.require(HitSuiteList) == HitSuiteList((1, 2, 3))
    assert r1.require(EspTransform) == EspTransform((9, 8, 7))
    assert r1.require(HostId).algorithm == 7
    assert len(r1.require(HostId).hi) == 99
    assert r1.require(HostId).di_type == 2
    assert r1.require(Puzzle).k == i2.require(Solution).k == 16
    assert r1.require(Puzzle).i == i2.require(Solution).i
    assert len(i2.require(Solution).j) == 48
    assert len(r2.require(HipMac2).mac) == 48
    assert r2.get(HipSignature) is None
    assert r2.require(HipSignature2).algorithm == 7
