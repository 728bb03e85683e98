"""ECDSA_LOW: signatures on secp160r1 with SHA-1, for hosts too small for more (RFC 7401 5.2.9).

`cryptography` has no such curve, so libcrypto does the work.  80 bits of security: `hipgw` takes
these keys only where its caller allows weak ones.  A signature is r | s, 21 octets each, because
the order of the curve has 161 bits.
"""

from __future__ import annotations

import base64
import ctypes
import functools
import hashlib
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from hipgw.crypto.libcrypto import (
    LIBRARY,
    NID_SECP160R1,
    Owned,
    Prototypes,
    Secp160r1Secret,
    declare,
    load_library,
    new_context,
    new_number,
    padded_octets,
    require,
)
from hipgw.errors import CryptoError, HostError

COORDINATE_OCTETS: Final = Secp160r1Secret.COORDINATE_OCTETS
SCALAR_OCTETS: Final = 21
POINT_OCTETS: Final = 2 * COORDINATE_OCTETS

_DER_SIGNATURE_OCTETS_MAX: Final = 64
_POINTER: Final = ctypes.c_void_p
_INT: Final = ctypes.c_int
_PROTOTYPES: Final[Prototypes] = {
    "EC_KEY_new_by_curve_name": (_POINTER, (_INT,)),
    "EC_KEY_free": (None, (_POINTER,)),
    "EC_KEY_generate_key": (_INT, (_POINTER,)),
    "EC_KEY_set_private_key": (_INT, (_POINTER, _POINTER)),
    "EC_KEY_set_public_key_affine_coordinates": (_INT, (_POINTER,) * 3),
    "EC_KEY_get0_group": (_POINTER, (_POINTER,)),
    "EC_KEY_get0_public_key": (_POINTER, (_POINTER,)),
    "EC_KEY_get0_private_key": (_POINTER, (_POINTER,)),
    "ECDSA_sign": (_INT, (_INT, ctypes.c_char_p, _INT, ctypes.c_char_p, _POINTER, _POINTER)),
    "ECDSA_verify": (_INT, (_INT, ctypes.c_char_p, _INT, ctypes.c_char_p, _INT, _POINTER)),
}
# Every length is fixed, so the DER of RFC 5208 (around RFC 5915) and RFC 5480 is a constant head.
_PRIVATE_HEAD: Final = bytes.fromhex(
    "3061020100301006072a8648ce3d020106052b81040008044a30480201010415"
)
_PRIVATE_MIDDLE: Final = bytes.fromhex("a12c032a0004")
_PUBLIC_HEAD: Final = bytes.fromhex("303e301006072a8648ce3d020106052b81040008032a0004")


@functools.cache
def _library() -> ctypes.CDLL:
    """Load libcrypto with its EC_KEY functions; HostError when it has none."""
    library = load_library()
    try:
        declare(library, _PROTOTYPES)
    except AttributeError:
        raise HostError(
            f"{LIBRARY} of this host is built without EC_KEY: do not use ECDSA_LOW identities"
        ) from None
    return library


def _new_key() -> Owned:
    address = _library().EC_KEY_new_by_curve_name(NID_SECP160R1)
    if not address:
        _library().ERR_clear_error()
        raise HostError(
            f"{LIBRARY} of this host has no curve secp160r1: do not use ECDSA_LOW identities"
        )
    return Owned(address, _library().EC_KEY_free)


def _set_point(key: Owned, point: bytes) -> None:
    """Give a key its public half, X | Y; libcrypto checks range, curve and order."""
    x, y = (new_number(octets=point[at : at + COORDINATE_OCTETS]) for at in (0, COORDINATE_OCTETS))
    placed = _library().EC_KEY_set_public_key_affine_coordinates(key, x, y)
    require(placed, "placing the public key on secp160r1")


def _pem(label: str, der: bytes) -> bytes:
    text = base64.b64encode(der).decode()
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", "")).encode()


