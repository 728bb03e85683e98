"""The slow mathematics, as values: frozen, pure, runnable on any thread.

Each `run` answers bad input of the peer with `Refused`; none raises because of it.  Fields that
hold secrets are kept out of `repr`.  Jobs of one role: `responder_jobs`, `initiator_jobs`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

from hipgw.crypto import (
    DhPrivateKey,
    EspKeys,
    HipKeys,
    HostIdentity,
    Keymat,
    PrivateHostIdentity,
    draw_esp_keys,
    draw_hip_keys,
    hit_from_hi,
)
from hipgw.errors import CryptoError, LocalProtocolError, WireError
from hipgw.proto.packets import with_signature
from hipgw.proto.refusals import Refused
from hipgw.values import (
    SUITE_OF_ALGORITHM,
    DhGroup,
    EspSuite,
    HiAlgorithm,
    HipCipher,
    Hit,
    HitSuite,
    NotifyType,
)
from hipgw.wire import HipSignature, HostId, ParameterType, covered_octets


class Job(Protocol):
    """Work for another thread; `run` is pure and may take milliseconds."""

    def run(self) -> object:
        """Do the work; what it returns goes to `Endpoint.job_done`."""
        ...


@dataclass(frozen=True, slots=True)
class Keying:
    """What two hosts share after a base exchange, and what a later rekey needs (section 6.5)."""

    suite: HitSuite
    """The Responder's HIT suite, whose RHASH rules the association."""
    cipher: HipCipher
    dh_group: DhGroup
    esp_suite: EspSuite
    keymat: Keymat = field(repr=False)
    hip: HipKeys = field(repr=False)
    esp: EspKeys = field(repr=False)
    i: bytes = field(repr=False)
    j: bytes = field(repr=False)
    dh: DhPrivateKey = field(repr=False)
    dh_peer: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Proposal:
    """What one R1 or I2 settles: group, ciphers, and both nonces but J."""

    suite: HitSuite
    dh_group: DhGroup
    dh_peer: bytes = field(repr=False)
    cipher: HipCipher
    esp_suite: EspSuite


def derive_keying(
    proposal: Proposal, dh: DhPrivateKey, local: Hit, peer: Hit, nonces: tuple[bytes, bytes]
) -> Keying:
    """Diffie-Hellman, KEYMAT, and the keys of HIP and ESP in the order of section 6.5.

    Args:
        proposal: what was agreed, with the peer's public value.
        dh: our key, of the same group.
        local: our HIT.
        peer: the other HIT.
        nonces: I and J of the solved puzzle.

    Raises:
        CryptoError: the peer's public value is not in the group.
    """
    i, j = nonces
    kij = dh.exchange(proposal.dh_peer)
    keymat = Keymat(proposal.suite, kij, local, peer, i, j)
    hip = draw_hip_keys(keymat, proposal.cipher, proposal.suite, local, peer)
    esp = draw_esp_keys(keymat, hip.keymat_index, proposal.esp_suite, local, peer)
    return Keying(
        proposal.suite,
        proposal.cipher,
        proposal.dh_group,
        proposal.esp_suite,
        keymat,
        hip,
        esp,
        i,
        j,
        dh,
        proposal.dh_peer,
    )


def identity_from_host_id(host_id: HostId, hit: Hit) -> HostIdentity | Refused:
    """Make the key of a HOST_ID usable, given that it hashes to `hit` (section 6.8, 6.9)."""
    if not hit_matches(host_id, hit):
        return Refused("hit_mismatch", NotifyType.INVALID_HIT)
    try:
        identity = HostIdentity.from_wire(host_id.algorithm, host_id.hi)
    except CryptoError:
        return Refused("signature_wrong", NotifyType.AUTHENTICATION_FAILED)
    return replace(identity, hit=hit)  # the same HIT, of which one copy is enough


def hit_matches(host_id: HostId, hit: Hit) -> bool:
    """Whether `hit` is the hash of the Host Identity, by the suite of its algorithm."""
    try:
        suite = SUITE_OF_ALGORITHM[HiAlgorithm(host_id.algorithm)]
        return hit_from_hi(host_id.hi, suite) == hit
    except (ValueError, CryptoError):
        return False


@dataclass(frozen=True, slots=True)
class VerifySignature:
    """Check HIP_SIGNATURE by an identity that we know already."""

    identity: HostIdentity
    signature: HipSignature
    octets: bytes = field(repr=False)

    def run(self) -> bool:
        """Whether the signature is right."""
        try:
            covered = covered_octets(self.octets, ParameterType.HIP_SIGNATURE)
        except WireError:
            return False
        return self.signature.algorithm == self.identity.algorithm and self.identity.verify(
            self.signature.signature, covered
        )


@dataclass(frozen=True, slots=True)
class SignPacket:
    """Append HIP_SIGNATURE to a packet of ours."""

    identity: PrivateHostIdentity = field(repr=False)
    octets: bytes = field(repr=False)

    def run(self) -> bytes | Refused:
        """The signed packet, if an echo that the peer asked for leaves room for the signature."""
        try:
            return with_signature(self.octets, self.identity)
        except LocalProtocolError:
            return Refused("hip_long")
