"""Exchanges recorded between other implementations, verified end to end (sources: pcap/README.md).

Their deviations are theirs: each is named where it shows, and nothing in hipgw bends to them.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hipgw.crypto import HostIdentity, compute_mac, puzzle_is_solved
from hipgw.errors import WireError
from hipgw.values import Hit, HitSuite
from hipgw.wire import (
    EspInfo,
    HipMac,
    HipPacket,
    HipSignature,
    HipSignature2,
    HostId,
    PacketType,
    Puzzle,
    Solution,
    checksum_is_right,
    covered_octets,
    emit_packet,
    find_tlv,
    mac2_octets,
    parse_packet,
    r1_signed_octets,
)
from tests.vectors.pcap_file import hip_packets

HERE = Path(__file__).parent / "pcap"
CUTEHIP = "cutehip-ecdsa384-2026.pcap"
HIPV1 = ["hipv1-openhip-hipl-raw139", "hipv1-openhip-hipl-udp10500"]


@pytest.fixture(scope="module")
def exchange() -> dict[PacketType, HipPacket]:
    """The four packets of a base exchange between two cutehip hosts, ECDSA P-384."""
    found: dict[PacketType, HipPacket] = {}
    for frame in hip_packets(HERE / CUTEHIP):
        assert checksum_is_right(frame.octets, frame.source, frame.destination)
        packet = parse_packet(frame.octets)
        found.setdefault(packet.packet_type, packet)
    assert {PacketType.I1, PacketType.R1, PacketType.I2, PacketType.R2} <= set(found)
    return found


def identity_of(packet: HipPacket) -> HostIdentity:
    host_id = packet.require(HostId)
    return HostIdentity.from_wire(host_id.algorithm, host_id.hi)


def test_hits_recomputed(exchange: dict[PacketType, HipPacket]) -> None:
    assert identity_of(exchange[PacketType.R1]).hit == exchange[PacketType.R1].sender
    assert identity_of(exchange[PacketType.I2]).hit == exchange[PacketType.I2].sender


def test_signatures_verified(exchange: dict[PacketType, HipPacket]) -> None:
    r1, i2, r2 = (exchange[kind] for kind in (PacketType.R1, PacketType.I2, PacketType.R2))
    responder, initiator = identity_of(r1), identity_of(i2)
    signature = r1.require(HipSignature2).signature
    assert responder.verify(signature, r1_signed_octets(r1.octets))
    message = bytearray(r1_signed_octets(r1.octets))
    message[-1] ^= 1
    assert not responder.verify(signature, bytes(message))
    assert initiator.verify(
        i2.require(HipSignature).signature, covered_octets(i2.octets, HipSignature.TYPE)
    )
    # cutehip carries the R2 signature in HIP_SIGNATURE_2, where RFC 7401 5.3.4 has HIP_SIGNATURE.
    assert r2.get(HipSignature) is None
    assert responder.verify(
        r2.require(HipSignature2).signature, covered_octets(r2.octets, HipSignature2.TYPE)
    )


def test_puzzle_solved_with_their_hit_order(exchange: dict[PacketType, HipPacket]) -> None:
    i2 = exchange[PacketType.I2]
    solution = i2.require(Solution)
    assert solution.i == exchange[PacketType.R1].require(Puzzle).i
    suite = HitSuite(i2.receiver.suite)
    # cutehip hashes I | HIT-R | HIT-I | J; RFC 7401 section 6.3 has the Initiator's HIT first.
    assert puzzle_is_solved(suite, solution.k, solution.i, i2.receiver, i2.sender, solution.j)
    assert not puzzle_is_solved(suite, solution.k, solution.i, i2.sender, i2.receiver, solution.j)


def test_reemitted_octet_for_octet(exchange: dict[PacketType, HipPacket]) -> None:
    for packet in exchange.values():
        ours = bytearray(emit_packet(packet))
        ours[4:6] = packet.octets[4:6]  # the checksum depends on addresses
        assert bytes(ours) == packet.octets


def test_misordered_exchange_refused() -> None:
    reasons = set()
    for frame in hip_packets(HERE / "cutehip-bex-2025.pcap"):
        try:
            parse_packet(frame.octets)
        except WireError as error:
            reasons.add(error.reason)
    assert reasons == {"hip_malformed"}  # ESP_TRANSFORM 4095 before HOST_ID 705


@pytest.mark.parametrize("name", HIPV1)
def test_macs_of_openhip_and_hipl(name: str) -> None:
    """The only foreign exchange whose keys are known: HMAC-SHA-1 over the same coverage rules."""
    secrets = json.loads((HERE / "hipv1-interop-secrets.json").read_text())[name]
    packets = {}
    for frame in hip_packets(HERE / f"{name}.pcap"):
        packets[frame.octets[2] & 0x7F] = frame.octets
    gl_mac, lg_mac = bytes.fromhex(secrets["key1@16"]), bytes.fromhex(secrets["key3@52"])
    r1, i2, r2 = (packets[int(kind)] for kind in (PacketType.R1, PacketType.I2, PacketType.R2))
    assert Hit(i2[8:24]) > Hit(i2[24:40])  # so the Initiator sends with the gl keys

    suite = HitSuite.ECDSA_LOW_SHA1  # the suite whose MAC is HMAC-SHA-1
    assert compute_mac(suite, gl_mac, covered_octets(i2, HipMac.TYPE)) == contents_of(i2, 61505)
    offset, length = find_tlv(r1, HostId.TYPE) or (0, 0)
    with_host_id = mac2_octets(r2, r1[offset : offset + length])
    assert compute_mac(suite, lg_mac, with_host_id) == contents_of(r2, 61569)
    assert contents_of(r2, EspInfo.TYPE)[4:8] == bytes(4)


def contents_of(octets: bytes, parameter_type: int) -> bytes:
    offset, _ = find_tlv(octets, parameter_type) or (0, 0)
    assert offset, f"no parameter {parameter_type}"
    length = int.from_bytes(octets[offset + 2 : offset + 4], "big")
    return octets[offset + 4 : offset + 4 + length]
