"""Jobs of the Initiator: the signature of an R1, its puzzle, and the I2 that answers it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from hipgw.crypto import (
    DhPrivateKey,
    HipKeys,
    HostIdentity,
    PrivateHostIdentity,
    encrypt_parameter,
    generate_dh,
    solve_puzzle,
)
from hipgw.errors import CryptoError, HostError, LocalProtocolError, WireError
from hipgw.proto.certificate_room import NO_OFFER, Offer
from hipgw.proto.jobs import (
    Keying,
    Proposal,
    derive_keying,
    identity_from_host_id,
)
from hipgw.proto.packets import (
    build_packet,
    esp_offer,
    with_mac,
    with_signature,
    with_unsigned_echoes,
)
from hipgw.proto.refusals import Refused
from hipgw.values import (
    HipCipher,
    Hit,
    Spi,
)
from hipgw.wire import (
    DiffieHellman,
    EchoResponseSigned,
    Encrypted,
    EspInfo,
    HipCipherList,
    HipSignature2,
    HostId,
    LocatorSet,
    PacketType,
    Parameter,
    Puzzle,
    R1Counter,
    Solution,
    emit_parameter,
    pad_plaintext,
    r1_signed_octets,
)

AES_BLOCK_OCTETS: Final = 16


@dataclass(frozen=True, slots=True)
class VerifyR1:
    """Check who signed an R1, before anything in it is used (section 6.8)."""

    peer: Hit
    host_id: HostId
    octets: bytes = field(repr=False)
    signature: HipSignature2

    def run(self) -> HostIdentity | Refused:
        """The Responder's identity when HIT and signature are right."""
        identity = identity_from_host_id(self.host_id, self.peer)
        if isinstance(identity, Refused):
            return Refused(identity.reason)
        try:
            signed = r1_signed_octets(self.octets)
        except WireError as error:
            return Refused(error.reason)
        if self.signature.algorithm != identity.algorithm or not identity.verify(
            self.signature.signature, signed
        ):
            return Refused("signature_wrong")
        return identity


@dataclass(frozen=True, slots=True)
class AnswerR1:
    """Solve the puzzle of a verified R1 and build the I2 (sections 5.3.3, 6.3, 6.5)."""

    local: PrivateHostIdentity = field(repr=False)
    peer: Hit
    proposal: Proposal
    puzzle: Puzzle
    start_j: bytes = field(repr=False)
    tries: int
    r1_counter: R1Counter | None
    echo_signed: bytes | None
    echoes_unsigned: tuple[bytes, ...]
    host_id: HostId
    spi_in: Spi
    iv: bytes = field(repr=False)
    locators: tuple[LocatorSet, ...] = ()
    controls: int = 0
    offer: Offer = NO_OFFER
    """Our certificates."""

    def run(self) -> AnsweredR1 | PuzzleUnsolved | Refused:
        """Puzzle, DH, KEYMAT, encrypt, MAC, signature."""
        proposal, puzzle = self.proposal, self.puzzle
        local, peer = self.local.hit, self.peer
        try:
            j = solve_puzzle(
                proposal.suite,
                puzzle.k,
                puzzle.i,
                local,
                peer,
                start_j=self.start_j,
                tries=self.tries,
            )
            if j is None:
                return PuzzleUnsolved()
            dh = generate_dh(proposal.dh_group)
            keying = derive_keying(proposal, dh, local, peer, (puzzle.i, j))
        except CryptoError:
            return Refused("dh_invalid")
        except HostError:
            return Refused("dh_group")
        try:
            octets = self._i2(j, dh, keying.hip)
        except LocalProtocolError:
            return Refused("hip_long")  # the ECHO_REQUEST_SIGNED leaves no room for our I2
        return AnsweredR1(octets, keying)

    def _i2(self, j: bytes, dh: DhPrivateKey, keys: HipKeys) -> bytes:
        proposal, puzzle = self.proposal, self.puzzle
        null = proposal.cipher is HipCipher.NULL
        plaintext = pad_plaintext(emit_parameter(self.host_id), 1 if null else AES_BLOCK_OCTETS)
        ciphertext = encrypt_parameter(
            proposal.cipher, keys.encryption_out, b"" if null else self.iv, plaintext
        )
        parameters: list[Parameter] = [
            EspInfo(keys.keymat_index, 0, int(self.spi_in)),
            Solution(puzzle.k, puzzle.opaque, puzzle.i, j),
            DiffieHellman(int(proposal.dh_group), dh.public),
            HipCipherList((int(proposal.cipher),)),
            Encrypted(ciphertext),
            *esp_offer((proposal.esp_suite,)),
            *self.locators,
        ]
        if self.r1_counter is not None:
            parameters.append(self.r1_counter)  # verbatim, reserved field included (5.2.3)
        if self.echo_signed is not None:
            parameters.append(EchoResponseSigned(self.echo_signed))
        parameters += self.offer.beside(parameters, self.local)
        octets = build_packet(
            PacketType.I2, self.local.hit, self.peer, parameters, controls=self.controls
        )
        octets = with_mac(octets, proposal.suite, keys.mac_out)
        return with_unsigned_echoes(with_signature(octets, self.local), self.echoes_unsigned)


@dataclass(frozen=True, slots=True)
class AnsweredR1:
    """An I2 ready to go, and the keys it leads to."""

    octets: bytes
    keying: Keying


@dataclass(frozen=True, slots=True)
class PuzzleUnsolved:
    """No J among those tried; the engine looks at the clock and asks again."""
