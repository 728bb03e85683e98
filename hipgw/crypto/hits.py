"""Host Identity Tags from Host Identities.

HIPv2: RFC 7343 section 2, RFC 7401 section 3.2.  HIPv1: RFC 4843 section 2, RFC 5201 section 3.2.
"""

from __future__ import annotations

import hashlib
from enum import Enum
from typing import Final

from hipgw.crypto.keccak import cshake128
from hipgw.crypto.rhash import rhash
from hipgw.values import Hit, HitSuite

CONTEXT_ID: Final = bytes.fromhex("F0EFF02FBFF43D0FE7930C3C6E6174EA")
"""The ORCHID Context Identifier of HIP (RFC 7401 section 3.2)."""

_PREFIX_OCTETS: Final = bytes.fromhex("200100")
_PREFIX_NIBBLE: Final = 0x20
_HASH_OCTETS: Final = 12
_PREFIX_V1: Final = 0x2001001 << 100
_HASH_V1_BITS: Final = 100
_SHA1_BITS: Final = 160


class EddsaHitReading(Enum):
    """How the Context ID enters the HIT of an EdDSA identity.

    RFC 9374 section 3.5.2 can be read in four ways and implementations differ.  Every host that
    shall recognize a suite 5 HIT must use the same reading.
    """

    CONTEXT_IN_MESSAGE = "a"
    """cSHAKE128(Context ID | HI)."""
    CONTEXT_AS_CUSTOMIZATION = "b"
    """cSHAKE128(HI, S = Context ID), as pyorchis has it: the default."""
    CONTEXT_TWICE = "c"
    """cSHAKE128(Context ID | curve | key, S = Context ID), as a fork of OpenHIP has it."""
    RAW_KEY = "d"
    """cSHAKE128(key, S = Context ID), in the manner of the DETs of RFC 9886."""


def hit_from_hi(
    hi: bytes,
    suite: HitSuite,
    reading: EddsaHitReading = EddsaHitReading.CONTEXT_AS_CUSTOMIZATION,
) -> Hit:
    """Make the HIT of a Host Identity.

    Args:
        hi: the Host Identity field as on the wire, without the head of HOST_ID (octets).
        suite: HIT suite, which is also the OGA identifier in the HIT.
        reading: for suite 5 only; ignored by the others.

    Returns:
        2001:20::/28, 4 bits of suite, 96 bits of hash.
    """
    if suite is HitSuite.EDDSA_CSHAKE128:
        tag = _eddsa_tag(hi, reading)
    else:
        digest = rhash(suite, CONTEXT_ID + hi)
        start = (len(digest) - _HASH_OCTETS) // 2  # Encode_96: the middle bits
        tag = digest[start : start + _HASH_OCTETS]
    return Hit(_PREFIX_OCTETS + bytes([_PREFIX_NIBBLE | suite]) + tag)


def hit_v1_from_hi(hi: bytes) -> Hit:
    """Make the HIPv1 HIT of a Host Identity: an ORCHID of RFC 4843.

    Args:
        hi: the public key as in HOST_ID, without the DNSKEY head of HIPv1 (octets).

    Returns:
        2001:10::/28 and the middle 100 bits of a SHA-1.
    """
    digest = hashlib.sha1(CONTEXT_ID + hi, usedforsecurity=False).digest()
    skipped_bits = (_SHA1_BITS - _HASH_V1_BITS) // 2
    middle = int.from_bytes(digest, "big") >> skipped_bits & (1 << _HASH_V1_BITS) - 1
    return Hit((_PREFIX_V1 | middle).to_bytes(16, "big"))


def _eddsa_tag(hi: bytes, reading: EddsaHitReading) -> bytes:
    """96 bits of cSHAKE128; HI is curve u16 | NULL u16 | key (RFC 9374 section 3.4.1.1)."""
    if reading is EddsaHitReading.CONTEXT_IN_MESSAGE:
        return cshake128(CONTEXT_ID + hi, _HASH_OCTETS)
    message = {
        EddsaHitReading.CONTEXT_AS_CUSTOMIZATION: hi,
        EddsaHitReading.CONTEXT_TWICE: CONTEXT_ID + hi[:2] + hi[4:],
        EddsaHitReading.RAW_KEY: hi[4:],
    }[reading]
    return cshake128(message, _HASH_OCTETS, customization=CONTEXT_ID)
