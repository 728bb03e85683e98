"""The slow mathematics, as values: frozen, pure, runnable on any thread.

Each `run` answers bad input of the peer with `Refused`; none raises because of it.  Fields that
hold secrets are kept out of `repr`.  Jobs of one role: `responder_jobs`, `initiator_jobs`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from hipgw.crypto import DhPrivateKey, HostIdentity, draw_esp_keys
from hipgw.crypto.keymat import KeymatAhead, esp_keys_octets
from hipgw.errors import LocalProtocolError, WireError
from hipgw.proto.dialect import Dialect
from hipgw.proto.keying import Keying, Proposal
from hipgw.proto.local_identity import LocalIdentity
from hipgw.proto.refusals import Refused
from hipgw.values import Hit
from hipgw.wire import HipSignature, HipSignature2, covered_octets


class Job(Protocol):
    """Work for another thread; `run` is pure and may take milliseconds."""

    def run(self) -> object:
        """Do the work; what it returns goes to `Endpoint.job_done`."""
        ...


def derive_keying(
    dialect: Dialect,
    proposal: Proposal,
    dh: DhPrivateKey,
    hits: tuple[Hit, Hit],
    nonces: tuple[bytes, bytes],
) -> Keying:
    """Diffie-Hellman, KEYMAT, and the keys of HIP and ESP in the order of section 6.5.

    Args:
        dialect: of the peer.
        proposal: what was agreed, with the peer's public value.
        dh: our key, of the same group.
        hits: ours, then the peer's.
        nonces: I and J of the solved puzzle.

    Raises:
        CryptoError: the peer's public value is not in the group.
    """
    protection = proposal.protection
    kij = dialect.shared_secret(dh, proposal.dh_peer)
    keymat = dialect.keymat(protection, kij, hits, nonces)
    drawn = protection.keymat_octets + esp_keys_octets(proposal.esp_suite)
    ahead = KeymatAhead(keymat, drawn)
    hip = dialect.hip_keys(ahead, protection, *hits)
    esp = draw_esp_keys(ahead, hip.keymat_index, proposal.esp_suite, *hits)
    return Keying(
        protection,
        proposal.dh_group,
        proposal.esp_suite,
        keymat,
        hip,
        esp,
        *nonces,
        dh,
        proposal.dh_peer,
    )


@dataclass(frozen=True, slots=True)
class VerifySignature:
    """Check a signature over all before it, by an identity that we know already."""

    dialect: Dialect
    identity: HostIdentity
    signature: HipSignature | HipSignature2
    octets: bytes = field(repr=False)

    def run(self) -> bool:
        """Whether the signature is right."""
        try:
            covered = covered_octets(self.octets, self.signature.wire_type)
        except WireError:
            return False
        return self.dialect.signature_is_right(self.identity, self.signature, covered)


@dataclass(frozen=True, slots=True)
class SignPacket:
    """Append HIP_SIGNATURE to a packet of ours."""

    dialect: Dialect
    identity: LocalIdentity = field(repr=False)
    octets: bytes = field(repr=False)

    def run(self) -> bytes | Refused:
        """The signed packet, if an echo that the peer asked for leaves room for the signature."""
        try:
            return self.dialect.with_signature(self.octets, self.identity)
        except LocalProtocolError:
            return Refused("hip_long")
