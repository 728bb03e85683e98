"""KEYMAT and the keys drawn from it (RFC 7401 section 6.5, RFC 7402 section 7).

HIPv1 makes another stream (RFC 5201 section 6.5) and draws from it in the same order (RFC 5202
section 7).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from hipgw._fastpath.keyed import hkdf_expand
from hipgw.crypto.rhash import compute_mac
from hipgw.errors import CryptoError
from hipgw.values import (
    ESP_SHAPES,
    ESP_SHAPES_V1,
    RHASH_OCTETS,
    EspSuite,
    EspSuiteV1,
    HipCipher,
    HipTransform,
    Hit,
    HitSuite,
)
from hipgw.values.quick_making import quickly_made

KEYMAT_BLOCKS_MOST: Final = 255
"""HKDF numbers its blocks with one octet (RFC 5869 section 2.3)."""
KEYMAT_V1_OCTETS_MOST: Final = 0x10000
"""RFC 5201 sets no end; beyond this no KEYMAT index of 16 bits can point."""


class KeymatStream(Protocol):
    """Keying material of either HIP version."""

    def octets(self, offset: int, length: int) -> bytes:
        """Read `length` octets from `offset`; CryptoError beyond the end."""
        ...


class Keymat:
    """The keying material of one Diffie-Hellman exchange, read at any offset.

    HKDF with Extract salt I | J, input Kij, and info the two HITs in ascending order, so both hosts
    get the same stream (RFC 7401 section 6.5).  Suite 5 puts KMAC128 in the place of HMAC, which is
    hipgw's own experimental profile.  Immutable, hence usable from any thread; only the
    pseudorandom key is kept, never shown.
    """

    __slots__ = ("_info", "_key", "_suite")

    def __init__(  # noqa: PLR0917 - one for each input of RFC 7401 section 6.5
        self, suite: HitSuite, kij: bytes, hit_a: Hit, hit_b: Hit, i: bytes, j: bytes
    ) -> None:
        self._suite: Final = suite
        self._key: Final = compute_mac(suite, i + j, kij)
        a, b = hit_a.packed, hit_b.packed
        self._info: Final = a + b if a < b else b + a

    def octets(self, offset: int, length: int) -> bytes:
        """Read `length` octets from `offset`.

        Raises:
            CryptoError: the range is not inside the first 255 blocks; a KEYMAT index is what a peer
                says, so this is the peer's error.
        """
        limit = KEYMAT_BLOCKS_MOST * RHASH_OCTETS[self._suite]
        if offset < 0 or length < 0 or offset + length > limit:
            raise CryptoError(f"KEYMAT octets {offset}+{length} asked, of {limit} that exist")
        if not length:
            return b""
        if self._suite is not HitSuite.EDDSA_CSHAKE128:
            end = offset + length
            return hkdf_expand(RHASH_OCTETS[self._suite], self._key, self._info, end)[offset:]
        stream = bytearray()
        block = b""
        number = 0
        while len(stream) < offset + length:
            number += 1
            block = compute_mac(self._suite, self._key, block + self._info + bytes([number]))
            stream += block
        return bytes(stream[offset : offset + length])

    def __repr__(self) -> str:
        return f"Keymat({self._suite.name})"


class KeymatAhead:
    """The beginning of a stream, made in one go; what lies beyond comes from the stream."""

    __slots__ = ("_begin", "_stream")

    def __init__(self, stream: KeymatStream, length: int) -> None:
        self._stream: Final = stream
        self._begin: Final = stream.octets(0, length)

    def octets(self, offset: int, length: int) -> bytes:
        """Read `length` octets from `offset`; CryptoError as the stream raises it."""
        if offset >= 0 and length >= 0 and offset + length <= len(self._begin):
            return self._begin[offset : offset + length]
        return self._stream.octets(offset, length)

    def __repr__(self) -> str:
        return "KeymatAhead()"


class KeymatV1:
    """The keying material of one Diffie-Hellman exchange of HIPv1 (RFC 5201 section 6.5).

    K1 = SHA-1(Kij | lower HIT | greater HIT | I | J | 01), Kn = SHA-1(Kij | K(n-1) | n), where n is
    one octet that wraps.  Immutable, hence usable from any thread; Kij is kept, never shown.
    """

    __slots__ = ("_first", "_kij")

    def __init__(self, kij: bytes, hit_a: Hit, hit_b: Hit, i: bytes, j: bytes) -> None:
        info = min(hit_a, hit_b).packed + max(hit_a, hit_b).packed
        self._kij: Final = kij
        self._first: Final = _sha1(kij + info + i + j + b"\x01")

    def octets(self, offset: int, length: int) -> bytes:
        """Read `length` octets from `offset`.

        Raises:
            CryptoError: the range ends beyond 65536 octets; a KEYMAT index is what a peer says, so
                this is the peer's error.
        """
        if offset < 0 or length < 0 or offset + length > KEYMAT_V1_OCTETS_MOST:
            raise CryptoError(
                f"KEYMAT octets {offset}+{length} asked, of {KEYMAT_V1_OCTETS_MOST} that are used"
            )
        stream = bytearray(self._first)
        block = self._first
        number = 1
        while len(stream) < offset + length:
            number += 1
            block = _sha1(self._kij + block + bytes([number & 0xFF]))
            stream += block
        return bytes(stream[offset : offset + length])

    def __repr__(self) -> str:
        return "KeymatV1()"


def _sha1(data: bytes) -> bytes:
    return hashlib.sha1(data, usedforsecurity=False).digest()


@quickly_made
@dataclass(frozen=True, slots=True)
class HipKeys:
    """Keys that protect HIP packets, as one host sees them."""

    encryption_out: bytes = field(repr=False)
    mac_out: bytes = field(repr=False)
    encryption_in: bytes = field(repr=False)
    mac_in: bytes = field(repr=False)
    keymat_index: int
    """Octet of KEYMAT after these keys, where those of ESP begin."""

    def with_mac_keys_swapped(self) -> HipKeys:
        """The same keys, each host sending with the MAC key of the other one.

        For peers that take them so (`Quirk.SWAPPED_MAC_KEYS`).
        """
        return replace(self, mac_out=self.mac_in, mac_in=self.mac_out)


@quickly_made
@dataclass(frozen=True, slots=True)
class EspKeys:
    """Keys of a pair of security associations; the salt of an AEAD is the tail of its key."""

    encryption_out: bytes = field(repr=False)
    authentication_out: bytes = field(repr=False)
    encryption_in: bytes = field(repr=False)
    authentication_in: bytes = field(repr=False)
    keymat_index_after: int


def draw_hip_keys(
    keymat: KeymatStream, cipher: HipCipher, suite: HitSuite, local: Hit, peer: Hit
) -> HipKeys:
    """Draw the four HIP keys from the start of KEYMAT (RFC 7401 section 6.5).

    Args:
        keymat: of the association.
        cipher: HIP cipher that I2 chose.
        suite: the suite whose RHASH rules the association.
        local: our HIT; the host with the greater HIT sends with the first pair of keys.
        peer: the other HIT.
    """
    out, into, end = _draw(keymat, 0, (cipher.key_octets, RHASH_OCTETS[suite]), local, peer)
    return HipKeys(*out, *into, end)


def draw_hip_keys_v1(
    keymat: KeymatStream, transform: HipTransform, local: Hit, peer: Hit
) -> HipKeys:
    """Draw the four HIP keys of HIPv1 from the start of KEYMAT (RFC 5201 section 6.5).

    Args:
        keymat: of the association.
        transform: HIP transform that I2 chose.
        local: our HIT; the host with the greater HIT sends with the first pair of keys.
        peer: the other HIT.
    """
    sizes = (transform.key_octets, transform.mac_octets)
    out, into, end = _draw(keymat, 0, sizes, local, peer)
    return HipKeys(*out, *into, keymat_index=end)


def draw_esp_keys(
    keymat: KeymatStream, index: int, suite: EspSuite | EspSuiteV1, local: Hit, peer: Hit
) -> EspKeys:
    """Draw the keys of both directions from octet `index` of KEYMAT.

    RFC 7402 section 7, RFC 5202 section 7.

    Raises:
        CryptoError: the keys would lie beyond the end of KEYMAT.
    """
    out, into, end = _draw(keymat, index, _esp_key_sizes(suite), local, peer)
    return EspKeys(*out, *into, end)


def esp_keys_octets(suite: EspSuite | EspSuiteV1) -> int:
    """How many octets of KEYMAT the keys of both directions take."""
    return 2 * sum(_esp_key_sizes(suite))


def _esp_key_sizes(suite: EspSuite | EspSuiteV1) -> tuple[int, int]:
    """Octets of a cipher key and of an integrity key."""
    shape = ESP_SHAPES_V1[suite] if isinstance(suite, EspSuiteV1) else ESP_SHAPES[suite]
    return shape.encryption_key_octets, shape.authentication_key_octets


def _draw(
    keymat: KeymatStream, index: int, sizes: tuple[int, int], local: Hit, peer: Hit
) -> tuple[tuple[bytes, bytes], tuple[bytes, bytes], int]:
    """Cut (cipher key, integrity key) twice: sent by the greater HIT, then by the lower."""
    first, second = sizes
    octets = keymat.octets(index, 2 * (first + second))
    half = len(octets) // 2
    greater = octets[:first], octets[first:half]
    lower = octets[half : half + first], octets[half + first :]
    out, into = (greater, lower) if local.packed > peer.packed else (lower, greater)
    return out, into, index + len(octets)
