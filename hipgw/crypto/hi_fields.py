"""The Host Identity field of HOST_ID: public keys to octets and back (RFC 7401 section 5.2.9).

HIPv1 has the same octets behind a DNSKEY head, which the wire room takes off (RFC 5201 5.2.8).
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

from hipgw._fastpath.elliptic import is_point
from hipgw.crypto.ecdsa_low import EcdsaLowPublicKey
from hipgw.crypto.edwards import ED448, ED25519, is_usable_point
from hipgw.errors import CryptoError, HostError
from hipgw.values import HiAlgorithm

PublicKey = (
    rsa.RSAPublicKey
    | dsa.DSAPublicKey
    | ec.EllipticCurvePublicKey
    | EcdsaLowPublicKey
    | ed25519.Ed25519PublicKey
    | ed448.Ed448PublicKey
)

RSA_BITS_LEAST: Final = 2048
"""112 bits of security."""
RSA_BITS_WEAK_LEAST: Final = 1024
"""What `allow_weak` still lets in: peers and captures of old implementations."""
RSA_BITS_MOST: Final = 4096
"""RFC 3110 section 2."""
RSA_EXPONENT_BITS_MOST: Final = 64
"""Bounds what it costs to verify a stranger's signature; usual is 65537."""
DSA_BITS: Final = 1024
"""The most that RFC 2536 can carry, and so the only size that is not weaker still."""
DSA_Q_OCTETS: Final = 20

_DSA_T: Final = (DSA_BITS - 512) // 64
_CURVES: Final[dict[int, ec.EllipticCurve]] = {1: ec.SECP256R1(), 2: ec.SECP384R1()}
_COORDINATE_OCTETS: Final = {b"\0\x01": 32, b"\0\x02": 48}
"""By the curve field."""
_CURVE_NUMBER: Final = {curve.name: number for number, curve in _CURVES.items()}
_UNCOMPRESSED: Final = b"\x04"
_SECP160R1_HEAD: Final = b"\0\x01" + _UNCOMPRESSED
_EDDSA_ED25519: Final = 1
_EDDSA_ED448: Final = 3


def parse_hi(algorithm: HiAlgorithm, hi: bytes, *, allow_weak: bool = False) -> PublicKey:
    """Read a Host Identity field.

    Args:
        algorithm: of HOST_ID.
        hi: the field, without head and Domain Identifier.
        allow_weak: accept what has less than 112 bits of security: RSA moduli down to 1024 bits,
            DSA, and ECDSA_LOW.

    Raises:
        CryptoError: not a key, or a key too weak.
    """
    if algorithm is HiAlgorithm.RSA:
        return _parse_rsa(hi, RSA_BITS_WEAK_LEAST if allow_weak else RSA_BITS_LEAST)
    if algorithm is HiAlgorithm.ECDSA:
        return _parse_ecdsa(hi)
    if algorithm is HiAlgorithm.EDDSA:
        return _parse_eddsa(hi)
    if not allow_weak:
        raise CryptoError(f"Host Identity algorithm {algorithm.name} is weak and not allowed")
    return _parse_dsa(hi) if algorithm is HiAlgorithm.DSA else _parse_ecdsa_low(hi)


def emit_hi(key: PublicKey) -> tuple[HiAlgorithm, bytes]:
    """Write the Host Identity field of a public key.

    Raises:
        CryptoError: an elliptic curve other than P-256 and P-384, or DSA of another size than
            1024 bits with a 160 bit q.
    """
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        exponent, modulus = _minimal_octets(numbers.e), _minimal_octets(numbers.n)
        if len(exponent) < 256:
            return HiAlgorithm.RSA, bytes([len(exponent)]) + exponent + modulus
        return HiAlgorithm.RSA, b"\0" + len(exponent).to_bytes(2, "big") + exponent + modulus
    if isinstance(key, dsa.DSAPublicKey):
        return HiAlgorithm.DSA, _emit_dsa(key)
    if isinstance(key, EcdsaLowPublicKey):
        return HiAlgorithm.ECDSA_LOW, _SECP160R1_HEAD + key.point
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


