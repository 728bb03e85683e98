"""IANA numbers of HIP that more than one room needs (RFC 7401, 7402, 9374; HIPv1: 5201, 5202)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final


class HiAlgorithm(IntEnum):
    """Host Identity algorithms (RFC 7401 section 5.2.9; EdDSA: RFC 9374 section 3.4.1)."""

    DSA = 3
    RSA = 5
    ECDSA = 7
    ECDSA_LOW = 9
    EDDSA = 13


ALGORITHMS_V1: Final = frozenset({HiAlgorithm.DSA, HiAlgorithm.RSA})
"""Those of HIPv1 (RFC 5201 section 5.2.8)."""


class HitSuite(IntEnum):
    """HIT suites, which are also the OGA identifiers in a HIT (RFC 7401 section 5.2.10)."""

    RSA_DSA_SHA256 = 1
    ECDSA_SHA384 = 2
    ECDSA_LOW_SHA1 = 3
    EDDSA_CSHAKE128 = 5


SUITE_OF_ALGORITHM: Final = {
    HiAlgorithm.DSA: HitSuite.RSA_DSA_SHA256,
    HiAlgorithm.RSA: HitSuite.RSA_DSA_SHA256,
    HiAlgorithm.ECDSA: HitSuite.ECDSA_SHA384,
    HiAlgorithm.ECDSA_LOW: HitSuite.ECDSA_LOW_SHA1,
    HiAlgorithm.EDDSA: HitSuite.EDDSA_CSHAKE128,
}

RHASH_OCTETS: Final = {
    HitSuite.RSA_DSA_SHA256: 32,
    HitSuite.ECDSA_SHA384: 48,
    HitSuite.ECDSA_LOW_SHA1: 20,
    HitSuite.EDDSA_CSHAKE128: 32,
}
"""Output of a suite's RHASH, which is also the length of its MAC and MAC key."""


class DhGroup(IntEnum):
    """Diffie-Hellman groups (RFC 7401 section 5.2.7)."""

    MODP_1536 = 3
    MODP_3072 = 4
    NIST_P256 = 7
    NIST_P384 = 8
    NIST_P521 = 9
    SECP160R1 = 10
    MODP_2048 = 11
    # Of HIPv1 alone (RFC 5201 section 5.2.6), deprecated by RFC 7401: keep them out of defaults.
    MODP_384 = 1
    MODP_768 = 2
    MODP_6144 = 5
    MODP_8192 = 6


DH_GROUPS_V1_ONLY: Final = frozenset(
    {DhGroup.MODP_384, DhGroup.MODP_768, DhGroup.MODP_6144, DhGroup.MODP_8192}
)
"""Groups that HIPv2 must not offer; HIPv1 has these and MODP 1536 and 3072."""

WEAK_DH_GROUPS: Final = frozenset(
    {DhGroup.MODP_384, DhGroup.MODP_768, DhGroup.MODP_1536, DhGroup.SECP160R1}
)
"""Groups below 112 bits of security: primes of fewer than 2048 bits, curves of fewer than 224."""


class HipCipher(IntEnum):
    """HIP_CIPHER suites (RFC 7401 section 5.2.8)."""

    NULL = 1
    AES_128_CBC = 2
    AES_256_CBC = 4

    @property
    def key_octets(self) -> int:
        """Octets of encryption key drawn from KEYMAT."""
        return _CIPHER_KEY_OCTETS[self]


_CIPHER_KEY_OCTETS: Final = {
    HipCipher.NULL: 0,
    HipCipher.AES_128_CBC: 16,
    HipCipher.AES_256_CBC: 32,
}


class EspSuite(IntEnum):
    """ESP suites that the data plane carries, by the numbers that it knows them by.

    Those of HIPv2 are the numbers of ESP_TRANSFORM (RFC 7402 section 5.1.2). Those of HIPv1, where
    ESP_TRANSFORM counts from 1 again (RFC 5202 section 5.1.2), are 0x100 higher than on the wire;
    `ESP_SUITE_OF_V1` translates. FULL_ suites, 0x200 higher, are those of HIPv2 with HMAC-SHA-256
    whose ICV is not cut to 16 octets, as some peers have it; `FULL_ICV_OF` translates.
    """

    AES_128_CBC_HMAC_SHA1 = 1
    NULL_HMAC_SHA256 = 7
    AES_128_CBC_HMAC_SHA256 = 8
    AES_256_CBC_HMAC_SHA256 = 9
    AES_CCM_8 = 10
    AES_CCM_16 = 11
    AES_GCM_8 = 12
    AES_GCM_16 = 13
    AES_CMAC_96 = 14
    AES_GMAC = 15
    V1_AES_128_CBC_HMAC_SHA1 = 0x101
    V1_TRIPLE_DES_CBC_HMAC_SHA1 = 0x102
    V1_TRIPLE_DES_CBC_HMAC_MD5 = 0x103
    V1_NULL_HMAC_SHA1 = 0x105
    V1_NULL_HMAC_MD5 = 0x106
    FULL_NULL_HMAC_SHA256 = 0x207
    FULL_AES_128_CBC_HMAC_SHA256 = 0x208
    FULL_AES_256_CBC_HMAC_SHA256 = 0x209


