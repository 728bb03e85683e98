"""HIPv2: RFC 7401 and 7402."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Final

from hipgw.crypto import (
    DhPrivateKey,
    HipKeys,
    Keymat,
    compute_mac,
    decrypt_parameter,
    draw_hip_keys,
    encrypt_parameter,
    hit_from_hi,
    mac_is_right,
    puzzle_is_solved,
    solve_puzzle,
)
from hipgw.crypto.keymat import KEYMAT_BLOCKS_MOST, KeymatStream
from hipgw.proto.config import EndpointConfig
from hipgw.proto.dialect import Dialect
from hipgw.proto.keying import Proposal, Protection
from hipgw.proto.local_identity import LocalIdentity
from hipgw.proto.negotiation import (
    acceptable_groups,
    group_for_i1,
    proposal_from_i2,
    proposal_from_r1,
)
from hipgw.proto.packets import ESP_FORMAT
from hipgw.proto.refusals import RefusedError
from hipgw.values import (
    RHASH_OCTETS,
    SUITE_OF_ALGORITHM,
    DhGroup,
    EspSuite,
    HiAlgorithm,
    HipCipher,
    Hit,
    HitSuite,
)
from hipgw.wire import (
    DhGroupList,
    DiffieHellman,
    EspTransform,
    HipCipherList,
    HipMac,
    HipMac2,
    HipPacket,
    HipSignature,
    HipSignature2,
    HitSuiteList,
    HostId,
    Parameter,
    Puzzle,
    R1Counter,
    Solution,
    TransportFormatList,
    pad_plaintext,
)

AES_BLOCK_OCTETS: Final = 16
_SUITES: Final = {int(suite): suite for suite in HitSuite}
_SUITE_OF_ALGORITHM: Final = {int(number): suite for number, suite in SUITE_OF_ALGORITHM.items()}


@dataclass(frozen=True, slots=True)
class ProtectionV2(Protection):
    """The RHASH of the Responder's HIT suite, and a HIP cipher."""

    rhash_suite: HitSuite
    hip_cipher: HipCipher

    @property
    def suite(self) -> HitSuite:
        """The Responder's HIT suite."""
        return self.rhash_suite

    @property
    def cipher(self) -> HipCipher:
        """What the I2 chose."""
        return self.hip_cipher

    @property
    def key_octets(self) -> int:
        """Of an encryption key."""
        return self.hip_cipher.key_octets

    @property
    def keymat_octets(self) -> int:
        """Of the four HIP keys."""
        return 2 * (self.hip_cipher.key_octets + RHASH_OCTETS[self.rhash_suite])

    @property
    def mac_octets(self) -> int:
        """The RHASH length."""
        return RHASH_OCTETS[self.rhash_suite]

    def mac(self, key: bytes, octets: bytes) -> bytes:
        """HMAC or KMAC by the suite (section 6.4.1)."""
        return compute_mac(self.rhash_suite, key, octets)

    def mac_is_right(self, key: bytes, octets: bytes, mac: bytes) -> bool:
        """Compare in constant time."""
        return mac_is_right(self.rhash_suite, key, octets, mac)

    def encrypt(self, key: bytes, randomness: bytes, tlvs: bytes) -> bytes:
        """AES-CBC with a random IV, or the TLVs themselves for NULL (section 5.2.18)."""
        if self.hip_cipher is HipCipher.NULL:
            return encrypt_parameter(self.hip_cipher, key, b"", pad_plaintext(tlvs, 1))
        padded = pad_plaintext(tlvs, AES_BLOCK_OCTETS)
        return encrypt_parameter(self.hip_cipher, key, randomness[:AES_BLOCK_OCTETS], padded)

    def decrypt(self, key: bytes, octets: bytes) -> bytes:
        """Undo `encrypt`, padding stays."""
        return decrypt_parameter(self.hip_cipher, key, octets)

    def keymat(
        self, kij: bytes, hits: tuple[Hit, Hit], nonces: tuple[bytes, bytes]
    ) -> KeymatStream:
        """HKDF."""
        return Keymat(self.rhash_suite, kij, *hits, *nonces)

    @property
    def keymat_octets_most(self) -> int:
        """HKDF numbers its blocks with one octet (RFC 5869 section 2.3)."""
        return KEYMAT_BLOCKS_MOST * self.mac_octets

    def hip_keys(self, keymat: KeymatStream, local: Hit, peer: Hit) -> HipKeys:
        """Sizes by cipher and RHASH."""
        return draw_hip_keys(keymat, self.hip_cipher, self.rhash_suite, local, peer)


