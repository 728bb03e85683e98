"""The Host Identity field of HOST_ID: public keys to octets and back (RFC 7401 section 5.2.9)."""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from hipgw.crypto.edwards import ED448, ED25519, is_usable_point
from hipgw.errors import CryptoError
from hipgw.values import HiAlgorithm

PublicKey = (
    rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
)

RSA_BITS_LEAST: Final = 2048
"""112 bits of security."""
RSA_BITS_WEAK_LEAST: Final = 1024
"""What `allow_weak` still lets in: captures of old implementations."""
RSA_BITS_MOST: Final = 4096
"""RFC 3110 section 2."""
RSA_EXPONENT_BITS_MOST: Final = 64
"""Bounds what it costs to verify a stranger's signature; usual is 65537."""

_CURVES: Final[dict[int, ec.EllipticCurve]] = {1: ec.SECP256R1(), 2: ec.SECP384R1()}
_CURVE_NUMBER: Final = {curve.name: number for number, curve in _CURVES.items()}
_UNCOMPRESSED: Final = b"\x04"
_EDDSA_ED25519: Final = 1
_EDDSA_ED448: Final = 3


def parse_hi(algorithm: HiAlgorithm, hi: bytes, *, allow_weak: bool = False) -> PublicKey:
    """Read a Host Identity field.

    Args:
        algorithm: of HOST_ID.
        hi: the field, without head and Domain Identifier.
        allow_weak: accept RSA moduli down to 1024 bits.

    Raises:
        CryptoError: not a key, a key too weak, or an algorithm that hipgw does not do.
    """
    if algorithm is HiAlgorithm.RSA:
        return _parse_rsa(hi, RSA_BITS_WEAK_LEAST if allow_weak else RSA_BITS_LEAST)
    if algorithm is HiAlgorithm.ECDSA:
        return _parse_ecdsa(hi)
    if algorithm is HiAlgorithm.EDDSA:
        return _parse_eddsa(hi)
    raise CryptoError(f"Host Identity algorithm {algorithm.name} is not supported")


def emit_hi(key: PublicKey) -> tuple[HiAlgorithm, bytes]:
    """Write the Host Identity field of a public key.

    Raises:
        CryptoError: an elliptic curve other than P-256 and P-384.
    """
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        exponent, modulus = _minimal_octets(numbers.e), _minimal_octets(numbers.n)
        if len(exponent) < 256:
            return HiAlgorithm.RSA, bytes([len(exponent)]) + exponent + modulus
        return HiAlgorithm.RSA, b"\0" + len(exponent).to_bytes(2, "big") + exponent + modulus
    if isinstance(key, ec.EllipticCurvePublicKey):
        number = _CURVE_NUMBER.get(key.curve.name)
        if number is None:
            raise CryptoError(f"curve {key.curve.name} is not one of P-256 and P-384")
        size = (key.key_size + 7) // 8
        point = key.public_numbers()
        xy = point.x.to_bytes(size, "big") + point.y.to_bytes(size, "big")
        return HiAlgorithm.ECDSA, number.to_bytes(2, "big") + _UNCOMPRESSED + xy
    curve = _EDDSA_ED25519 if isinstance(key, ed25519.Ed25519PublicKey) else _EDDSA_ED448
    return HiAlgorithm.EDDSA, curve.to_bytes(2, "big") + bytes(2) + key.public_bytes_raw()


def _minimal_octets(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _parse_rsa(hi: bytes, bits_least: int) -> rsa.RSAPublicKey:
    """Length of e in one octet, or 0 and two octets | e | n, no leading zeros (RFC 3110)."""
    start, size = (
        (3, int.from_bytes(hi[1:3], "big")) if hi[:1] == b"\0" else (1, hi[0] if hi else 0)
    )
    exponent, modulus = hi[start : start + size], hi[start + size :]
    if not exponent or not modulus or not exponent[0] or not modulus[0]:
        raise CryptoError(f"RSA Host Identity of {len(hi)} octets is not exponent and modulus")
    e, n = int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big")
    if not bits_least <= n.bit_length() <= RSA_BITS_MOST:
        raise CryptoError(
            f"RSA modulus of {n.bit_length()} bits, accepted are {bits_least} to {RSA_BITS_MOST}"
        )
    if e.bit_length() > RSA_EXPONENT_BITS_MOST or n % 2 == 0:
        raise CryptoError("RSA public exponent above 64 bits, or an even modulus")
    try:
        return rsa.RSAPublicNumbers(e, n).public_key()
    except ValueError:
        raise CryptoError("RSA exponent and modulus do not make a public key") from None


def _parse_ecdsa(hi: bytes) -> ec.EllipticCurvePublicKey:
    """Curve u16 | 04 | X | Y; the 04 may be missing, since RFC 7401 does not settle the form."""
    curve = _CURVES.get(int.from_bytes(hi[:2], "big"))
    if curve is None:
        raise CryptoError(f"ECDSA Host Identity of {len(hi)} octets names no known curve")
    point = hi[2:]
    size = 2 * ((curve.key_size + 7) // 8)
    if len(point) == size:
        point = _UNCOMPRESSED + point
    if len(point) != size + 1 or point[:1] != _UNCOMPRESSED:
        raise CryptoError(f"ECDSA point of {len(point)} octets on {curve.name}: need 04 | X | Y")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    except ValueError:
        raise CryptoError(f"ECDSA point is not on {curve.name}") from None


def _parse_eddsa(hi: bytes) -> ed25519.Ed25519PublicKey | ed448.Ed448PublicKey:
    """Curve u16 | NULL u16 | key (RFC 9374 section 3.4.1.1); the pre-hash curves are not done."""
    curve, null, key = hi[:2], hi[2:4], hi[4:]
    if len(null) != 2 or any(null):
        raise CryptoError(f"EdDSA Host Identity of {len(hi)} octets lacks its zero field")
    number = int.from_bytes(curve, "big")
    if number == _EDDSA_ED25519 and is_usable_point(ED25519, key):
        return ed25519.Ed25519PublicKey.from_public_bytes(key)
    if number == _EDDSA_ED448 and is_usable_point(ED448, key):
        return ed448.Ed448PublicKey.from_public_bytes(key)
    raise CryptoError(f"EdDSA curve {number}, key of {len(key)} octets: not a usable public key")
