"""What differs between the versions of HIP, and between hosts that speak one of them.

A dialect is chosen once, by the HIP version of a packet or HIT and by what the configuration says
of the peer.  The association holds it; nobody else asks for a version.  RFC 7401 rules where a
docstring names no other; `dialect_v1` has the sections of RFC 5201.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from hipgw.crypto import (
    DhPrivateKey,
    HipKeys,
    HostIdentity,
    PrivateHostIdentity,
)
from hipgw.crypto.keymat import KeymatStream
from hipgw.errors import CryptoError
from hipgw.proto.config import EndpointConfig
from hipgw.proto.keying import Proposal, Protection
from hipgw.proto.local_identity import LocalIdentity
from hipgw.proto.packets import build_packet
from hipgw.proto.refusals import Refused
from hipgw.values import (
    NO_QUIRKS,
    DhGroup,
    EspSuite,
    HiAlgorithm,
    Hit,
    NotifyType,
    Quirks,
)
from hipgw.wire import (
    HIP_VERSION,
    HipMac,
    HipMac2,
    HipPacket,
    HipSignature,
    HipSignature2,
    HostId,
    PacketType,
    Parameter,
    ParameterType,
    append_parameter,
    covered_octets,
    mac2_octets,
    mac2_octets_to_make,
    parse_packet,
    parse_parameters,
)

_ONLY: Final = {version: frozenset({version}) for version in (1, HIP_VERSION)}


@dataclass(frozen=True, slots=True)
class Dialect(ABC):
    """How HIP is spoken with a peer: frozen, so that jobs on other threads may hold it."""

    VERSION: ClassVar[int]
    MAC: ClassVar[type[HipMac]]
    MAC_2: ClassVar[type[HipMac2]]
    SIGNATURE: ClassVar[type[HipSignature]]
    SIGNATURE_2: ClassVar[type[HipSignature2]]
    ALGORITHMS: ClassVar[frozenset[HiAlgorithm]]
    """Of host identities."""
    R1_NEEDS: ClassVar[tuple[type[Parameter], ...]]
    """Parameters without which an R1 cannot be answered."""

    is_legacy: bool = False
    """Whether the configuration allows the peer algorithms of old."""
    quirks: Quirks = NO_QUIRKS
    """Where the peer leaves the RFCs; only the classes of `dialect_quirks` follow it there."""

    # --- packets ---

    def parse(self, octets: bytes) -> HipPacket:
        """Read a packet of this version; WireError when it is not well-formed."""
        return parse_packet(octets, versions=_ONLY[self.VERSION])

    def parse_decrypted(self, octets: bytes) -> tuple[Parameter, ...]:
        """Read the plaintext of an ENCRYPTED, padding included; WireError likewise."""
        return parse_parameters(octets, lenient_tail=True, version=self.VERSION)

    def build(
        self,
        packet_type: PacketType,
        sender: Hit,
        receiver: Hit,
        parameters: Iterable[Parameter],
        *,
        controls: int = 0,
    ) -> bytes:
        """Emit a packet, parameters in order of type."""
        return build_packet(
            packet_type, sender, receiver, parameters, controls=controls, version=self.VERSION
        )

    def r1_as_sent(self, octets: bytes) -> bytes:
        """An R1 that was made for everybody, as this peer gets it."""
        return octets

    @property
    def hides_host_id(self) -> bool:
        """Whether the HOST_ID of our I2 goes into ENCRYPTED (section 5.3.3)."""
        return True

    # --- MACs and signatures: octets built so far are what they cover ---

    def with_mac(self, octets: bytes, protection: Protection, key: bytes) -> bytes:
        """Append HIP_MAC (section 5.2.12)."""
        return append_parameter(octets, self.MAC(protection.mac(key, octets)))

    def with_mac_2(
        self, octets: bytes, protection: Protection, key: bytes, host_id_tlv: bytes
    ) -> bytes:
        """Append HIP_MAC_2 over an R2 and the HOST_ID of our R1 (section 5.2.13)."""
        mac = protection.mac(key, mac2_octets_to_make(octets, host_id_tlv))
        return append_parameter(octets, self.MAC_2(mac))

    def with_signature(self, octets: bytes, local: LocalIdentity) -> bytes:
        """Append HIP_SIGNATURE (section 5.2.14)."""
        algorithm, signature = local.public.algorithm, local.sign(octets)
        return append_parameter(octets, self.SIGNATURE(algorithm, signature))

    def with_signature_2(self, octets: bytes, local: LocalIdentity) -> bytes:
        """Append HIP_SIGNATURE_2 to an R1 whose receiver, opaque and I are zero (5.2.15)."""
        algorithm, signature = int(local.public.algorithm), local.sign(octets)
        return append_parameter(octets, self.SIGNATURE_2(algorithm, signature))

    def mac_is_right(self, packet: HipPacket, protection: Protection, key: bytes) -> bool:
        """Whether the HIP_MAC of a packet is right; WireError when it has none."""
        mac = packet.require(HipMac)
        covered = covered_octets(packet.octets, ParameterType.HIP_MAC)
        return protection.mac_is_right(key, covered, mac.mac)

    def mac_2_is_right(
        self, packet: HipPacket, protection: Protection, key: bytes, host_id_tlv: bytes
    ) -> bool:
        """Whether the HIP_MAC_2 of an R2 is right, given the HOST_ID of the R1 as it came."""
        mac = packet.require(HipMac2)
        return protection.mac_is_right(key, mac2_octets(packet.octets, host_id_tlv), mac.mac)

    def r2_signature(self, packet: HipPacket) -> HipSignature | HipSignature2:
        """The signature of an R2 (section 5.3.4); WireError when it has none."""
        return packet.require(HipSignature)

    def signature_is_right(
        self, identity: HostIdentity, signature: HipSignature | HipSignature2, covered: bytes
    ) -> bool:
        """Whether a HIP_SIGNATURE or HIP_SIGNATURE_2 is that of `identity` over `covered`."""
        return signature.algorithm == identity.algorithm and identity.verify(
            signature.signature, covered, version=self.VERSION
        )

    # --- who is who ---

    def can_name(self, key: PrivateHostIdentity) -> bool:
        """Whether the version has a HIT and signatures for a key of ours."""
        return key.public.algorithm in self.ALGORITHMS

    def may_use(self, local: LocalIdentity) -> bool:
        """Whether one of our identities may speak to the peer: a weak one only where allowed."""
        return local.version == self.VERSION and (self.is_legacy or not local.is_weak)

    @abstractmethod
    def can_verify(self, hit: Hit) -> bool:
        """Whether we know how a HIT of this version is made."""

    @abstractmethod
    def accepts_hit(self, hit: Hit, config: EndpointConfig) -> bool:
        """Whether the configuration accepts an Initiator with such a HIT."""

    @abstractmethod
    def hit_matches(self, host_id: HostId, hit: Hit) -> bool:
        """Whether `hit` is the hash of the Host Identity."""

    @abstractmethod
    def host_id_of(self, local: LocalIdentity, di_type: int, di: bytes) -> HostId:
        """HOST_ID of one of our identities with its domain identifier (section 5.2.9)."""

    def identity_from_host_id(self, host_id: HostId, hit: Hit) -> HostIdentity | Refused:
        """Make the key of a HOST_ID usable, given that it hashes to `hit` (section 6.8, 6.9)."""
        if not self.hit_matches(host_id, hit):
            return Refused("hit_mismatch", NotifyType.INVALID_HIT)
        try:
            return HostIdentity.from_wire(
                host_id.algorithm,
                host_id.hi,
                allow_weak=self.is_legacy,
                hit=hit if hit.version == HIP_VERSION else None,
            )
        except CryptoError:
            return Refused("signature_wrong", NotifyType.AUTHENTICATION_FAILED)

    # --- what is offered, and what is chosen ---

    @abstractmethod
    def dh_groups(self, config: EndpointConfig) -> tuple[DhGroup, ...]:
        """Groups for this peer, most preferred first."""

    @abstractmethod
    def offers(self, config: EndpointConfig) -> tuple[tuple[DhGroup, ...], ...]:
        """The R1s to be made ahead, each by the groups of its Diffie-Hellman keys."""

    @abstractmethod
    def i1_parameters(self, config: EndpointConfig) -> tuple[Parameter, ...]:
        """Of an I1 of ours."""

    @abstractmethod
    def group_for_i1(self, packet: HipPacket, config: EndpointConfig) -> DhGroup:
        """A group of the R1 that answers an I1; WireError when the I1 lacks something."""

    @abstractmethod
    def r1_parameters(
        self, config: EndpointConfig, counter: int, k: int, responder: Hit
    ) -> tuple[Parameter, ...]:
        """Of an R1 made ahead: counter, puzzle, and what we offer but for Diffie-Hellman."""

    @abstractmethod
    def check_r1(self, packet: HipPacket, responder: Hit) -> None:
        """Cheap checks of an R1 beyond the presence of `R1_NEEDS`; RefusedError."""

    @abstractmethod
    def suites_accepted(self, packet: HipPacket) -> Sequence[int] | None:
        """HIT suites that the sender of an R1 accepts; None when the version has no such list."""

    @abstractmethod
    def dh_parameter(self, keys: Sequence[DhPrivateKey]) -> Parameter:
        """DIFFIE_HELLMAN with our public values."""

    @abstractmethod
    def dh_value(self, packet: HipPacket) -> tuple[int, bytes] | None:
        """Group and public value of the one DIFFIE_HELLMAN key in a packet; None without."""

    @abstractmethod
    def esp_offer(self, suites: Sequence[EspSuite]) -> tuple[Parameter, ...]:
        """What names ESP and its suites (section 5.2.11; RFC 7402 section 5.1.2)."""

    @abstractmethod
    def cipher_parameter(self, protection: Protection) -> Parameter:
        """The one that an I2 chooses."""

    @abstractmethod
    def proposal_from_r1(self, packet: HipPacket, config: EndpointConfig) -> Proposal:
        """Choose for our I2, the R1 being authentic; UnacceptableError, RefusedError."""

    @abstractmethod
    def proposal_from_i2(self, packet: HipPacket, config: EndpointConfig) -> Proposal:
        """Check what an Initiator chose, its puzzle being solved; RefusedError, WireError."""

    @abstractmethod
    def counter_is_right(self, packet: HipPacket, counter: int) -> bool:
        """Whether the R1_COUNTER of an I2 is that of our R1; WireError if it must be there."""

    # --- the puzzle ---

    @abstractmethod
    def nonce_octets(self, responder: Hit) -> int:
        """Of I and of J."""

    @abstractmethod
    def solution(self, k: int, opaque: bytes, nonces: tuple[bytes, bytes]) -> Parameter:
        """SOLUTION with I and J."""

    @abstractmethod
    def puzzle_is_solved(self, k: int, hits: tuple[Hit, Hit], nonces: tuple[bytes, bytes]) -> bool:
        """Whether J solves the puzzle; never raises.

        Args:
            k: difficulty in bits.
            hits: of Initiator and Responder.
            nonces: I and J.
        """

    @abstractmethod
    def solve_puzzle(
        self, k: int, hits: tuple[Hit, Hit], i: bytes, *, start_j: bytes, tries: int
    ) -> bytes | None:
        """Look for J from `start_j` on; None when `tries` were not enough; CryptoError."""

    # --- keys ---

    def shared_secret(self, dh: DhPrivateKey, dh_peer: bytes) -> bytes:
        """Kij as it enters KEYMAT; CryptoError when the public value is not in the group."""
        return dh.exchange(dh_peer)

    def keymat(
        self,
        protection: Protection,
        kij: bytes,
        hits: tuple[Hit, Hit],
        nonces: tuple[bytes, bytes],
    ) -> KeymatStream:
        """The keying material of a shared secret; `hits` in any order, `nonces` I and J."""
        return protection.keymat(kij, hits, nonces)

    def hip_keys(
        self, keymat: KeymatStream, protection: Protection, local: Hit, peer: Hit
    ) -> HipKeys:
        """The four keys of HIP packets, from the start of KEYMAT."""
        return protection.hip_keys(keymat, local, peer)

    def mac_keys_after_exchange(self, keys: HipKeys) -> tuple[bytes, bytes]:
        """The MAC keys out and in of UPDATE, CLOSE and CLOSE_ACK."""
        return keys.mac_out, keys.mac_in

    @property
    def receives_with_their_spi(self) -> bool:
        """Whether a Responder sends ESP with the SPI that it has told us to send with."""
        return False

    @property
    def rekeys_with_dh(self) -> bool:
        """Whether each rekey with the peer must have a new Diffie-Hellman key."""
        return False
