"""The few functions of OpenSSL 3 that `cryptography` does not offer, by ctypes.

`cryptography` deprecates finite-field Diffie-Hellman and never had secp160r1, so groups 3, 4,
10 and 11 of RFC 7401 section 5.2.7 come from the system's libcrypto.so.3.  Every call makes its own
BN_CTX, so any thread may call; ctypes releases the GIL meanwhile.  Every number that may be secret
is cleared when it is freed.  Failed calls clear the thread's OpenSSL error queue, which Python's
own ssl module may share.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Final

from hipgw.errors import CryptoError, HostError

LIBRARY: Final = "libcrypto.so.3"
_NID_SECP160R1: Final = 709
_TOP_BIT_SET: Final = 0  # BN_RAND_TOP_ONE
_ANY_PARITY: Final = 0  # BN_RAND_BOTTOM_ANY

_POINTER: Final = ctypes.c_void_p
_INT: Final = ctypes.c_int
_PROTOTYPES: Final[dict[str, tuple[type | None, tuple[type, ...]]]] = {
    "BN_new": (_POINTER, ()),
    "BN_clear_free": (None, (_POINTER,)),
    "BN_bin2bn": (_POINTER, (ctypes.c_char_p, _INT, _POINTER)),
    "BN_bn2binpad": (_INT, (_POINTER, ctypes.c_char_p, _INT)),
    "BN_priv_rand": (_INT, (_POINTER, _INT, _INT, _INT)),
    "BN_priv_rand_range": (_INT, (_POINTER, _POINTER)),
    "BN_is_zero": (_INT, (_POINTER,)),
    "BN_kronecker": (_INT, (_POINTER, _POINTER, _POINTER)),
    "BN_mod_exp_mont_consttime": (_INT, (_POINTER,) * 6),
    "BN_CTX_new": (_POINTER, ()),
    "BN_CTX_free": (None, (_POINTER,)),
    "EC_GROUP_new_by_curve_name": (_POINTER, (_INT,)),
    "EC_GROUP_free": (None, (_POINTER,)),
    "EC_GROUP_get0_order": (_POINTER, (_POINTER,)),
    "EC_GROUP_get0_generator": (_POINTER, (_POINTER,)),
    "EC_POINT_new": (_POINTER, (_POINTER,)),
    "EC_POINT_clear_free": (None, (_POINTER,)),
    "EC_POINT_set_affine_coordinates": (_INT, (_POINTER,) * 5),
    "EC_POINT_get_affine_coordinates": (_INT, (_POINTER,) * 5),
    "EC_POINT_mul": (_INT, (_POINTER,) * 6),
    "ERR_clear_error": (None, ()),
}


@functools.cache
def _library() -> ctypes.CDLL:
    """Load and declare the library once; HostError when the host has none."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise HostError(
            f"{LIBRARY} cannot be loaded, so MODP groups and secp160r1 do not work:"
            " install OpenSSL 3 (Debian: libssl3), or leave these groups out of the configuration"
        ) from error
    for name, (result, arguments) in _PROTOTYPES.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library


class _Owned:
    """An object of libcrypto that is released with this Python object."""

    __slots__ = ("_as_parameter_", "_release")

    def __init__(self, address: int | None, release: Callable[[int | None], None]) -> None:
        self._as_parameter_: Final = address
        self._release: Final = release
        if not address:
            _library().ERR_clear_error()
            raise MemoryError("libcrypto gave no object")

    def __del__(self) -> None:
        self._release(self._as_parameter_)