def _emit_dsa(key: dsa.DSAPublicKey) -> bytes:
    """T | Q | P | G | Y (RFC 2536 section 2)."""
    public = key.public_numbers()
    numbers = public.parameter_numbers
    bits, q_bits = numbers.p.bit_length(), numbers.q.bit_length()
    if (bits, q_bits) != (DSA_BITS, 8 * DSA_Q_OCTETS):
        raise CryptoError(
            f"DSA key of {bits} bits with a q of {q_bits}: HOST_ID carries {DSA_BITS} and"
            f" {8 * DSA_Q_OCTETS}"
        )
    return (
        bytes([_DSA_T])
        + numbers.q.to_bytes(DSA_Q_OCTETS, "big")
        + b"".join(n.to_bytes(DSA_BITS // 8, "big") for n in (numbers.p, numbers.g, public.y))
    )


def _parse_dsa(hi: bytes) -> dsa.DSAPublicKey:
    """T | Q | P | G | Y, the last three of 64 + 8 T octets (RFC 2536 section 2).

    That p and q are prime is not checked: a host that chose them otherwise weakens its own identity
    and no other, since the HIT covers them.
    """
    size = DSA_BITS // 8
    if hi[:1] != bytes([_DSA_T]) or len(hi) != 1 + DSA_Q_OCTETS + 3 * size:
        raise CryptoError(f"DSA Host Identity of {len(hi)} octets, need T = {_DSA_T}")
    q = int.from_bytes(hi[1 : 1 + DSA_Q_OCTETS], "big")
    p, g, y = (
        int.from_bytes(hi[start : start + size], "big")
        for start in range(1 + DSA_Q_OCTETS, len(hi), size)
    )
    if (p.bit_length(), q.bit_length()) != (DSA_BITS, 8 * DSA_Q_OCTETS) or not p & q & 1:
        raise CryptoError("DSA p or q is even, or shorter than its field")
    if not all(1 < n < p and pow(n, q, p) == 1 for n in (g, y)):
        raise CryptoError("DSA g or y is not of order q")
    try:
        parameters = dsa.DSAParameterNumbers(p, q, g)
        return dsa.DSAPublicNumbers(y, parameters).public_key()
    except ValueError:
        raise CryptoError("DSA numbers do not make a public key") from None


def _parse_ecdsa_low(hi: bytes) -> EcdsaLowPublicKey:
    """Curve u16, 1 for secp160r1 | 04 | X | Y; the 04 may be missing, as in `_parse_ecdsa`."""
    curve, point = hi[:2], hi[2:]
    if curve != _SECP160R1_HEAD[:2]:
        raise CryptoError(f"ECDSA_LOW Host Identity of {len(hi)} octets names no known curve")
    if len(point) % 2:
        if point[:1] != _UNCOMPRESSED:
            raise CryptoError("ECDSA_LOW point form: need 04 | X | Y")
        point = point[1:]
    try:
        return EcdsaLowPublicKey(point)
    except HostError as error:
        raise CryptoError(f"ECDSA_LOW Host Identity: {error}") from error


def ecdsa_point(hi: bytes) -> tuple[int, bytes]:
    """Curve u16 | 04 | X | Y; the 04 may be missing, since RFC 7401 does not settle the form.

    Returns:
        Octets of a coordinate, which name the curve, and X | Y: not checked to be on it.

    Raises:
        CryptoError: no known curve, or another form.
    """
    octets = _COORDINATE_OCTETS.get(hi[:2])
    if octets is None:
        raise CryptoError(f"ECDSA Host Identity of {len(hi)} octets names no known curve")
    size = 2 * octets
    if len(hi) == 3 + size and hi[2:3] == _UNCOMPRESSED:
        return octets, hi[3:]
    if len(hi) != 2 + size:
        raise CryptoError(f"ECDSA Host Identity of {len(hi)} octets: need 04 | X | Y of {size}")
    return octets, hi[2:]


def check_ecdsa(hi: bytes) -> None:
    """Make sure that an ECDSA Host Identity holds a point of its curve; CryptoError if not."""
    if not is_point(*ecdsa_point(hi)):
        raise CryptoError("ECDSA point is not on its curve")


def _parse_ecdsa(hi: bytes) -> ec.EllipticCurvePublicKey:
    """The key as `cryptography` has it, for what only that can do with it."""
    _, point = ecdsa_point(hi)
    curve = _CURVES[int.from_bytes(hi[:2], "big")]
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, _UNCOMPRESSED + point)
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