@dataclass(frozen=True, slots=True)
class EspShape:
    """Sizes of an ESP suite, octets: keys as drawn from KEYMAT (salt included) and wire fields."""

    encryption_key_octets: int
    authentication_key_octets: int
    iv_octets: int
    icv_octets: int
    alignment_octets: int


_SHAPES_V2: Final = {
    EspSuite.AES_128_CBC_HMAC_SHA1: EspShape(16, 20, 16, 12, 16),
    EspSuite.NULL_HMAC_SHA256: EspShape(0, 32, 0, 16, 4),
    EspSuite.AES_128_CBC_HMAC_SHA256: EspShape(16, 32, 16, 16, 16),
    EspSuite.AES_256_CBC_HMAC_SHA256: EspShape(32, 32, 16, 16, 16),
    EspSuite.AES_CCM_8: EspShape(19, 0, 8, 8, 4),
    EspSuite.AES_CCM_16: EspShape(19, 0, 8, 16, 4),
    EspSuite.AES_GCM_8: EspShape(20, 0, 8, 8, 4),
    EspSuite.AES_GCM_16: EspShape(20, 0, 8, 16, 4),
    EspSuite.AES_CMAC_96: EspShape(0, 16, 0, 12, 4),
    EspSuite.AES_GMAC: EspShape(0, 20, 8, 16, 4),
}


class HipTransform(IntEnum):
    """HIP_TRANSFORM suites of HIPv1 (RFC 5201 section 5.2.7): cipher of ENCRYPTED and MAC."""

    AES_128_CBC_HMAC_SHA1 = 1
    TRIPLE_DES_CBC_HMAC_SHA1 = 2
    TRIPLE_DES_CBC_HMAC_MD5 = 3
    BLOWFISH_CBC_HMAC_SHA1 = 4
    NULL_HMAC_SHA1 = 5
    NULL_HMAC_MD5 = 6

    @property
    def key_octets(self) -> int:
        """Octets of encryption key drawn from KEYMAT."""
        return _TRANSFORM_SIZES[self][0]

    @property
    def iv_octets(self) -> int:
        """Octets of IV in ENCRYPTED, which is the cipher's block; 0 for NULL."""
        return _TRANSFORM_SIZES[self][1]

    @property
    def block_octets(self) -> int:
        """What the plaintext of ENCRYPTED is padded to a multiple of; 1 for NULL."""
        return _TRANSFORM_SIZES[self][1] or 1

    @property
    def mac_octets(self) -> int:
        """Octets of the MAC and of its key."""
        return _TRANSFORM_SIZES[self][2]


_TRANSFORM_SIZES: Final = {  # key, IV, MAC
    HipTransform.AES_128_CBC_HMAC_SHA1: (16, 16, 20),
    HipTransform.TRIPLE_DES_CBC_HMAC_SHA1: (24, 8, 20),
    HipTransform.TRIPLE_DES_CBC_HMAC_MD5: (24, 8, 16),
    HipTransform.BLOWFISH_CBC_HMAC_SHA1: (16, 8, 20),
    HipTransform.NULL_HMAC_SHA1: (0, 0, 20),
    HipTransform.NULL_HMAC_MD5: (0, 0, 16),
}


class EspSuiteV1(IntEnum):
    """ESP_TRANSFORM suites of HIPv1 (RFC 5202 section 5.1.2), deprecated but for the first."""

    AES_128_CBC_HMAC_SHA1 = 1
    TRIPLE_DES_CBC_HMAC_SHA1 = 2
    TRIPLE_DES_CBC_HMAC_MD5 = 3
    BLOWFISH_CBC_HMAC_SHA1 = 4
    NULL_HMAC_SHA1 = 5
    NULL_HMAC_MD5 = 6


