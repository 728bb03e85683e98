"""The few functions of OpenSSL 3 that `cryptography` does not offer, by ctypes.

`cryptography` deprecates finite-field Diffie-Hellman and never had secp160r1, so groups 3, 4,
10 and 11 of RFC 7401 section 5.2.7 and all of RFC 5201 section 5.2.6 come from the system's
libcrypto.so.3.  Every call makes its own BN_CTX, so any thread may call; ctypes releases the GIL
meanwhile.  Every number that may be secret is cleared when it is freed.  Failed calls clear the
thread's OpenSSL error queue, which Python's own ssl module may share.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Mapping
from typing import Final

from hipgw.errors import CryptoError, HostError

LIBRARY: Final = "libcrypto.so.3"
NID_SECP160R1: Final = 709
_TOP_BIT_SET: Final = 0  # BN_RAND_TOP_ONE
_ANY_PARITY: Final = 0  # BN_RAND_BOTTOM_ANY

_POINTER: Final = ctypes.c_void_p
_INT: Final = ctypes.c_int
Prototypes = Mapping[str, tuple[type | None, tuple[type, ...]]]
"""Function name -> result type and argument types."""

_PROTOTYPES: Final[Prototypes] = {
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
def load_library() -> ctypes.CDLL:
    """Load and declare the library once; HostError when the host has none."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise HostError(
            f"{LIBRARY} cannot be loaded, so MODP groups and secp160r1 do not work:"
            " install OpenSSL 3 (Debian: libssl3), or leave these groups out of the configuration"
        ) from error
    declare(library, _PROTOTYPES)
    return library


def declare(library: ctypes.CDLL, prototypes: Prototypes) -> None:
    """Tell ctypes the types of functions; AttributeError when the library lacks one."""
    for name, (result, arguments) in prototypes.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments


class Owned:
    """An object of libcrypto that is released with this Python object."""

    __slots__ = ("_as_parameter_", "_release")

    def __init__(self, address: int | None, release: Callable[[int | None], None]) -> None:
        self._as_parameter_: Final = address
        self._release: Final = release
        if not address:
            load_library().ERR_clear_error()
            raise MemoryError("libcrypto gave no object")

    def __del__(self) -> None:
        self._release(self._as_parameter_)


