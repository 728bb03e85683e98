"""Jobs of the Responder: R1s signed ahead, and the costly part of an I2."""

from __future__ import annotations

from dataclasses import dataclass, field

from hipgw.crypto import (
    DhPrivateKey,
    HostIdentity,
    PrivateHostIdentity,
    decrypt_parameter,
    generate_dh,
    mac_is_right,
)
from hipgw.errors import CryptoError, HostError, WireError
from hipgw.proto.certificate_check import NO_CHECK, CertificateCheck, Judgement
from hipgw.proto.certificate_room import NO_OFFER, Offer
from hipgw.proto.jobs import (
    Keying,
    Proposal,
    derive_keying,
    identity_from_host_id,
)
from hipgw.proto.packets import (
    build_packet,
    build_r2,
    with_signature_2,
    with_unsigned_echoes,
)
from hipgw.proto.refusals import Refused
from hipgw.values import (
    NULL_HIT,
    DhGroup,
    Hit,
    NotifyType,
    Spi,
)
from hipgw.wire import (
    DiffieHellman,
    Encrypted,
    EspInfo,
    HipMac,
    HipSignature,
    HostId,
    LocatorSet,
    PacketType,
    Parameter,
    ParameterType,
    covered_octets,
    emit_parameter,
    parse_parameters,
)


@dataclass(frozen=True, slots=True)
class MakeR1:
    """Sign one R1 ahead, for an identity and a Diffie-Hellman group (section 4.1.4)."""

    identity: PrivateHostIdentity = field(repr=False)
    group: DhGroup
    host_id: HostId
    parameters: tuple[Parameter, ...]
    """All but DIFFIE_HELLMAN, HOST_ID and the signature."""
    controls: int = 0
    offer: Offer = NO_OFFER
    """Our certificates."""

    def run(self) -> MadeR1 | Refused:
        """Draw the Diffie-Hellman key and sign."""
        try:
            dh = generate_dh(self.group)
        except HostError:
            return Refused("dh_group")
        public = DiffieHellman(int(self.group), dh.public)
        parameters = (*self.parameters, public, self.host_id)
        parameters += self.offer.beside(parameters, self.identity)
        octets = build_packet(
            PacketType.R1, self.identity.hit, NULL_HIT, parameters, controls=self.controls
        )
        return MadeR1(with_signature_2(octets, self.identity), dh, emit_parameter(self.host_id))


@dataclass(frozen=True, slots=True)
class MadeR1:
    """An R1 that lacks receiver, opaque, I and checksum."""

    octets: bytes
    dh: DhPrivateKey = field(repr=False)
    host_id_tlv: bytes = field(repr=False)
    """HOST_ID as sent, which HIP_MAC_2 covers (section 5.2.13)."""


@dataclass(frozen=True, slots=True)
class AcceptI2:
    """Everything costly in an I2 whose puzzle is solved (section 6.9), cheapest check first."""

    local: PrivateHostIdentity = field(repr=False)
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
        local, peer = self.local.hit, self.peer
        try:
            keying = derive_keying(self.proposal, self.dh, local, peer, (self.i, self.j))
        except CryptoError:
            return Refused("dh_invalid")  # silent (section 5.3.2)
        keys = keying.hip
        try:
            covered_by_mac = covered_octets(self.octets, ParameterType.HIP_MAC)
            covered_by_signature = covered_octets(self.octets, ParameterType.HIP_SIGNATURE)
        except WireError as error:
            return Refused(error.reason)
        if not mac_is_right(keying.suite, keys.mac_in, covered_by_mac, self.mac.mac):
            return Refused("mac_wrong", NotifyType.HIP_MAC_FAILED)
        host_id = self._host_id(keys.encryption_in)
        if host_id is None:
            return Refused("decrypt_failed")  # silent (section 6.9 step 11)
        identity = identity_from_host_id(host_id, peer)
        if isinstance(identity, Refused):
            return identity
        if self.signature.algorithm != identity.algorithm or not identity.verify(
            self.signature.signature, covered_by_signature
        ):
            return Refused("signature_wrong", NotifyType.AUTHENTICATION_FAILED)
        judgement = self.check.of(identity) if self.check.is_needed else None
        if isinstance(judgement, Refused):
            return judgement
        esp_info = EspInfo(keys.keymat_index, 0, int(self.spi_in))
        shown = self.offer.beside((esp_info, *self.locators), self.local)
        r2 = build_r2(
            self.local,
            peer,
            keymat_index=keys.keymat_index,
            spi_in=self.spi_in,
            suite=keying.suite,
            mac_key=keys.mac_out,
            host_id_tlv=self.host_id_tlv,
            others=(*self.locators, *shown),
        )
        r2 = with_unsigned_echoes(r2, self.echoes_unsigned)
        return AcceptedI2(r2, keying, identity, host_id, judgement)

    def _host_id(self, key: bytes) -> HostId | None:
        """HOST_ID, out of ENCRYPTED if it is in there."""
        if self.host_id is not None:
            return self.host_id
        for encrypted in self.encrypted:
            try:
                padded = decrypt_parameter(self.proposal.cipher, key, encrypted.iv_and_ciphertext)
                inner = parse_parameters(padded, lenient_tail=True)
            except (CryptoError, WireError):
                return None
            for parameter in inner:
                if isinstance(parameter, HostId):
                    return parameter
        return None


@dataclass(frozen=True, slots=True)
class AcceptedI2:
    """A proven Initiator, and the R2 for it."""

    r2: bytes
    keying: Keying
    identity: HostIdentity
    host_id: HostId
    judgement: Judgement | None = None
    """Of its certificates, if there was anything to judge."""