@cache
def protection_v2(suite: HitSuite, cipher: HipCipher) -> ProtectionV2:
    """The one of a suite and a cipher, for all associations."""
    return ProtectionV2(suite, cipher)


@dataclass(frozen=True, slots=True)
class DialectV2(Dialect):
    """The present version of HIP."""

    VERSION: ClassVar[int] = 2
    MAC: ClassVar[type[HipMac]] = HipMac
    MAC_2: ClassVar[type[HipMac2]] = HipMac2
    SIGNATURE: ClassVar[type[HipSignature]] = HipSignature
    SIGNATURE_2: ClassVar[type[HipSignature2]] = HipSignature2
    ALGORITHMS: ClassVar[frozenset[HiAlgorithm]] = frozenset(HiAlgorithm)
    R1_NEEDS: ClassVar[tuple[type[Parameter], ...]] = (
        Puzzle,
        DhGroupList,
        DiffieHellman,
        HipCipherList,
        HostId,
        HitSuiteList,
        TransportFormatList,
        EspTransform,
        HipSignature2,
    )

    # --- who is who ---

    def can_verify(self, hit: Hit) -> bool:
        """By the suite that the HIT names."""
        return hit.suite in _SUITES

    def accepts_hit(self, hit: Hit, config: EndpointConfig) -> bool:
        """By the suite that the HIT names."""
        return hit.suite in config.hit_suites

    def hit_matches(self, host_id: HostId, hit: Hit) -> bool:
        """By the suite of the algorithm."""
        suite = _SUITE_OF_ALGORITHM.get(host_id.algorithm)
        return suite is not None and hit_from_hi(host_id.hi, suite) == hit

    def host_id_of(self, local: LocalIdentity, di_type: int, di: bytes) -> HostId:
        """HOST_ID with an algorithm field."""
        public = local.public
        return HostId(int(public.algorithm), public.hi, di_type, di)

    # --- what is offered, and what is chosen ---

    def dh_groups(self, config: EndpointConfig) -> tuple[DhGroup, ...]:
        """Those of the configuration, weak ones only where that allows the peer."""
        return acceptable_groups(config, is_legacy=self.is_legacy)

    def offers(self, config: EndpointConfig) -> tuple[tuple[DhGroup, ...], ...]:
        """One R1 per group, for the I1 says which it knows (section 5.2.6)."""
        return tuple((group,) for group in config.dh_groups)

    def i1_parameters(self, config: EndpointConfig) -> tuple[Parameter, ...]:
        """The Diffie-Hellman groups we offer (section 5.3.1)."""
        return (DhGroupList(tuple(int(group) for group in self.dh_groups(config))),)

    def group_for_i1(self, packet: HipPacket, config: EndpointConfig) -> DhGroup:
        """The first of our list that the I1 offers, else our first (sections 5.2.6, 6.7)."""
        offered = packet.require(DhGroupList).groups
        return group_for_i1(offered, config.dh_groups, is_legacy=self.is_legacy)

    def r1_parameters(
        self, config: EndpointConfig, counter: int, k: int, responder: Hit
    ) -> tuple[Parameter, ...]:
        """R1_COUNTER, PUZZLE and our lists (section 5.3.2)."""
        zero = bytes(self.nonce_octets(responder))
        return (
            R1Counter(counter),
            Puzzle(k, config.puzzle_lifetime, bytes(2), zero),
            DhGroupList(tuple(int(group) for group in config.dh_groups)),
            HipCipherList(tuple(int(cipher) for cipher in config.hip_ciphers)),
            HitSuiteList(tuple(int(accepted) for accepted in config.hit_suites)),
            *self.esp_offer(config.esp_suites),
        )

    def check_r1(self, packet: HipPacket, responder: Hit) -> None:
        """I must have the RHASH length of the Responder's suite."""
        if len(packet.require(Puzzle).i) != self.nonce_octets(responder):
            raise RefusedError("hip_malformed")

    def suites_accepted(self, packet: HipPacket) -> Sequence[int] | None:
        """HIT_SUITE_LIST."""
        return packet.require(HitSuiteList).suites

    def dh_parameter(self, keys: Sequence[DhPrivateKey]) -> Parameter:
        """One public value."""
        (key,) = keys
        return DiffieHellman(int(key.group), key.public)

    def dh_value(self, packet: HipPacket) -> tuple[int, bytes] | None:
        """Group and public value."""
        found = packet.get(DiffieHellman)
        return None if found is None else (found.group, found.public)

    def esp_offer(self, suites: Sequence[EspSuite]) -> tuple[Parameter, ...]:
        """TRANSPORT_FORMAT_LIST and ESP_TRANSFORM."""
        return (
            TransportFormatList((ESP_FORMAT,)),
            EspTransform(tuple(int(suite) for suite in suites)),
        )

    def cipher_parameter(self, protection: Protection) -> Parameter:
        """HIP_CIPHER with one id."""
        return HipCipherList((int(protection.cipher),))

    def proposal_from_r1(self, packet: HipPacket, config: EndpointConfig) -> Proposal:
        """Choose, and see through a downgrade (section 4.1.7)."""
        chosen = proposal_from_r1(packet, config, self.dh_groups(config))
        protection = protection_v2(_SUITES[packet.sender.suite], chosen.cipher)
        return Proposal(protection, chosen.group, chosen.public, chosen.esp_suite)

    def proposal_from_i2(self, packet: HipPacket, config: EndpointConfig) -> Proposal:
        """What our R1 offers, and nothing else."""
        chosen = proposal_from_i2(packet, config, self.dh_groups(config))
        protection = protection_v2(_SUITES[packet.receiver.suite], chosen.cipher)
        return Proposal(protection, chosen.group, chosen.public, chosen.esp_suite)

    def counter_is_right(self, packet: HipPacket, counter: int) -> bool:
        """It must come back as it was (section 5.2.3, erratum 6654)."""
        return packet.require(R1Counter).counter == counter

    # --- the puzzle ---

    def nonce_octets(self, responder: Hit) -> int:
        """The RHASH length of the Responder's suite."""
        return RHASH_OCTETS[_SUITES[responder.suite]]

    def solution(self, k: int, opaque: bytes, nonces: tuple[bytes, bytes]) -> Parameter:
        """SOLUTION."""
        return Solution(k, opaque, *nonces)

    def puzzle_is_solved(self, k: int, hits: tuple[Hit, Hit], nonces: tuple[bytes, bytes]) -> bool:
        """The K low-order bits of RHASH(I | HITs | J) are zero (section 6.3)."""
        i, j = nonces
        return puzzle_is_solved(_SUITES[hits[1].suite], k, i, *hits, j)

    def solve_puzzle(
        self, k: int, hits: tuple[Hit, Hit], i: bytes, *, start_j: bytes, tries: int
    ) -> bytes | None:
        """Search upwards from `start_j`."""
        suite = _SUITES[hits[1].suite]
        return solve_puzzle(suite, k, i, *hits, start_j=start_j, tries=tries)
