"""Recorded packets of other implementations, judged with the compatibility preset made for them.

Private keys and, for HIPv2, secrets are not known, so MACs of HIPv2 are not among what can be
checked; puzzles, HITs, signatures, choices and the length of ESP are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from random import Random

import pytest

from hipgw.crypto import (
    HostIdentity,
    PrivateHostIdentity,
    PuzzleRule,
    hit_v1_from_hi,
    puzzle_v1_is_solved,
)
from hipgw.errors import WireError
from hipgw.proto import Compute, Endpoint, EndpointConfig, SendDatagram, State
from hipgw.proto.dialect import Dialect
from hipgw.proto.dialect_quirks import QuirkyV1, QuirkyV2
from hipgw.proto.dialect_v1 import DialectV1
from hipgw.proto.dialect_v2 import DialectV2
from hipgw.proto.initiator_jobs import VerifyR1
from hipgw.proto.jobs import VerifySignature
from hipgw.values import ESP_SHAPES, DhGroup, EspSuite, HiAlgorithm, Hit, Path, Quirk, Quirks
from hipgw.values.quirks import NO_QUIRKS, PRESETS
from hipgw.wire import (
    HipPacket,
    HipSignature,
    HipSignature2,
    HostId,
    HostIdV1,
    PacketType,
    ParameterType,
    Puzzle,
    R1Counter,
    Solution,
    checksum_is_right,
    covered_octets,
    find_tlv,
    parse_packet,
    r1_signed_octets,
)
from hipgw.wire.framing import TLV_HEAD_OCTETS
from tests.vectors.pcap_file import PCAP_FOLDER, PROTOCOL_ESP, datagrams, hip_packets

CUTEHIP_2025, CUTEHIP = "cutehip-bex-2025", "cutehip-ecdsa384-2026"
VPLS, OPENHIP = "hip-vpls-2026", "hipv1-openhip-k10-raw139"
PRESET_OF = {CUTEHIP_2025: "cutehip", CUTEHIP: "cutehip", VPLS: "hip-vpls"}
CONFIG = EndpointConfig(
    dh_groups=(DhGroup.NIST_P256, DhGroup.MODP_3072),
    esp_suites=(EspSuite.AES_256_CBC_HMAC_SHA256,),
    is_legacy=lambda _: True,  # RSA of 1024 bits
    speaks_v1=lambda: True,
)
KEY = PrivateHostIdentity.generate("rsa-1024", allow_weak=True)


def dialect_of(name: str, *without: Quirk) -> Dialect:
    return QuirkyV2(is_legacy=True, quirks=PRESETS[PRESET_OF[name]] - set(without))


@cache
def packets(name: str) -> dict[PacketType, HipPacket]:
    """All packets of the capture are read; the last of each type."""
    dialect = dialect_of(name)
    found = [dialect.parse(frame.octets) for frame in hip_packets(PCAP_FOLDER / f"{name}.pcap")]
    assert len(found) >= 4
    return {packet.packet_type: packet for packet in found}


def identity_of(packet: HipPacket) -> HostIdentity:
    identity = DialectV2(is_legacy=True).identity_from_host_id(
        packet.require(HostId), packet.sender
    )
    assert isinstance(identity, HostIdentity)
    return identity


def hits_of(i2: HipPacket) -> tuple[Hit, Hit]:
    return i2.sender, i2.receiver


@pytest.mark.parametrize("name", PRESET_OF)
def test_puzzle(name: str) -> None:
    i2 = packets(name)[PacketType.I2]
    solution = i2.require(Solution)
    asked = (16, hits_of(i2), (solution.i, solution.j))
    assert solution.k == 16
    assert dialect_of(name).puzzle_is_solved(*asked)
    assert not dialect_of(name, Quirk.REVERSED_PUZZLE_HITS).puzzle_is_solved(*asked)
    assert not DialectV2().puzzle_is_solved(*asked)


@pytest.mark.parametrize("name", PRESET_OF)
def test_signatures(name: str) -> None:
    dialect, found = dialect_of(name), packets(name)
    r1, i2, r2 = (found[kind] for kind in (PacketType.R1, PacketType.I2, PacketType.R2))
    responder, initiator = identity_of(r1), identity_of(i2)
    job = VerifyR1(dialect, r1.sender, r1.require(HostId), r1.octets, r1.require(HipSignature2))
    assert job.run() == responder
    assert VerifySignature(dialect, initiator, i2.require(HipSignature), i2.octets).run()
    assert VerifySignature(dialect, responder, dialect.r2_signature(r2), r2.octets).run()
    assert not VerifySignature(dialect, initiator, dialect.r2_signature(r2), r2.octets).run()
    with pytest.raises(WireError, match="HipSignature") as caught:
        dialect_of(name, Quirk.R2_SIGNATURE_2).r2_signature(r2)
    assert caught.value.reason == "hip_missing"
    if PacketType.UPDATE in found:
        update = found[PacketType.UPDATE]
        signer = {responder.hit: responder, initiator.hit: initiator}[update.sender]
        assert VerifySignature(dialect, signer, update.require(HipSignature), update.octets).run()


@pytest.mark.parametrize("name", PRESET_OF)
def test_choices(name: str) -> None:
    dialect, i2 = dialect_of(name), packets(name)[PacketType.I2]
    proposal = dialect.proposal_from_i2(i2, CONFIG)
    assert proposal.esp_suite is EspSuite.FULL_AES_256_CBC_HMAC_SHA256
    assert len(proposal.dh_peer) in {64, 384}, "the length field of 2025 says 8"
    proposal = dialect.proposal_from_r1(packets(name)[PacketType.R1], CONFIG)
    assert proposal.esp_suite is EspSuite.FULL_AES_256_CBC_HMAC_SHA256
    assert i2.get(HostId) is not None, "so theirs want ours in the clear, too"
    counter = packets(name)[PacketType.R1].get(R1Counter)
    if name == VPLS:
        assert counter is not None
        assert dialect.counter_is_right(i2, counter.counter)
        assert not dialect.counter_is_right(i2, counter.counter + 1)
    else:
        assert counter is None
        assert dialect.counter_is_right(i2, 1), "there is none to be wrong"


@pytest.mark.parametrize("name", [CUTEHIP_2025, CUTEHIP])
def test_length_of_esp(name: str) -> None:
    """Pings: 64 octets of ICMPv6, padded to 80 with the trailer."""
    shape = ESP_SHAPES[EspSuite.FULL_AES_256_CBC_HMAC_SHA256]
    lengths = {
        len(each.octets)
        for each in datagrams(PCAP_FOLDER / f"{name}.pcap")
        if each.protocol == PROTOCOL_ESP
    }
    assert lengths == {8 + shape.iv_octets + 80 + shape.icv_octets}


@dataclass(frozen=True)
class Impostor:
    """Answers to the HIT of a captured Initiator, without its private key."""

    hit: Hit
    version: int = 2
    public: HostIdentity = KEY.public

    @property
    def hit_v1(self) -> Hit:
        return self.hit_of(1)

    def hit_of(self, version: int) -> Hit:
        if version == self.version:
            return self.hit
        return KEY.hit_of(version)

    def sign(self, message: bytes, *, version: int = 2) -> bytes:
        return KEY.sign(message, version=version)


def settle(endpoint: Endpoint) -> list[bytes]:
    sent = []
    while effects := endpoint.take_effects():
        for effect in effects:
            if isinstance(effect, Compute):
                endpoint.job_done(effect.job_id, effect.job.run(), 0.0)
            elif isinstance(effect, SendDatagram):
                sent.append(effect.payload)
    return sent


def answer_to_r1(name: str, quirks: Quirks, version: int = 2) -> tuple[Endpoint, list[bytes]]:
    """Have the engine call the captured Responder, and hand it the captured R1."""
    frames = hip_packets(PCAP_FOLDER / f"{name}.pcap")
    octets = frames[1].octets
    initiator, responder = Hit(octets[24:40]), Hit(octets[8:24])
    config = replace(CONFIG, compatibility=lambda peer: quirks if peer == responder else NO_QUIRKS)
    impostor = Impostor(initiator, version)
    endpoint = Endpoint([impostor], config, Random(1).randbytes, 0.0)  # type: ignore[list-item]
    settle(endpoint)
    path = Path(frames[1].destination, frames[1].source)
    endpoint.want_association(responder, [path], 0.0)
    settle(endpoint)
    endpoint.receive_datagram(octets, path, 0.0)
    return endpoint, settle(endpoint)


def dropped(endpoint: Endpoint) -> dict[str, int]:
    return {reason: n for reason, n in endpoint.counters.items() if n}


@pytest.mark.parametrize("name", PRESET_OF)
def test_the_engine_answers_a_captured_r1(name: str) -> None:
    """It verifies the R1, solves its puzzle of 16 bits their way, and sends an I2 in the clear."""
    quirks = PRESETS[PRESET_OF[name]]
    endpoint, (octets,) = answer_to_r1(name, quirks)
    assert dropped(endpoint) == {}
    assert endpoint.associations()[0].state is State.I2_SENT
    i2 = parse_packet(octets)
    solution = i2.require(Solution)
    assert solution.i == packets(name)[PacketType.R1].require(Puzzle).i
    assert dialect_of(name).puzzle_is_solved(16, hits_of(i2), (solution.i, solution.j))
    assert i2.get(HostId) is not None


def test_without_its_switches_the_r1_of_2025_is_refused() -> None:
    for quirk in (Quirk.WRONG_DH_LENGTH, Quirk.UNORDERED_PARAMETERS):
        endpoint, sent = answer_to_r1(CUTEHIP_2025, PRESETS["cutehip"] - {quirk})
        assert (dropped(endpoint), sent) == ({"hip_malformed": 1}, [])


def test_without_its_switch_the_i2_of_hip_vpls_is_refused() -> None:
    i2 = packets(VPLS)[PacketType.I2].octets
    with pytest.raises(WireError) as caught:
        dialect_of(VPLS, Quirk.UNORDERED_PARAMETERS).parse(i2)
    assert caught.value.reason == "hip_malformed"


def test_openhip_checks_other_bits() -> None:
    """Its own solution, and ours for its R1; by RFC 5201 both are wrong."""
    preset = QuirkyV1(is_legacy=True, quirks=PRESETS["openhip"])
    captured = {
        packet.packet_type: packet
        for packet in (
            preset.parse(frame.octets) for frame in hip_packets(PCAP_FOLDER / f"{OPENHIP}.pcap")
        )
    }
    i2 = captured[PacketType.I2]
    solution = i2.require(Solution)
    asked = (10, hits_of(i2), (solution.i, solution.j))
    assert preset.puzzle_is_solved(*asked)
    assert not DialectV1().puzzle_is_solved(*asked)

    for quirks, rule in (
        (PRESETS["openhip"], PuzzleRule.OPENHIP),
        (NO_QUIRKS, PuzzleRule.RFC_5201),
    ):
        endpoint, (octets,) = answer_to_r1(OPENHIP, quirks, version=1)
        assert dropped(endpoint) == {}
        i2 = preset.parse(octets)
        solution = i2.require(Solution)
        for other in (PuzzleRule.OPENHIP, PuzzleRule.RFC_5201):
            assert puzzle_v1_is_solved(10, solution.i, *hits_of(i2), solution.j, rule=other) is (
                other is rule
            )


def test_what_nobody_may_send_stays_refused() -> None:
    """HIPL set to HIPv2 mixes the versions; no switch makes sense of that."""
    frames = hip_packets(PCAP_FOLDER / "hipl108-hybrid-v2-raw139.pcap")
    every = QuirkyV2(is_legacy=True, quirks=frozenset(Quirk))
    for frame in frames[1:3]:
        with pytest.raises(WireError):
            every.parse(frame.octets)
    endpoint = Endpoint([KEY], CONFIG, Random(1).randbytes, 0.0)
    settle(endpoint)
    endpoint.receive_datagram(frames[0].octets, Path(frames[0].destination, frames[0].source), 0.0)
    assert settle(endpoint) == []


def field_of(octets: bytes, kind: int) -> bytes:
    """The contents of a parameter, whatever is in it."""
    found = find_tlv(octets, kind)
    assert found is not None
    offset, _ = found
    length = int.from_bytes(octets[offset + 2 : offset + TLV_HEAD_OCTETS], "big")
    return octets[offset + TLV_HEAD_OCTETS : offset + TLV_HEAD_OCTETS + length]


def test_what_is_known_of_hipl_set_to_hipv2() -> None:
    """Version 1 but for the nibble, DH_GROUP_LIST and ECDH; its keys nobody has seen.

    A switch for it needs more than this, as docs/interop.md says: the puzzle has K = 0, and neither
    the Diffie-Hellman secret nor a key was logged.
    """
    i1, r1, i2, r2 = hip_packets(PCAP_FOLDER / "hipl108-hybrid-v2-raw139.pcap")
    signers: dict[bytes, HostIdentity] = {}
    for frame in (r1, i2):
        host_id = HostIdV1.parse(field_of(frame.octets, ParameterType.HOST_ID))
        assert hit_v1_from_hi(host_id.hi).packed == frame.octets[8:24]
        signers[frame.octets[8:24]] = HostIdentity.from_wire(
            host_id.algorithm, host_id.hi, allow_weak=True
        )
    for frame in (r1, i2, r2):
        octets = frame.octets
        assert octets[3] >> 4 == 2
        assert checksum_is_right(octets, frame.source, frame.destination)
        is_r1 = frame is r1
        kind = ParameterType.HIP_SIGNATURE_2 if is_r1 else ParameterType.HIP_SIGNATURE
        field = field_of(octets, kind)
        algorithm, signature = field[0], field[1:]
        covered = r1_signed_octets(octets) if is_r1 else covered_octets(octets, kind)
        assert algorithm == HiAlgorithm.RSA
        assert signers[octets[8:24]].verify(signature, covered, version=1)
        assert not signers[octets[8:24]].verify(signature, covered, version=2)
    assert field_of(i1.octets, ParameterType.DH_GROUP_LIST) == bytes((8, 4, 3))
    for frame in (r1, i2):
        value = field_of(frame.octets, ParameterType.DIFFIE_HELLMAN)
        assert value[:3] == bytes((DhGroup.NIST_P384, 0, 96))
    puzzle, info = field_of(r1.octets, ParameterType.PUZZLE), field_of(i2.octets, 65)
    assert (puzzle[0], len(puzzle) - 4) == (0, 8)
    assert int.from_bytes(info[2:4], "big") == 2 * (16 + 20), "two AES-128 and two SHA-1 keys"
