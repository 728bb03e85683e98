"""The captured HIPv1 exchanges, judged by the engine: packets in, and the costly jobs.

The hosts' private keys are not known, so a signature of ours cannot be theirs; the Diffie-Hellman
secret is, from OpenHIP's log.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from hipgw.crypto import DhPrivateKey, HostIdentity, PrivateHostIdentity
from hipgw.proto import Compute, Endpoint, EndpointConfig, SendDatagram
from hipgw.proto.dialect_v1 import DialectV1, ProtectionV1
from hipgw.proto.initiator_jobs import VerifyR1
from hipgw.proto.local_identity import LocalIdentity
from hipgw.proto.refusals import Refused
from hipgw.proto.responder_jobs import AcceptedI2, AcceptI2
from hipgw.values import DhGroup, Encapsulation, EspSuite, HipTransform, Hit, Path, Spi
from hipgw.wire import (
    Encrypted,
    HipMac,
    HipPacket,
    HipSignature,
    HipSignature2,
    HostId,
    PacketType,
    Solution,
    emit_parameter,
    parse_packet,
)
from tests.vectors.pcap_file import Datagram
from tests.vectors.test_hipv1_captures import (
    ALL,
    INTEROP,
    K10,
    RAW,
    SUITE,
    frames,
    keys_of,
    logged,
    packets,
)

V1 = DialectV1()
CONFIG = EndpointConfig(is_legacy=lambda _: True, speaks_v1=lambda: True)
KEY = PrivateHostIdentity.generate("rsa-1024", allow_weak=True)


@dataclass(frozen=True)
class Impostor:
    """Answers to the HIT of the captured Responder, without its private key."""

    hit: Hit
    public: HostIdentity = KEY.public

    def hit_of(self, version: int) -> Hit:
        return self.hit if version == 1 else KEY.hit

    def sign(self, message: bytes, *, version: int) -> bytes:
        return KEY.sign(message, version=version)


class LoggedSecret:
    """A Diffie-Hellman key of which only the result is known."""

    def __init__(self, kij: bytes) -> None:
        self._kij = kij

    def public(self) -> bytes:
        return b""

    def exchange(self, peer_public: bytes) -> bytes:
        assert peer_public
        return self._kij


def settle(endpoint: Endpoint) -> list[SendDatagram]:
    """Run all jobs; what is sent."""
    out = []
    while effects := endpoint.take_effects():
        for effect in effects:
            if isinstance(effect, Compute):
                endpoint.job_done(effect.job_id, effect.job.run(), 0.0)
            elif isinstance(effect, SendDatagram):
                out.append(effect)
    return out


def responder(name: str, config: EndpointConfig = CONFIG) -> Endpoint:
    impostor = Impostor(packets(name)[PacketType.I1].receiver)
    endpoint = Endpoint([impostor], config, bytes, 0.0)  # type: ignore[list-item]
    settle(endpoint)
    return endpoint


def path_of(frame: Datagram) -> Path:
    ports = (10500, 10500) if frame.in_udp else (0, 0)
    return Path(frame.destination, frame.source, Encapsulation(frame.in_udp), *ports)


@pytest.mark.parametrize("name", ALL)
def test_i1_of_openhip_is_answered(name: str) -> None:
    endpoint, frame = responder(name), frames(name)[0]
    endpoint.receive_datagram(frame.octets, path_of(frame), 0.0)
    (r1,) = settle(endpoint)
    packet = parse_packet(r1.payload, versions=frozenset({1}))
    assert packet.packet_type is PacketType.R1
    assert packet.receiver == packets(name)[PacketType.I1].sender
    assert not any(endpoint.counters.values())


@pytest.mark.parametrize("name", ALL)
def test_without_legacy_nothing_of_it_is_taken(name: str) -> None:
    endpoint = responder(name, EndpointConfig())
    for frame in frames(name):
        endpoint.receive_datagram(frame.octets, path_of(frame), 0.0)
    assert not settle(endpoint)
    assert {reason: n for reason, n in endpoint.counters.items() if n} == {"legacy_refused": 4}


@pytest.mark.parametrize("name", ALL)
def test_i2_of_openhip_answers_no_puzzle_of_ours(name: str) -> None:
    """Parsed, and refused before anything costly, whatever its puzzle says."""
    endpoint, frame = responder(name), frames(name)[2]
    endpoint.receive_datagram(frame.octets, path_of(frame), 0.0)
    assert not settle(endpoint)
    dropped = {reason for reason, n in endpoint.counters.items() if n}
    assert dropped <= {"puzzle_wrong", "puzzle_expired"}
    assert len(dropped) == 1


def accept(name: str, i2: HipPacket, octets: bytes) -> AcceptedI2 | Refused:
    """What the Responder's job makes of the I2, with the secret of OpenHIP's log."""
    proposal = V1.proposal_from_i2(i2, CONFIG)
    assert proposal.protection.cipher is HipTransform.AES_128_CBC_HMAC_SHA1
    assert proposal.esp_suite is EspSuite.V1_AES_128_CBC_HMAC_SHA1
    solution = i2.require(Solution)
    job = AcceptI2(
        V1,
        LocalIdentity(KEY, 1, i2.receiver),
        i2.sender,
        octets,
        proposal,
        solution.i,
        solution.j,
        DhPrivateKey(DhGroup(proposal.dh_group), LoggedSecret(logged(name)["kij"])),
        i2.require(HipMac),
        i2.require(HipSignature),
        i2.get(HostId),
        i2.all(Encrypted),
        emit_parameter(packets(name)[PacketType.R1].require(HostId)),
        Spi(4711),
    )
    return job.run()


@pytest.mark.parametrize("name", INTEROP)
def test_i2_of_openhip_is_proven_by_the_job(name: str) -> None:
    i2 = packets(name)[PacketType.I2]
    accepted = accept(name, i2, i2.octets)
    assert isinstance(accepted, AcceptedI2)
    hip, esp = keys_of(name, initiator=False)
    assert (accepted.keying.hip, accepted.keying.esp) == (hip, esp)
    assert accepted.identity.hit_v1 == i2.sender
    assert accepted.host_id.di.startswith(b"hp1")
    r2 = parse_packet(accepted.r2, versions=frozenset({1}))
    theirs, _ = keys_of(name, initiator=True)
    tlv = emit_parameter(packets(name)[PacketType.R1].require(HostId))
    assert V1.mac_2_is_right(r2, accepted.keying.protection, theirs.mac_in, tlv)


def test_changed_i2_of_openhip_is_not() -> None:
    i2 = packets(RAW)[PacketType.I2]
    octets = bytearray(i2.octets)
    octets[44] ^= 1  # in ESP_INFO
    assert accept(RAW, i2, bytes(octets)) == Refused("mac_wrong", 28)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ALL)
def test_r1_is_proven_by_the_job(name: str) -> None:
    r1 = packets(name)[PacketType.R1]
    for kind in V1.R1_NEEDS:
        r1.require(kind)
    V1.check_r1(r1, r1.sender)
    job = VerifyR1(V1, r1.sender, r1.require(HostId), r1.octets, r1.require(HipSignature2))
    identity = job.run()
    assert isinstance(identity, HostIdentity)
    assert identity.hit_v1 == r1.sender
    proposal = V1.proposal_from_r1(r1, CONFIG)
    assert proposal.dh_group in {DhGroup.MODP_1536, DhGroup.MODP_3072}
    assert proposal.esp_suite is EspSuite.V1_AES_128_CBC_HMAC_SHA1
    octets = bytearray(r1.octets)
    octets[44] ^= 1  # in the first parameter
    changed = VerifyR1(V1, r1.sender, r1.require(HostId), bytes(octets), r1.require(HipSignature2))
    assert changed.run() == Refused("signature_wrong")


@pytest.mark.parametrize("name", INTEROP)
def test_r2_of_hipl_is_proven(name: str) -> None:
    r2, protection = packets(name)[PacketType.R2], ProtectionV1(SUITE)
    theirs, _ = keys_of(name, initiator=True)
    tlv = emit_parameter(packets(name)[PacketType.R1].require(HostId))
    assert V1.mac_2_is_right(r2, protection, theirs.mac_in, tlv)
    assert not V1.mac_2_is_right(r2, protection, theirs.mac_out, tlv)


def test_puzzle_of_openhip_is_not_that_of_the_rfc() -> None:
    """Its bit rule needs a switch for the peer: with K = 10 it solves another puzzle."""
    i2 = packets(K10)[PacketType.I2]
    solution = i2.require(Solution)
    assert solution.k == 10
    hits = i2.sender, i2.receiver
    assert not V1.puzzle_is_solved(solution.k, hits, (solution.i, solution.j))
    free = packets(RAW)[PacketType.I2].require(Solution)
    assert V1.puzzle_is_solved(free.k, hits, (free.i, free.j))