class EcdsaLowPublicKey:
    """A point of secp160r1.

    Attributes:
        point: X | Y, 40 octets.
    """

    __slots__ = ("_key", "point")

    def __init__(self, point: bytes) -> None:
        """Check the point.

        Raises:
            CryptoError: not X | Y of a point of the curve.
            HostError: libcrypto of this host lacks the curve.
        """
        if len(point) != POINT_OCTETS:
            raise CryptoError(f"point of {len(point)} octets, secp160r1 has {POINT_OCTETS}")
        self._key: Final = _new_key()
        _set_point(self._key, point)
        self.point: Final = point

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Check r | s over SHA-1; False on anything else, never raises."""
        if len(signature) != 2 * SCALAR_OCTETS:
            return False
        r, s = signature[:SCALAR_OCTETS], signature[SCALAR_OCTETS:]
        der = encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
        digest = hashlib.sha1(message, usedforsecurity=False).digest()
        result = _library().ECDSA_verify(0, digest, len(digest), der, len(der), self._key)
        if result != 1:
            _library().ERR_clear_error()
        return bool(result == 1)

    def public_pem(self) -> bytes:
        """SubjectPublicKeyInfo."""
        return _pem("PUBLIC KEY", _PUBLIC_HEAD + self.point)


class EcdsaLowPrivateKey:
    """A private key on secp160r1; libcrypto clears it when it is released."""

    __slots__ = ("_key", "_public")

    def __init__(self, key: Owned, point: bytes) -> None:
        self._key: Final = key
        self._public: Final = EcdsaLowPublicKey(point)

    @classmethod
    def generate(cls) -> Self:
        """Draw a new key; HostError when libcrypto of this host lacks the curve."""
        library = _library()
        key = _new_key()
        require(library.EC_KEY_generate_key(key), "generating a key on secp160r1")
        x, y = new_number(), new_number()
        read = library.EC_POINT_get_affine_coordinates(
            library.EC_KEY_get0_group(key), library.EC_KEY_get0_public_key(key), x, y, new_context()
        )
        require(read, "reading a public key")
        return cls(key, padded_octets(x, COORDINATE_OCTETS) + padded_octets(y, COORDINATE_OCTETS))

    @classmethod
    def from_scalar(cls, scalar: bytes) -> Self:
        """Take a given scalar, big-endian.

        Raises:
            CryptoError: not in 1..n-1.
        """
        point = Secp160r1Secret.from_scalar(scalar).public()
        key = _new_key()
        set_ = _library().EC_KEY_set_private_key(key, new_number(octets=scalar))
        require(set_, "setting a private scalar of secp160r1")
        _set_point(key, point)
        return cls(key, point)

    @classmethod
    def from_pem(cls, pem: bytes) -> Self | None:
        """Read unencrypted PKCS#8; None when it is not one of a key on this curve.

        Raises:
            CryptoError: public and private half do not belong together.
        """
        begin, end = b"-----BEGIN PRIVATE KEY-----", b"-----END PRIVATE KEY-----"
        start, stop = pem.find(begin), pem.find(end)
        if not 0 <= start < stop:
            return None
        try:
            der = base64.b64decode(b"".join(pem[start + len(begin) : stop].split()), validate=True)
        except ValueError:
            return None
        head = len(_PRIVATE_HEAD)
        middle, tail = head + SCALAR_OCTETS, head + SCALAR_OCTETS + len(_PRIVATE_MIDDLE)
        if (der[:head], der[middle:tail]) != (_PRIVATE_HEAD, _PRIVATE_MIDDLE):
            return None
        key = cls.from_scalar(der[head:middle])
        if key.public_key().point != der[tail:]:
            raise CryptoError("private key whose public half is another key's")
        return key

    def public_key(self) -> EcdsaLowPublicKey:
        """The public half."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """Sign the SHA-1 of a message: r | s, 42 octets."""
        digest = hashlib.sha1(message, usedforsecurity=False).digest()
        buffer = ctypes.create_string_buffer(_DER_SIGNATURE_OCTETS_MAX)
        length = ctypes.c_uint()
        done = _library().ECDSA_sign(
            0, digest, len(digest), buffer, ctypes.byref(length), self._key
        )
        require(done, "signing on secp160r1")
        r, s = decode_dss_signature(buffer.raw[: length.value])
        return r.to_bytes(SCALAR_OCTETS, "big") + s.to_bytes(SCALAR_OCTETS, "big")

    def private_pem(self) -> bytes:
        """Unencrypted PKCS#8."""
        scalar = padded_octets(_library().EC_KEY_get0_private_key(self._key), SCALAR_OCTETS)
        return _pem("PRIVATE KEY", _PRIVATE_HEAD + scalar + _PRIVATE_MIDDLE + self._public.point)
