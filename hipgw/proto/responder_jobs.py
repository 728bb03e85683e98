"""Jobs of the Responder: R1s signed ahead, and the costly part of an I2."""

from __future__ import annotations

from dataclasses import dataclass, field

from hipgw.crypto import (
    DhPrivateKey,
    HostIdentity,
    generate_dh,
)
from hipgw.errors import CryptoError, HostError, WireError
from hipgw.proto.certificate_check import NO_CHECK, CertificateCheck, Judgement
from hipgw.proto.certificate_room import NO_OFFER, Offer
from hipgw.proto.dialect import Dialect
from hipgw.proto.jobs import derive_keying
from hipgw.proto.keying import Keying, Proposal
from hipgw.proto.local_identity import LocalIdentity
from hipgw.proto.packets import with_unsigned_echoes
from hipgw.proto.refusals import Refused
from hipgw.values import (
    NULL_HIT,
    DhGroup,
    Hit,
    NotifyType,
    Spi,
)
from hipgw.values.quick_making import quickly_made
from hipgw.wire import (
    Encrypted,
    EspInfo,
    HipMac,
    HipSignature,
    HostId,
    LocatorSet,
    PacketType,
    Parameter,
    emit_parameter,
    proven_octets,
)


@dataclass(frozen=True, slots=True)
class MakeR1:
    """Sign one R1 ahead, for an identity and Diffie-Hellman groups (section 4.1.4)."""

    dialect: Dialect
    identity: LocalIdentity = field(repr=False)
    groups: tuple[DhGroup, ...]
    """One, but in HIPv1, where an R1 may have two public values."""
    host_id: HostId
    parameters: tuple[Parameter, ...]
    """All but DIFFIE_HELLMAN, HOST_ID and the signature."""
    controls: int = 0
    offer: Offer = NO_OFFER
    """Our certificates."""

    def run(self) -> MadeR1 | Refused:
        """Draw the Diffie-Hellman keys and sign."""
        dialect = self.dialect
        try:
            keys = tuple(generate_dh(group) for group in self.groups)
        except HostError:
            return Refused("dh_group")
        parameters = (*self.parameters, dialect.dh_parameter(keys), self.host_id)
        parameters += self.offer.beside(parameters, self.identity.key)
        octets = dialect.build(
            PacketType.R1, self.identity.hit, NULL_HIT, parameters, controls=self.controls
        )
        octets = dialect.with_signature_2(octets, self.identity)
        return MadeR1(octets, keys, emit_parameter(self.host_id))


@dataclass(frozen=True, slots=True)
class MadeR1:
    """An R1 that lacks receiver, opaque, I and checksum."""

    octets: bytes
    keys: tuple[DhPrivateKey, ...] = field(repr=False)
    host_id_tlv: bytes = field(repr=False)
    """HOST_ID as sent, which HIP_MAC_2 covers (section 5.2.13)."""

    def key_of(self, group: DhGroup) -> DhPrivateKey | None:
        """Ours of a group; None when the R1 does not offer it."""
        for key in self.keys:
            if key.group == group:
                return key
        return None


@quickly_made
@dataclass(frozen=True, slots=True)
class AcceptI2:
    """Everything costly in an I2 whose puzzle is solved (section 6.9), cheapest check first."""

    dialect: Dialect
    local: LocalIdentity = field(repr=False)
    peer: Hit
    octets: bytes = field(repr=False)
    proposal: Proposal
    i: bytes = field(repr=False)
    j: bytes = field(repr=False)
    dh: DhPrivateKey = field(repr=False)
    mac: HipMac
    signature: HipSignature
    host_id: HostId | None
    """HOST_ID if it came in the clear."""
    encrypted: tuple[Encrypted, ...]
    host_id_tlv: bytes = field(repr=False)
    """Our own, as in the R1."""
    spi_in: Spi
    locators: tuple[LocatorSet, ...] = ()
    """For the R2."""
    check: CertificateCheck = NO_CHECK
    """Of the Initiator's certificates."""
    offer: Offer = NO_OFFER
    """Our own, for the R2."""
    echoes_unsigned: tuple[bytes, ...] = ()
    """What middleboxes want to see again in the R2 (section 5.2.21)."""

    def run(self) -> AcceptedI2 | Refused:
        """DH, KEYMAT, MAC, decrypt, HIT, signature, R2."""
        dialect, local, peer = self.dialect, self.local.hit, self.peer
        try:
            keying = derive_keying(dialect, self.proposal, self.dh, (local, peer), (self.i, self.j))
        except CryptoError:
            return Refused("dh_invalid")  # silent (section 5.3.2)
        keys = keying.hip
        try:
            covered_by_mac, covered_by_signature = proven_octets(self.octets)
        except WireError as error:
            return Refused(error.reason)
        if not keying.protection.mac_is_right(keys.mac_in, covered_by_mac, self.mac.mac):
            return Refused("mac_wrong", NotifyType.HIP_MAC_FAILED)
        host_id = self._host_id(keys.encryption_in)
        if host_id is None:
            return Refused("decrypt_failed")  # silent (section 6.9 step 11)
        identity = dialect.identity_from_host_id(host_id, peer)
        if isinstance(identity, Refused):
            return identity
        if not dialect.signature_is_right(identity, self.signature, covered_by_signature):
            return Refused("signature_wrong", NotifyType.AUTHENTICATION_FAILED)
        judgement = self.check.of(identity) if self.check.is_needed else None
        if isinstance(judgement, Refused):
            return judgement
        r2 = with_unsigned_echoes(self._r2(keying), self.echoes_unsigned)
        return AcceptedI2(r2, keying, identity, host_id, judgement)

    def _r2(self, keying: Keying) -> bytes:
        """Our SPI, HIP_MAC_2 over it and the HOST_ID of our R1, signature (section 5.3.4)."""
        dialect, keys = self.dialect, keying.hip
        parameters = (EspInfo(keys.keymat_index, 0, int(self.spi_in)), *self.locators)
        parameters += self.offer.beside(parameters, self.local.key)
        octets = dialect.build(PacketType.R2, self.local.hit, self.peer, parameters)
        octets = dialect.with_mac_2(octets, keying.protection, keys.mac_out, self.host_id_tlv)
        return dialect.with_signature(octets, self.local)

    def _host_id(self, key: bytes) -> HostId | None:
        """HOST_ID, out of ENCRYPTED if it is in there."""
        if self.host_id is not None:
            return self.host_id
        for encrypted in self.encrypted:
            try:
                padded = self.proposal.protection.decrypt(key, encrypted.iv_and_ciphertext)
                inner = self.dialect.parse_decrypted(padded)
            except (CryptoError, WireError):
                return None
            for parameter in inner:
                if isinstance(parameter, HostId):
                    return parameter
        return None


@quickly_made
@dataclass(frozen=True, slots=True)
class AcceptedI2:
    """A proven Initiator, and the R2 for it."""

    r2: bytes
    keying: Keying
    identity: HostIdentity
    host_id: HostId
    judgement: Judgement | None = None
    """Of its certificates, if there was anything to judge."""
