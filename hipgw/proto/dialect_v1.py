"""HIPv1: RFC 5201 and 5202, for peers of old that the configuration allows it."""

# ruff: noqa: ARG002 - HIPv1 needs less to answer the same questions

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from hipgw.crypto import (
    NONCE_V1_OCTETS,
    DhPrivateKey,
    HipKeys,
    KeymatV1,
    compute_mac_v1,
    decrypt_parameter_v1,
    draw_hip_keys_v1,
    encrypt_parameter_v1,
    hit_v1_from_hi,
    mac_v1_is_right,
    puzzle_v1_is_solved,
    solve_puzzle_v1,
)
from hipgw.crypto.keymat import KEYMAT_V1_OCTETS_MOST, KeymatStream
from hipgw.proto.config import EndpointConfig
from hipgw.proto.dialect import Dialect
from hipgw.proto.keying import Proposal, Protection
from hipgw.proto.local_identity import LocalIdentity
from hipgw.proto.negotiation import IDS_MOST, UnacceptableError, first_common
from hipgw.proto.refusals import RefusedError
from hipgw.values import (
    ALGORITHMS_V1,
    ESP_SUITE_OF_V1,
    DhGroup,
    EspSuite,
    HiAlgorithm,
    HipTransform,
    Hit,
    NotifyType,
)
from hipgw.wire import (
    DhPublicValue,
    DiffieHellmanV1,
    EspTransform,
    HipMacV1,
    HipPacket,
    HipSignature2V1,
    HipSignatureV1,
    HipTransformList,
    HostId,
    HostIdV1,
    Parameter,
    PuzzleV1,
    R1Counter,
    R1CounterV1,
    SolutionV1,
    pad_plaintext,
)
from hipgw.wire.parameters.hipv1 import DH_VALUES_MAX, HipMac2V1

_NUMBER_OF: Final = {suite: number for number, suite in ESP_SUITE_OF_V1.items()}


@dataclass(frozen=True, slots=True)
class ProtectionV1(Protection):
    """A HIP transform, which names MAC and cipher together (RFC 5201 section 5.2.7)."""

    transform: HipTransform

    @property
    def suite(self) -> None:
        """HIT suites came with HIPv2."""
        return

    @property
    def cipher(self) -> HipTransform:
        """What the I2 chose."""
        return self.transform

    @property
    def key_octets(self) -> int:
        """Of an encryption key."""
        return self.transform.key_octets

    @property
    def mac_octets(self) -> int:
        """20 or 16."""
        return self.transform.mac_octets

    def mac(self, key: bytes, octets: bytes) -> bytes:
        """HMAC-SHA-1 or HMAC-MD5."""
        return compute_mac_v1(self.transform, key, octets)

    def mac_is_right(self, key: bytes, octets: bytes, mac: bytes) -> bool:
        """Compare in constant time."""
        return mac_v1_is_right(self.transform, key, octets, mac)

    def encrypt(self, key: bytes, randomness: bytes, tlvs: bytes) -> bytes:
        """CBC with a random IV, or the TLVs themselves for NULL (RFC 5201 section 5.2.15)."""
        padded = pad_plaintext(tlvs, self.transform.block_octets)
        iv = randomness[: self.transform.iv_octets]
        return encrypt_parameter_v1(self.transform, key, iv, padded)

    def decrypt(self, key: bytes, octets: bytes) -> bytes:
        """Undo `encrypt`, padding stays."""
        return decrypt_parameter_v1(self.transform, key, octets)

    def keymat(
        self, kij: bytes, hits: tuple[Hit, Hit], nonces: tuple[bytes, bytes]
    ) -> KeymatStream:
        """Iterated SHA-1 (RFC 5201 section 6.5)."""
        return KeymatV1(kij, *hits, *nonces)

    @property
    def keymat_octets_most(self) -> int:
        """As far as a KEYMAT index can point."""
        return KEYMAT_V1_OCTETS_MOST

    def hip_keys(self, keymat: KeymatStream, local: Hit, peer: Hit) -> HipKeys:
        """Sizes by the transform."""
        return draw_hip_keys_v1(keymat, self.transform, local, peer)


