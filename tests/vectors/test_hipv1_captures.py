"""HIPv1 between OpenHIP 0.9 and HIPL 1.0.8, verified end to end (sources: pcap/README.md).

The Diffie-Hellman secret and the keys come from OpenHIP's log, so that nothing here is only
consistent with itself.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from functools import cache

import pytest

from hipgw.crypto import (
    EspKeys,
    HipKeys,
    HostIdentity,
    KeymatV1,
    PuzzleRule,
    decrypt_parameter_v1,
    draw_esp_keys,
    draw_hip_keys_v1,
    encrypt_parameter_v1,
    hit_v1_from_hi,
    mac_v1_is_right,
    puzzle_v1_is_solved,
)
from hipgw.errors import CryptoError
from hipgw.values import EspSuiteV1, HiAlgorithm, HipTransform, Hit
from hipgw.wire import (
    DiffieHellmanV1,
    Encrypted,
    EspInfo,
    EspTransform,
    HipMac,
    HipMac2,
    HipPacket,
    HipSignature,
    HipSignature2,
    HipTransformList,
    HostId,
    HostIdV1,
    PacketType,
    Puzzle,
    R1Counter,
    Solution,
    checksum_is_right,
    covered_octets,
    emit_packet,
    emit_parameter,
    mac2_octets,
    pad_plaintext,
    parse_packet,
    parse_parameters,
    r1_signed_octets,
    with_checksum,
)
from tests.vectors.pcap_file import PCAP_FOLDER, PROTOCOL_ESP, Datagram, datagrams, hip_packets

RAW = "hipv1-openhip-hipl-raw139"
IN_UDP = "hipv1-openhip-hipl-udp10500"
K10 = "hipv1-openhip-k10-raw139"
INTEROP = (RAW, IN_UDP)
ALL = (*INTEROP, K10)
SUITE = HipTransform.AES_128_CBC_HMAC_SHA1
# OpenHIP leaves whatever was in its buffer in the padding of HMAC_2, 61569 with 20 octets.
NOT_CANONICAL = {(K10, PacketType.R2)}


@cache
def frames(name: str) -> list[Datagram]:
    return hip_packets(PCAP_FOLDER / f"{name}.pcap")


@cache
def packets(name: str) -> dict[PacketType, HipPacket]:
    found = {}
    for frame in frames(name):
        packet = parse_packet(frame.octets, versions=frozenset({1}))
        found[packet.packet_type] = packet
    assert list(found) == [PacketType.I1, PacketType.R1, PacketType.I2, PacketType.R2]
    return found


@cache
def logged(name: str) -> dict[str, bytes]:
    text = json.loads((PCAP_FOLDER / "hipv1-interop-secrets.json").read_text())[name]
    return {key: bytes.fromhex(value) for key, value in text.items()}


def keymat_of(name: str) -> KeymatV1:
    i2 = packets(name)[PacketType.I2]
    solution = i2.require(Solution)
    return KeymatV1(logged(name)["kij"], i2.receiver, i2.sender, solution.i, solution.j)


def keys_of(name: str, *, initiator: bool) -> tuple[HipKeys, EspKeys]:
    """What one of the hosts draws."""
    i2, keymat = packets(name)[PacketType.I2], keymat_of(name)
    hits = (i2.sender, i2.receiver) if initiator else (i2.receiver, i2.sender)
    hip = draw_hip_keys_v1(keymat, SUITE, *hits)
    esp_suite = EspSuiteV1.AES_128_CBC_HMAC_SHA1
    return hip, draw_esp_keys(keymat, hip.keymat_index, esp_suite, *hits)


def identity_of(host_id: HostId) -> HostIdentity:
    return HostIdentity.from_wire(host_id.algorithm, host_id.hi, allow_weak=True)


def responder_of(name: str) -> HostIdentity:
    return identity_of(packets(name)[PacketType.R1].require(HostId))


def initiator_host_id(name: str) -> HostIdV1:
    """The HOST_ID that OpenHIP sends encrypted."""
    keys, _ = keys_of(name, initiator=True)
    encrypted = packets(name)[PacketType.I2].require(Encrypted)
    plaintext = decrypt_parameter_v1(SUITE, keys.encryption_out, encrypted.iv_and_ciphertext)
    (host_id,) = parse_parameters(plaintext, lenient_tail=True, version=1)
    assert isinstance(host_id, HostIdV1)
    return host_id


@pytest.mark.parametrize("name", ALL)
def test_checksums(name: str) -> None:
    for frame in frames(name):
        if frame.in_udp:
            assert frame.octets[4:6] == bytes(2)
        else:
            assert checksum_is_right(frame.octets, frame.source, frame.destination)
            again = with_checksum(frame.octets, frame.source, frame.destination)
            assert again == frame.octets


@pytest.mark.parametrize("name", ALL)
def test_reemitted_octet_for_octet(name: str) -> None:
    for kind, packet in packets(name).items():
        ours = emit_packet(packet)
        assert ours[3] == 0x11
        theirs = packet.octets[:4] + bytes(2) + packet.octets[6:]
        if (name, kind) in NOT_CANONICAL:
            assert len(ours) == len(theirs)
            assert ours != theirs
            assert parse_packet(ours, versions=frozenset({1})) == packet
        else:
            assert ours == theirs


@pytest.mark.parametrize("name", INTEROP)
def test_values_of_r1_and_i2(name: str) -> None:
    r1, i2, r2 = (packets(name)[kind] for kind in (PacketType.R1, PacketType.I2, PacketType.R2))
    puzzle, solution = r1.require(Puzzle), i2.require(Solution)
    assert (puzzle.k, puzzle.lifetime, puzzle.lifetime_s) == (0, 42, 1024.0)
    assert (solution.k, solution.i, solution.opaque) == (0, puzzle.i, puzzle.opaque)
    assert solution.reserved == puzzle.lifetime  # as OpenHIP copies it
    assert [(v.group, len(v.public)) for v in r1.require(DiffieHellmanV1).values] == [
        (3, 192),
        (1, 48),
    ]
    assert [(v.group, len(v.public)) for v in i2.require(DiffieHellmanV1).values] == [(3, 192)]
    assert i2.require(HipTransformList).suites == (SUITE,)
    assert set(i2.require(HipTransformList).suites) <= set(r1.require(HipTransformList).suites)
    assert i2.require(EspTransform).suites == (EspSuiteV1.AES_128_CBC_HMAC_SHA1,)
    assert r1.get(R1Counter) is None
    host_id = r1.require(HostIdV1)
    assert (host_id.algorithm, host_id.flags, host_id.protocol) == (HiAlgorithm.RSA, 0x0202, 0xFF)
    assert (host_id.di_type, host_id.di[-1:]) == (1, b"\0")  # HIPL: a C string
    for packet in (i2, r2):
        assert packet.require(EspInfo).keymat_index == 72
        assert packet.require(EspInfo).old_spi == 0


@pytest.mark.parametrize("name", ALL)
def test_responder_hit_and_r1_signature(name: str) -> None:
    r1 = packets(name)[PacketType.R1]
    responder = responder_of(name)
    assert responder.hit_v1 == responder.hit_of(1) == r1.sender
    assert (responder.hit_v1.version, responder.hit.version) == (1, 2)
    signature, message = r1.require(HipSignature2), r1_signed_octets(r1.octets)
    assert signature.algorithm == HiAlgorithm.RSA
    assert responder.verify(signature.signature, message, version=1)
    assert not responder.verify(signature.signature, message)  # PSS is for HIPv2
    assert not responder.verify(signature.signature, r1.octets[: len(message)], version=1)


def test_what_r1_signs() -> None:
    r1 = packets(RAW)[PacketType.R1]
    digest = hashlib.sha1(r1_signed_octets(r1.octets), usedforsecurity=False).hexdigest()
    assert digest == "8fd8ae69d4ead0ed5ef07db56056134e085cde09"


def test_weak_key_needs_consent() -> None:
    host_id = packets(RAW)[PacketType.R1].require(HostId)
    with pytest.raises(CryptoError, match="1024"):
        HostIdentity.from_wire(host_id.algorithm, host_id.hi)


@pytest.mark.parametrize("name", INTEROP)
def test_all_eight_keys_are_those_of_the_log(name: str) -> None:
    i2 = packets(name)[PacketType.I2]
    assert i2.sender > i2.receiver  # so the Initiator sends with the gl keys
    hip, esp = keys_of(name, initiator=True)
    assert hip.keymat_index == 72
    assert esp.keymat_index_after == 144
    drawn = [hip.encryption_out, hip.mac_out, hip.encryption_in, hip.mac_in]
    drawn += [esp.encryption_out, esp.authentication_out, esp.encryption_in, esp.authentication_in]
    assert drawn == [value for key, value in logged(name).items() if key != "kij"]
    hip, esp = keys_of(name, initiator=False)
    back = [hip.encryption_in, hip.mac_in, hip.encryption_out, hip.mac_out]
    back += [esp.encryption_in, esp.authentication_in, esp.encryption_out, esp.authentication_out]
    assert back == drawn


@pytest.mark.parametrize("name", INTEROP)
def test_macs(name: str) -> None:
    r1, i2, r2 = (packets(name)[kind] for kind in (PacketType.R1, PacketType.I2, PacketType.R2))
    keys, _ = keys_of(name, initiator=False)
    covered = covered_octets(i2.octets, HipMac.TYPE)
    assert mac_v1_is_right(SUITE, keys.mac_in, covered, i2.require(HipMac).mac)
    assert not mac_v1_is_right(SUITE, keys.mac_out, covered, i2.require(HipMac).mac)
    covered = mac2_octets(r2.octets, emit_parameter(r1.require(HostId)))
    assert mac_v1_is_right(SUITE, keys.mac_out, covered, r2.require(HipMac2).mac)


def test_mac_as_published() -> None:
    mac = packets(RAW)[PacketType.I2].require(HipMac).mac
    assert mac.hex() == "605015452c1aa3c0db95c83ec0d1f4d740dfc9fb"


@pytest.mark.parametrize("name", INTEROP)
def test_encrypted_host_id(name: str) -> None:
    i2 = packets(name)[PacketType.I2]
    host_id = initiator_host_id(name)
    initiator = identity_of(host_id)
    assert initiator.hit_v1 == i2.sender
    assert host_id.di_type == 1
    assert host_id.di.isascii()
    # The same octets come out of our own hands.
    octets = i2.require(Encrypted).iv_and_ciphertext
    keys, _ = keys_of(name, initiator=True)
    padded = pad_plaintext(emit_parameter(host_id), SUITE.block_octets)
    assert padded[-8:] == b"\x08" * 8
    assert encrypt_parameter_v1(SUITE, keys.encryption_out, octets[:16], padded) == octets


@pytest.mark.parametrize("name", INTEROP)
def test_signatures_of_i2_and_r2(name: str) -> None:
    signers = {
        PacketType.I2: identity_of(initiator_host_id(name)),
        PacketType.R2: responder_of(name),
    }
    for kind, signer in signers.items():
        packet = packets(name)[kind]
        signature = packet.require(HipSignature)
        message = covered_octets(packet.octets, HipSignature.TYPE)
        assert signature.algorithm == signer.algorithm
        assert signer.verify(signature.signature, message, version=1)
        assert not signer.verify(signature.signature, message[:-1], version=1)


@pytest.mark.parametrize("name", INTEROP)
def test_esp_packets_authenticate(name: str) -> None:
    _, esp = keys_of(name, initiator=True)
    spi_of_responder = packets(name)[PacketType.R2].require(EspInfo).new_spi.to_bytes(4, "big")
    spi_of_initiator = packets(name)[PacketType.I2].require(EspInfo).new_spi.to_bytes(4, "big")
    keys = {
        spi_of_responder: esp.authentication_out,
        spi_of_initiator: esp.authentication_in,
    }
    seen = set()
    for each in datagrams(PCAP_FOLDER / f"{name}.pcap"):
        if each.protocol == PROTOCOL_ESP:
            spi = each.octets[:4]
            icv = hmac.digest(keys[spi], each.octets[:-12], "sha1")[:12]
            assert icv == each.octets[-12:]
            seen.add(spi)
    assert seen == set(keys)


@pytest.mark.parametrize("name", INTEROP)
def test_a_puzzle_without_bits(name: str) -> None:
    i2 = packets(name)[PacketType.I2]
    solution = i2.require(Solution)
    for rule in PuzzleRule:
        assert puzzle_v1_is_solved(
            solution.k, solution.i, i2.sender, i2.receiver, solution.j, rule=rule
        )


def test_openhip_reads_its_puzzle_bits_elsewhere() -> None:
    r1, i2 = packets(K10)[PacketType.R1], packets(K10)[PacketType.I2]
    solution = i2.require(Solution)
    asked = (10, solution.i, i2.sender, i2.receiver, solution.j)
    assert (r1.require(Puzzle).k, solution.k) == (10, 10)
    assert puzzle_v1_is_solved(*asked, rule=PuzzleRule.OPENHIP)
    assert not puzzle_v1_is_solved(*asked)
    assert not puzzle_v1_is_solved(*asked, rule=PuzzleRule.BOTH)
    assert r1.require(R1Counter) == i2.require(R1Counter)


def rsa_hi(modulus: bytes) -> bytes:
    return b"\x03\x01\x00\x01" + modulus


RSA_2048_RFC_8002 = bytes.fromhex(  # appendix A
    "c9b08594af1f3a7739c9d581a5eed2b56b72915d222c1e59e50629bda219f6accaebf788d85455410158d88764d8"
    "c8cf6ec23881221aaee9a6802203eef31b7e6811e3f47b983328bf40ec4f19e8108a8b0760f79fe482f8a758043d"
    "4207c834ca996d11eb73c1d9969355e5c7ed804f8af21a6f83c815a48fb86afef34f491a5c1f89bb30e698bccea3"
    "a23785b1791c26e6440cb93ed8378146f4022546a2eada255c46a2a3c55880531fc5e511a0dad8f2add698d4ce55"
    "35cc0bd35b0948ef576580cb6579fdcb4d5bb38d1aff2a583e9665103e0481782bd5ca8978ea285cbc024a54cdaa"
    "a9998dd639e95ea9731a5d9355399b721ac2a01fe34cb0419897"
)
RSA_1024_RFC_6253_B = bytes.fromhex(
    "c0db38508e63ed96eac6c4eca33662e228e9749cf52fcb580e525460b5fa98870d22abd86a6174a9ee0baecd186f"
    "05ab6966424600a2c00c3a286709cc5227da793e67d7d8d07cf1a126fa388f73f5b020c6f20b7d7743aac798917e"
    "1e04310dca945520c44fbab1dfd4619dddb9b547946c06916930429c0a8be300ce49abe3"
)
RSA_1024_RFC_6253_A = base64.b64decode(
    "yDwznOwX0w+zvQbpWoTnfWrUPLKW2NFrpXbsIcH/QBSLbk1RKTZhLasFwvtSHAjqh220W8gRiQAGIqKplyrDEqSrJpOd"
    "IsHIQ8BQhJAyILWA1Sa6f5wAnWozDfgdXoKLNdT8ZNBmzluPiw4ozc78p6MHElH75Hm3yHaWxT+s83M="
)
RSA_1024_HI_RFC_8005 = base64.b64decode(  # section 7
    "AwEAAbdxyhNuSutc5EMzxTs9LBPCIkOFH8cIvM4p9+LrV4e19WzK00+CI6zBCQTdtWsuxKbWIy87UOoJTwkUs7lBu+Up"
    "r1gsNrut79ryra+bSRGQb1slImA8YVJyuIDsj7kwzG7jnERNqnWxZ48AWkskmdHaVDP4BcelrTI3rMXdXF5D"
)


@pytest.mark.parametrize(
    ("hi", "hit"),
    [
        # The 100 bits of the issuerAltName, whose prefix that RFC changed to 2001:20::/28 by hand.
        (rsa_hi(RSA_2048_RFC_8002), "2001:1d:f878:64c1:67e3:9716:88bd:68e4"),
        # Printed as the issuer, although the key is the subject's: names swapped in the RFC.
        (rsa_hi(RSA_1024_RFC_6253_B), "2001:13:8d83:41c5:dc9f:38ed:e742:7281"),
        (rsa_hi(RSA_1024_RFC_6253_A), "2001:15:2453:698a:9aa:253a:dcb5:981e"),
        # Not what the RFC prints: that is 96 bits of SHA-1 of the key alone, and no ORCHID.
        (RSA_1024_HI_RFC_8005, "2001:10:cac8:cec2:171c:4ab0:7dee:440a"),
    ],
)
def test_hits_of_published_keys(hi: bytes, hit: str) -> None:
    assert hit_v1_from_hi(hi) == Hit.parse(hit)
    assert HostIdentity.from_wire(5, hi, allow_weak=True).hit_v1 == Hit.parse(hit)