ESP_SHAPES_V1: Final = {
    EspSuiteV1.AES_128_CBC_HMAC_SHA1: EspShape(16, 20, 16, 12, 16),
    EspSuiteV1.TRIPLE_DES_CBC_HMAC_SHA1: EspShape(24, 20, 8, 12, 8),
    EspSuiteV1.TRIPLE_DES_CBC_HMAC_MD5: EspShape(24, 16, 8, 12, 8),
    EspSuiteV1.BLOWFISH_CBC_HMAC_SHA1: EspShape(16, 20, 8, 12, 8),
    EspSuiteV1.NULL_HMAC_SHA1: EspShape(0, 20, 0, 12, 4),
    EspSuiteV1.NULL_HMAC_MD5: EspShape(0, 16, 0, 12, 4),
}

ESP_SUITE_OF_V1: Final = {
    suite: EspSuite(0x100 | suite)
    for suite in EspSuiteV1
    if suite is not EspSuiteV1.BLOWFISH_CBC_HMAC_SHA1
}
"""How the data plane knows a suite of HIPv1. It carries no Blowfish, which OpenSSL 3 moved to its
legacy provider; 3DES and MD5 only where the system's libcrypto has them."""

ESP_SUITES_V1_ONLY: Final = frozenset(ESP_SUITE_OF_V1.values())
"""Suites that must never stand in an ESP_TRANSFORM of HIPv2."""

ESP_SUITES_IN_CLEAR: Final = frozenset(
    {
        EspSuite.NULL_HMAC_SHA256,
        EspSuite.AES_CMAC_96,
        EspSuite.AES_GMAC,
        EspSuite.V1_NULL_HMAC_SHA1,
        EspSuite.V1_NULL_HMAC_MD5,
        EspSuite.FULL_NULL_HMAC_SHA256,
    }
)
"""Suites without encryption: only where the configuration allows the peer that (RFC 7402 section
3.3.5)."""

FULL_ICV_OF: Final = {
    EspSuite.NULL_HMAC_SHA256: EspSuite.FULL_NULL_HMAC_SHA256,
    EspSuite.AES_128_CBC_HMAC_SHA256: EspSuite.FULL_AES_128_CBC_HMAC_SHA256,
    EspSuite.AES_256_CBC_HMAC_SHA256: EspSuite.FULL_AES_256_CBC_HMAC_SHA256,
}
"""Suite as agreed -> how the data plane knows it when the peer sends the whole HMAC. These numbers
are ours alone and never stand on the wire (`Quirk.FULL_LENGTH_ICV`)."""

_HMAC_SHA256_OCTETS: Final = 32

ESP_SHAPES: Final = (
    _SHAPES_V2
    | {suite: ESP_SHAPES_V1[number] for number, suite in ESP_SUITE_OF_V1.items()}
    | {
        full: replace(_SHAPES_V2[suite], icv_octets=_HMAC_SHA256_OCTETS)
        for suite, full in FULL_ICV_OF.items()
    }
)


class NotifyType(IntEnum):
    """NOTIFICATION message types (RFC 7401 section 5.2.19 and extensions)."""

    UNSUPPORTED_CRITICAL_PARAMETER_TYPE = 1
    INVALID_SYNTAX = 7
    NO_DH_PROPOSAL_CHOSEN = 14
    INVALID_DH_CHOSEN = 15
    NO_HIP_PROPOSAL_CHOSEN = 16
    INVALID_HIP_CIPHER_CHOSEN = 17
    NO_ESP_PROPOSAL_CHOSEN = 18
    INVALID_ESP_TRANSFORM_CHOSEN = 19
    UNSUPPORTED_HIT_SUITE = 20
    AUTHENTICATION_FAILED = 24
    CHECKSUM_FAILED = 26
    HIP_MAC_FAILED = 28
    ENCRYPTION_FAILED = 32
    INVALID_HIT = 40
    BLOCKED_BY_POLICY = 42
    RESPONDER_BUSY_PLEASE_RETRY = 44
    LOCATOR_TYPE_UNSUPPORTED = 46
    CREDENTIALS_REQUIRED = 48
    INVALID_CERTIFICATE = 50
    REG_REQUIRED = 51
    NO_VALID_NAT_TRAVERSAL_MODE_PARAMETER = 60
    CONNECTIVITY_CHECKS_FAILED = 61
    MESSAGE_NOT_RELAYED = 62
    SERVER_REFLEXIVE_CANDIDATE_ALLOCATION_FAILED = 63
    RVS_HMAC_PROHIBITED_WITH_RELAY = 64
    OVERLAY_TTL_EXCEEDED = 70
    UNKNOWN_NEXT_HOP = 90
    NO_VALID_HIP_TRANSPORT_MODE = 100
    I2_ACKNOWLEDGEMENT = 16384
    NAT_KEEPALIVE = 16385
