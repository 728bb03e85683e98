"""RHASH of a HIT suite and the MAC built on it (RFC 7401 sections 3, 5.2.10, 5.2.12).

The suite that rules an association is the Responder's HIT suite: its RHASH serves puzzle, MAC and
KEYMAT.  RFC 9374 leaves much of suite 5 open; this is hipgw's self-consistent and experimental
profile: RHASH is cSHAKE128 with 256 bits and no customization (which equals SHAKE128), the MAC is
KMAC128 with 256 bits and no customization.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final, Protocol

from hipgw._fastpath import keyed
from hipgw.crypto.keccak import kmac128
from hipgw.values import RHASH_OCTETS, HitSuite

_HASHES: Final = {
    HitSuite.RSA_DSA_SHA256: hashlib.sha256,
    HitSuite.ECDSA_SHA384: hashlib.sha384,
    HitSuite.ECDSA_LOW_SHA1: hashlib.sha1,
}


class RhashState(Protocol):
    """An RHASH under way, which can be copied to hash many messages with one beginning."""

    def update(self, data: bytes, /) -> None:
        """Append `data` to the message."""
        ...

    def copy(self) -> RhashState:
        """Fork the state; both go on separately."""
        ...

    def digest(self) -> bytes:
        """Give the RHASH of the message so far."""
        ...


class _Shake(Protocol):
    """What hashlib.shake_128 gives."""

    def update(self, data: bytes, /) -> None: ...

    def copy(self) -> _Shake: ...

    def digest(self, length: int, /) -> bytes: ...


class _Shake256Bits:
    """SHAKE128 with its output length fixed to the RHASH length of suite 5."""

    __slots__ = ("_shake",)

    def __init__(self, shake: _Shake) -> None:
        self._shake: Final = shake

    def update(self, data: bytes, /) -> None:
        self._shake.update(data)

    def copy(self) -> _Shake256Bits:
        return _Shake256Bits(self._shake.copy())

    def digest(self) -> bytes:
        return self._shake.digest(RHASH_OCTETS[HitSuite.EDDSA_CSHAKE128])


def start_rhash(suite: HitSuite) -> RhashState:
    """Begin an RHASH of `suite`."""
    if suite is HitSuite.EDDSA_CSHAKE128:
        return _Shake256Bits(hashlib.shake_128())
    return _HASHES[suite]()


def rhash(suite: HitSuite, data: bytes) -> bytes:
    """Hash `data` to `RHASH_OCTETS[suite]` octets (RFC 7401 section 5.2.10)."""
    if suite is HitSuite.EDDSA_CSHAKE128:
        return hashlib.shake_128(data).digest(RHASH_OCTETS[suite])
    return keyed.digest(RHASH_OCTETS[suite], data)


def compute_mac(suite: HitSuite, key: bytes, data: bytes) -> bytes:
    """Compute the untruncated MAC of HIP_MAC and its kin (RFC 7401 section 6.4.1).

    Args:
        suite: the suite whose RHASH rules the association.
        key: integrity key of the sender (octets; any length is accepted, HKDF needs that).
        data: octets to protect.

    Returns:
        `RHASH_OCTETS[suite]` octets.
    """
    if suite is HitSuite.EDDSA_CSHAKE128:
        return kmac128(key, data, RHASH_OCTETS[suite])
    return keyed.hmac(RHASH_OCTETS[suite], key, data)


def mac_is_right(suite: HitSuite, key: bytes, data: bytes, mac: bytes) -> bool:
    """Compare in time that does not depend on where the MACs differ; False on a wrong length."""
    if suite is HitSuite.EDDSA_CSHAKE128:
        return hmac.compare_digest(compute_mac(suite, key, data), mac)
    return keyed.hmac_is_right(RHASH_OCTETS[suite], key, data, mac)