def _number(value: int | None = None, octets: bytes | None = None) -> _Owned:
    """Make a BIGNUM, empty or holding the big-endian `octets` or the public `value`."""
    library = _library()
    if value is not None:
        octets = value.to_bytes((value.bit_length() + 7) // 8, "big")
    number = _Owned(library.BN_new(), library.BN_clear_free)
    if octets:
        filled = library.BN_bin2bn(octets, len(octets), number)
        _require(int(bool(filled)), "reading a number")
    return number


def _context() -> _Owned:
    return _Owned(_library().BN_CTX_new(), _library().BN_CTX_free)


def _require(result: int, what: str) -> None:
    """Turn a zero result into CryptoError and forget OpenSSL's own message."""
    if result != 1:
        _library().ERR_clear_error()
        raise CryptoError(f"{what} failed in {LIBRARY}")


def _padded_octets(number: _Owned, length_octets: int) -> bytes:
    """Big-endian octets of a BIGNUM, padded on the left with zeros."""
    buffer = ctypes.create_string_buffer(length_octets)
    written = _library().BN_bn2binpad(number, buffer, length_octets)
    _require(int(written == length_octets), "writing a number")
    octets = buffer.raw
    ctypes.memset(buffer, 0, length_octets)
    return octets


class ModpSecret:
    """A secret exponent modulo a safe prime p; 2 generates the subgroup of order (p - 1) / 2.

    Attributes:
        prime: p.
        length_octets: of p, and so of every public value and shared secret.
    """

    __slots__ = ("_exponent", "length_octets", "prime")

    def __init__(self, prime: int, exponent: _Owned) -> None:
        self.prime: Final = prime
        self.length_octets: Final = (prime.bit_length() + 7) // 8
        self._exponent: Final = exponent

    @classmethod
    def generate(cls, prime: int, exponent_bits: int) -> ModpSecret:
        """Draw an exponent of exactly `exponent_bits` bits, which never enters Python."""
        exponent = _number()
        drawn = _library().BN_priv_rand(exponent, exponent_bits, _TOP_BIT_SET, _ANY_PARITY)
        _require(drawn, "drawing a private exponent")
        return cls(prime, exponent)

    @classmethod
    def from_scalar(cls, prime: int, scalar: bytes) -> ModpSecret:
        """Take a given exponent, 1 < x < p - 1, big-endian."""
        if not 1 < int.from_bytes(scalar, "big") < prime - 1:
            raise CryptoError("private exponent is not inside the group")
        return cls(prime, _number(octets=scalar))

    def public(self) -> bytes:
        """2^x mod p, padded."""
        return self._power(_number(value=2), _number(value=self.prime), _context())

    def exchange(self, peer_public: bytes) -> bytes:
        """y^x mod p, padded.

        Raises:
            CryptoError: y has another length than p, is not 1 < y < p - 1 (RFC 7401 section 5.3.2,
                RFC 2785 section 3.1), or is outside the subgroup that 2 generates.
        """
        if len(peer_public) != self.length_octets:
            raise CryptoError(
                f"public value of {len(peer_public)} octets, the group has {self.length_octets}"
            )
        if not 1 < int.from_bytes(peer_public, "big") < self.prime - 1:
            raise CryptoError("public value outside 2..p-2")
        context = _context()
        base = _number(octets=peer_public)
        modulus = _number(value=self.prime)
        if _library().BN_kronecker(base, modulus, context) != 1:
            _library().ERR_clear_error()
            raise CryptoError("public value outside the subgroup of the generator")
        return self._power(base, modulus, context)

    def _power(self, base: _Owned, modulus: _Owned, context: _Owned) -> bytes:
        result = _number()
        done = _library().BN_mod_exp_mont_consttime(
            result, base, self._exponent, modulus, context, None
        )
        _require(done, "modular exponentiation")
        return _padded_octets(result, self.length_octets)


class Secp160r1Secret:
    """A secret scalar on secp160r1 (SEC 2 section 2.4.2), whose order has 161 bits."""

    PRIME: Final = 2**160 - 2**31 - 1
    COORDINATE_OCTETS: Final = 20

    __slots__ = ("_curve", "_scalar")

    def __init__(self, curve: _Owned, scalar: _Owned) -> None:
        self._curve: Final = curve
        self._scalar: Final = scalar

    @staticmethod
    def _open_curve() -> _Owned:
        library = _library()
        address = library.EC_GROUP_new_by_curve_name(_NID_SECP160R1)
        if not address:
            library.ERR_clear_error()
            raise HostError(
                f"{LIBRARY} of this host has no curve secp160r1:"
                " leave DH group 10 out of the configuration"
            )
        return _Owned(address, library.EC_GROUP_free)

    @classmethod
    def generate(cls) -> Secp160r1Secret:
        """Draw a scalar in 1..n-1, which never enters Python."""
        library = _library()
        curve = cls._open_curve()
        scalar = _number()
        order = library.EC_GROUP_get0_order(curve)
        while library.BN_is_zero(scalar):
            _require(library.BN_priv_rand_range(scalar, order), "drawing a private scalar")
        return cls(curve, scalar)

    @classmethod
    def from_scalar(cls, scalar: bytes) -> Secp160r1Secret:
        """Take a given scalar, big-endian; a multiple of the order fails on first use."""
        return cls(cls._open_curve(), _number(octets=scalar))

    def public(self) -> bytes:
        """X | Y of the scalar's multiple of the generator."""
        generator = _library().EC_GROUP_get0_generator(self._curve)
        x, y = self._multiply(generator, _context())
        return x + y

    def exchange(self, peer_public: bytes) -> bytes:
        """X of the scalar's multiple of the peer's point (RFC 5903 section 7).

        Raises:
            CryptoError: not X | Y of a point of the curve; the cofactor is 1, so every such point
                has the full order.
        """
        size = self.COORDINATE_OCTETS
        if len(peer_public) != 2 * size:
            raise CryptoError(
                f"public value of {len(peer_public)} octets, secp160r1 has {2 * size}"
            )
        coordinates = peer_public[:size], peer_public[size:]
        # libcrypto would reduce a coordinate above the prime instead of refusing it.
        if any(int.from_bytes(octets, "big") >= self.PRIME for octets in coordinates):
            raise CryptoError("coordinate of the public value above the prime of secp160r1")
        library = _library()
        context = _context()
        point = _Owned(library.EC_POINT_new(self._curve), library.EC_POINT_clear_free)
        x, y = (_number(octets=octets) for octets in coordinates)
        placed = library.EC_POINT_set_affine_coordinates(self._curve, point, x, y, context)
        _require(placed, "placing the public value on secp160r1")
        return self._multiply(point, context)[0]

    def _multiply(self, point: _Owned | int, context: _Owned) -> tuple[bytes, bytes]:
        """Multiply by the constant-time ladder that libcrypto uses for a single point."""
        library = _library()
        product = _Owned(library.EC_POINT_new(self._curve), library.EC_POINT_clear_free)
        done = library.EC_POINT_mul(self._curve, product, None, point, self._scalar, context)
        _require(done, "multiplying a point")
        x, y = _number(), _number()
        read = library.EC_POINT_get_affine_coordinates(self._curve, product, x, y, context)
        _require(read, "reading a point")  # fails for the point at infinity
        return (
            _padded_octets(x, self.COORDINATE_OCTETS),
            _padded_octets(y, self.COORDINATE_OCTETS),
        )
