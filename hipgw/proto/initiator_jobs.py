"""Jobs of the Initiator: the signature of an R1, its puzzle, and the I2 that answers it."""

from __future__ import annotations

from dataclasses import dataclass, field

from hipgw.crypto import (
    DhPrivateKey,
    HipKeys,
    HostIdentity,
    generate_dh,
)
from hipgw.errors import CryptoError, HostError, LocalProtocolError, WireError
from hipgw.proto.certificate_room import NO_OFFER, Offer
from hipgw.proto.dialect import Dialect
from hipgw.proto.jobs import derive_keying
from hipgw.proto.keying import Keying, Proposal
from hipgw.proto.local_identity import LocalIdentity
from hipgw.proto.packets import with_unsigned_echoes
from hipgw.proto.refusals import Refused
from hipgw.values import Hit, Spi
from hipgw.wire import (
    EchoResponseSigned,
    Encrypted,
    EspInfo,
    HipSignature2,
    HostId,
    LocatorSet,
    PacketType,
    Parameter,
    Puzzle,
    R1Counter,
    emit_parameter,
    r1_signed_octets,
)


@dataclass(frozen=True, slots=True)
class VerifyR1:
    """Check who signed an R1, before anything in it is used (section 6.8)."""

    dialect: Dialect
    peer: Hit
    host_id: HostId
    octets: bytes = field(repr=False)
    signature: HipSignature2

    def run(self) -> HostIdentity | Refused:
        """The Responder's identity when HIT and signature are right."""
        identity = self.dialect.identity_from_host_id(self.host_id, self.peer)
        if isinstance(identity, Refused):
            return Refused(identity.reason)
        try:
            signed = r1_signed_octets(self.octets)
        except WireError as error:
            return Refused(error.reason)
        if not self.dialect.signature_is_right(identity, self.signature, signed):
            return Refused("signature_wrong")
        return identity


@dataclass(frozen=True, slots=True)
class AnswerR1:
    """Solve the puzzle of a verified R1 and build the I2 (sections 5.3.3, 6.3, 6.5)."""

    dialect: Dialect
    local: LocalIdentity = field(repr=False)
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
        dialect, proposal, puzzle = self.dialect, self.proposal, self.puzzle
        hits = self.local.hit, self.peer
        try:
            j = dialect.solve_puzzle(
                puzzle.k, hits, puzzle.i, start_j=self.start_j, tries=self.tries
            )
            if j is None:
                return PuzzleUnsolved()
            dh = generate_dh(proposal.dh_group)
            keying = derive_keying(dialect, proposal, dh, hits, (puzzle.i, j))
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
        dialect, proposal, puzzle = self.dialect, self.proposal, self.puzzle
        protection = proposal.protection
        host_id: Parameter = self.host_id
        if dialect.hides_host_id:
            octets = protection.encrypt(keys.encryption_out, self.iv, emit_parameter(host_id))
            host_id = Encrypted(octets)
        parameters: list[Parameter] = [
            EspInfo(keys.keymat_index, 0, int(self.spi_in)),
            dialect.solution(puzzle.k, puzzle.opaque, (puzzle.i, j)),
            dialect.dh_parameter((dh,)),
            dialect.cipher_parameter(protection),
            host_id,
            *dialect.esp_offer((proposal.esp_suite,)),
            *self.locators,
        ]
        if self.r1_counter is not None:
            parameters.append(self.r1_counter)  # verbatim, reserved field included (5.2.3)
        if self.echo_signed is not None:
            parameters.append(EchoResponseSigned(self.echo_signed))
        parameters += self.offer.beside(parameters, self.local.key)
        octets = dialect.build(
            PacketType.I2, self.local.hit, self.peer, parameters, controls=self.controls
        )
        octets = dialect.with_mac(octets, protection, keys.mac_out)
        octets = dialect.with_signature(octets, self.local)
        return with_unsigned_echoes(octets, self.echoes_unsigned)


@dataclass(frozen=True, slots=True)
class AnsweredR1:
    """An I2 ready to go, and the keys it leads to."""

    octets: bytes
    keying: Keying


@dataclass(frozen=True, slots=True)
class PuzzleUnsolved:
    """No J among those tried; the engine looks at the clock and asks again."""