@dataclass(frozen=True, slots=True)
class DialectV1(Dialect):
    """The first version of HIP; all of it is legacy."""

    VERSION: ClassVar[int] = 1
    MAC: ClassVar[type[HipMacV1]] = HipMacV1
    MAC_2: ClassVar[type[HipMac2V1]] = HipMac2V1
    SIGNATURE: ClassVar[type[HipSignatureV1]] = HipSignatureV1
    SIGNATURE_2: ClassVar[type[HipSignature2V1]] = HipSignature2V1
    ALGORITHMS: ClassVar[frozenset[HiAlgorithm]] = ALGORITHMS_V1
    R1_NEEDS: ClassVar[tuple[type[Parameter], ...]] = (
        PuzzleV1,
        DiffieHellmanV1,
        HipTransformList,
        HostIdV1,
        EspTransform,
        HipSignature2V1,
    )

    is_legacy: bool = True

    # --- who is who ---

    def can_verify(self, hit: Hit) -> bool:
        """The HIT does not tell how its key signs."""
        return hit.version == self.VERSION

    def accepts_hit(self, hit: Hit, config: EndpointConfig) -> bool:
        """Whoever is allowed HIPv1."""
        return hit.version == self.VERSION and bool(config.v1_dh_groups)

    def hit_matches(self, host_id: HostId, hit: Hit) -> bool:
        """The key without the DNSKEY head (RFC 5201 section 3.2)."""
        return hit_v1_from_hi(host_id.hi) == hit

    def host_id_of(self, local: LocalIdentity, di_type: int, di: bytes) -> HostId:
        """HOST_ID with a DNSKEY head (RFC 5201 section 5.2.8)."""
        public = local.public
        return HostIdV1(int(public.algorithm), public.hi, di_type, di)

    # --- what is offered, and what is chosen ---

    def dh_groups(self, config: EndpointConfig) -> tuple[DhGroup, ...]:
        """The first two, for an R1 has room for no more."""
        return config.v1_dh_groups[:DH_VALUES_MAX]

    def offers(self, config: EndpointConfig) -> tuple[tuple[DhGroup, ...], ...]:
        """One R1 with one or two public values (RFC 5201 section 5.2.6)."""
        return (self.dh_groups(config),)

    def i1_parameters(self, config: EndpointConfig) -> tuple[Parameter, ...]:
        """None (RFC 5201 section 5.3.1)."""
        return ()

    def group_for_i1(self, packet: HipPacket, config: EndpointConfig) -> DhGroup:
        """An I1 does not say; there is one R1 for all."""
        return self.dh_groups(config)[0]

    def r1_parameters(
        self, config: EndpointConfig, counter: int, k: int, responder: Hit
    ) -> tuple[Parameter, ...]:
        """R1_COUNTER, PUZZLE, HIP_TRANSFORM, ESP_TRANSFORM (RFC 5201 section 5.3.2)."""
        return (
            R1CounterV1(counter),
            PuzzleV1(k, config.puzzle_lifetime, bytes(2), bytes(NONCE_V1_OCTETS)),
            HipTransformList(tuple(int(transform) for transform in config.v1_transforms)),
            *self.esp_offer(config.v1_esp_suites),
        )

    def check_r1(self, packet: HipPacket, responder: Hit) -> None:
        """Layouts have fixed lengths: nothing is left to check."""

    def suites_accepted(self, packet: HipPacket) -> Sequence[int] | None:
        """HIPv1 has no such list."""
        return None

    def dh_parameter(self, keys: Sequence[DhPrivateKey]) -> Parameter:
        """One public value, or in an R1 two (RFC 5201 section 5.2.6)."""
        return DiffieHellmanV1(tuple(DhPublicValue(int(key.group), key.public) for key in keys))

    def dh_value(self, packet: HipPacket) -> tuple[int, bytes] | None:
        """The first public value; a packet that is no R1 has no other."""
        found = packet.get(DiffieHellmanV1)
        return None if found is None else (found.values[0].group, found.values[0].public)

    def esp_offer(self, suites: Sequence[EspSuite]) -> tuple[Parameter, ...]:
        """ESP_TRANSFORM alone, in the numbers of RFC 5202 section 5.1.2."""
        return (EspTransform(tuple(int(_NUMBER_OF[suite]) for suite in suites)),)

    def cipher_parameter(self, protection: Protection) -> Parameter:
        """HIP_TRANSFORM with one id."""
        return HipTransformList((int(protection.cipher),))

    def proposal_from_r1(self, packet: HipPacket, config: EndpointConfig) -> Proposal:
        """The first of our groups that the R1 has, the first of its suites that we have.

        Section 5.2.6 of RFC 5201 wants the stronger public value taken; our list says which it is.

        Raises:
            UnacceptableError: nothing in common.
        """
        values = {one.group: one.public for one in packet.require(DiffieHellmanV1).values}
        group = first_common(config.v1_dh_groups, values)
        if group is None:
            raise UnacceptableError("dh_group", NotifyType.NO_DH_PROPOSAL_CHOSEN)
        offered = packet.require(HipTransformList).suites[:IDS_MOST]
        transform = first_common(offered, config.v1_transforms)
        if transform is None:
            raise UnacceptableError("hip_cipher", NotifyType.NO_HIP_PROPOSAL_CHOSEN)
        ours = {int(_NUMBER_OF[suite]): suite for suite in config.v1_esp_suites}
        number = first_common(packet.require(EspTransform).suites[:IDS_MOST], ours)
        if number is None:
            raise UnacceptableError("esp_suite", NotifyType.NO_ESP_PROPOSAL_CHOSEN)
        protection = ProtectionV1(HipTransform(transform))
        return Proposal(protection, DhGroup(group), values[group], ours[number])

    def proposal_from_i2(self, packet: HipPacket, config: EndpointConfig) -> Proposal:
        """One public value, one transform each, all of what our R1 offers.

        Raises:
            RefusedError: something else, with the NOTIFY that says so.
            WireError: a parameter is missing.
        """
        values = packet.require(DiffieHellmanV1).values
        if len(values) != 1 or values[0].group not in self.dh_groups(config):
            raise RefusedError("dh_group", NotifyType.INVALID_DH_CHOSEN)
        transforms = packet.require(HipTransformList).suites
        if len(transforms) != 1 or transforms[0] not in config.v1_transforms:
            raise RefusedError("hip_cipher", NotifyType.INVALID_HIP_CIPHER_CHOSEN)
        suites = packet.require(EspTransform).suites
        ours = {int(_NUMBER_OF[suite]): suite for suite in config.v1_esp_suites}
        if len(suites) != 1 or suites[0] not in ours:
            raise RefusedError("esp_suite", NotifyType.INVALID_ESP_TRANSFORM_CHOSEN)
        protection = ProtectionV1(HipTransform(transforms[0]))
        return Proposal(protection, DhGroup(values[0].group), values[0].public, ours[suites[0]])

    def counter_is_right(self, packet: HipPacket, counter: int) -> bool:
        """Its echo is optional (RFC 5201 section 5.2.3)."""
        found = packet.get(R1Counter)
        return found is None or found.counter == counter

    # --- the puzzle ---

    def nonce_octets(self, responder: Hit) -> int:
        """64 bits."""
        return NONCE_V1_OCTETS

    def solution(self, k: int, opaque: bytes, nonces: tuple[bytes, bytes]) -> Parameter:
        """SOLUTION (RFC 5201 section 5.2.5)."""
        return SolutionV1(k, opaque, *nonces)

    def puzzle_is_solved(self, k: int, hits: tuple[Hit, Hit], nonces: tuple[bytes, bytes]) -> bool:
        """The K low-order bits of SHA-1(I | HITs | J) are zero (RFC 5201 section 6.3)."""
        i, j = nonces
        return puzzle_v1_is_solved(k, i, *hits, j)

    def solve_puzzle(
        self, k: int, hits: tuple[Hit, Hit], i: bytes, *, start_j: bytes, tries: int
    ) -> bytes | None:
        """Search upwards from `start_j`."""
        return solve_puzzle_v1(k, i, *hits, start_j=start_j, tries=tries)