def new_number(value: int | None = None, octets: bytes | None = None) -> Owned:
    """Make a BIGNUM, empty or holding the big-endian `octets` or the public `value`."""
    library = load_library()
    if value is not None:
        octets = value.to_bytes((value.bit_length() + 7) // 8, "big")
    number = Owned(library.BN_new(), library.BN_clear_free)
    if octets:
        filled = library.BN_bin2bn(octets, len(octets), number)
        require(int(bool(filled)), "reading a number")
    return number


def new_context() -> Owned:
    """Make a BN_CTX, scratch space for one call."""
    return Owned(load_library().BN_CTX_new(), load_library().BN_CTX_free)


def require(result: int, what: str) -> None:
    """Turn a zero result into CryptoError and forget OpenSSL's own message."""
    if result != 1:
        load_library().ERR_clear_error()
        raise CryptoError(f"{what} failed in {LIBRARY}")


def padded_octets(number: Owned | int, length_octets: int) -> bytes:
    """Big-endian octets of a BIGNUM, padded on the left with zeros."""
    buffer = ctypes.create_string_buffer(length_octets)
    written = load_library().BN_bn2binpad(number, buffer, length_octets)
    require(int(written == length_octets), "writing a number")
    octets = buffer.raw
    ctypes.memset(buffer, 0, length_octets)
    return octets


class ModpSecret:
    """A secret exponent modulo a safe prime p; g generates the subgroup of order (p - 1) / 2.

    Attributes:
        prime: p.
        generator: g, a square modulo p.
        length_octets: of p, and so of every public value and shared secret.
    """

    __slots__ = ("_exponent", "generator", "length_octets", "prime")

    def __init__(self, prime: int, exponent: Owned, generator: int = 2) -> None:
        self.prime: Final = prime
        self.generator: Final = generator
        self.length_octets: Final = (prime.bit_length() + 7) // 8
        self._exponent: Final = exponent

    @classmethod
    def generate(cls, prime: int, exponent_bits: int, generator: int = 2) -> ModpSecret:
        """Draw an exponent of exactly `exponent_bits` bits, which never enters Python."""
        exponent = new_number()
        drawn = load_library().BN_priv_rand(exponent, exponent_bits, _TOP_BIT_SET, _ANY_PARITY)
        require(drawn, "drawing a private exponent")
        return cls(prime, exponent, generator)

    @classmethod
    def from_scalar(cls, prime: int, scalar: bytes, generator: int = 2) -> ModpSecret:
        """Take a given exponent, 1 < x < p - 1, big-endian."""
        if not 1 < int.from_bytes(scalar, "big") < prime - 1:
            raise CryptoError("private exponent is not inside the group")
        return cls(prime, new_number(octets=scalar), generator)

    def public(self) -> bytes:
        """g^x mod p, padded."""
        return self._power(
            new_number(value=self.generator), new_number(value=self.prime), new_context()
        )

    def exchange(self, peer_public: bytes) -> bytes:
        """y^x mod p, padded.

        Raises:
            CryptoError: y has another length than p, is not 1 < y < p - 1 (RFC 7401 section 5.3.2,
                RFC 2785 section 3.1), or is outside the subgroup of g.
        """
        if len(peer_public) != self.length_octets:
            raise CryptoError(
                f"public value of {len(peer_public)} octets, the group has {self.length_octets}"
            )
        if not 1 < int.from_bytes(peer_public, "big") < self.prime - 1:
            raise CryptoError("public value outside 2..p-2")
        context = new_context()
        base = new_number(octets=peer_public)
        modulus = new_number(value=self.prime)
        if load_library().BN_kronecker(base, modulus, context) != 1:
            load_library().ERR_clear_error()
            raise CryptoError("public value outside the subgroup of the generator")
        return self._power(base, modulus, context)

    def _power(self, base: Owned, modulus: Owned, context: Owned) -> bytes:
        result = new_number()
        done = load_library().BN_mod_exp_mont_consttime(
            result, base, self._exponent, modulus, context, None
        )
        require(done, "modular exponentiation")
        return padded_octets(result, self.length_octets)


class Secp160r1Secret:
    """A secret scalar on secp160r1 (SEC 2 section 2.4.2), whose order has 161 bits."""

    PRIME: Final = 2**160 - 2**31 - 1
    COORDINATE_OCTETS: Final = 20

    __slots__ = ("_curve", "_scalar")

    def __init__(self, curve: Owned, scalar: Owned) -> None:
        self._curve: Final = curve
        self._scalar: Final = scalar

    @staticmethod
    def _open_curve() -> Owned:
        library = load_library()
        address = library.EC_GROUP_new_by_curve_name(NID_SECP160R1)
        if not address:
            library.ERR_clear_error()
            raise HostError(
                f"{LIBRARY} of this host has no curve secp160r1:"
                " leave DH group 10 out of the configuration"
            )
        return Owned(address, library.EC_GROUP_free)

    @classmethod
    def generate(cls) -> Secp160r1Secret:
        """Draw a scalar in 1..n-1, which never enters Python."""
        library = load_library()
        curve = cls._open_curve()
        scalar = new_number()
        order = library.EC_GROUP_get0_order(curve)
        while library.BN_is_zero(scalar):
            require(library.BN_priv_rand_range(scalar, order), "drawing a private scalar")
        return cls(curve, scalar)

    @classmethod
    def from_scalar(cls, scalar: bytes) -> Secp160r1Secret:
        """Take a given scalar, big-endian; a multiple of the order fails on first use."""
        return cls(cls._open_curve(), new_number(octets=scalar))

    def public(self) -> bytes:
        """X | Y of the scalar's multiple of the generator."""
        generator = load_library().EC_GROUP_get0_generator(self._curve)
        x, y = self._multiply(generator, new_context())
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
        library = load_library()
        context = new_context()
        point = Owned(library.EC_POINT_new(self._curve), library.EC_POINT_clear_free)
        x, y = (new_number(octets=octets) for octets in coordinates)
        placed = library.EC_POINT_set_affine_coordinates(self._curve, point, x, y, context)
        require(placed, "placing the public value on secp160r1")
        return self._multiply(point, context)[0]

    def _multiply(self, point: Owned | int, context: Owned) -> tuple[bytes, bytes]:
        """Multiply by the constant-time ladder that libcrypto uses for a single point."""
        library = load_library()
        product = Owned(library.EC_POINT_new(self._curve), library.EC_POINT_clear_free)
        done = library.EC_POINT_mul(self._curve, product, None, point, self._scalar, context)
        require(done, "multiplying a point")
        x, y = new_number(), new_number()
        read = library.EC_POINT_get_affine_coordinates(self._curve, product, x, y, context)
        require(read, "reading a point")  # fails for the point at infinity
        return (
            padded_octets(x, self.COORDINATE_OCTETS),
            padded_octets(y, self.COORDINATE_OCTETS),
        )
