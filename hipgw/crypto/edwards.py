"""Is an EdDSA public key a usable point?  `cryptography` takes any 32 or 57 octets for one.

A key off the curve verifies nothing; a key of small order lets anybody sign in its name.  All
arithmetic is on public values, so nothing here needs constant time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class EdwardsCurve:
    """a x^2 + y^2 = 1 + d x^2 y^2 modulo `prime` (RFC 8032 sections 5.1, 5.2)."""

    prime: int
    a: int
    d: int
    key_octets: int


_PRIME_25519: Final = 2**255 - 19
ED25519: Final = EdwardsCurve(
    prime=_PRIME_25519, a=-1, d=-121665 * pow(121666, -1, _PRIME_25519), key_octets=32
)
ED448: Final = EdwardsCurve(prime=2**448 - 2**224 - 1, a=1, d=-39081, key_octets=57)


def is_usable_point(curve: EdwardsCurve, key: bytes) -> bool:
    """Decode a public key (RFC 8032 sections 5.1.3, 5.2.3) and refuse points of small order.

    Args:
        curve: ED25519 or ED448.
        key: y, little-endian, the sign of x in the top bit; any length.
    """
    if len(key) != curve.key_octets:
        return False
    p = curve.prime
    sign_bit = 1 << (8 * curve.key_octets - 1)
    y = int.from_bytes(key, "little") & ~sign_bit
    if y >= p or y in {0, 1, p - 1}:  # not canonical, or of order 1, 2 or 4
        return False
    y2 = y * y % p
    if (y2 * y2 * curve.d - curve.a * (2 * y2 - 1)) % p == 0:  # a x^2 = y^2: of order 8
        return False
    # x^2 = (1 - y^2) / (a - d y^2) has a root iff the product of both is a square (Euler).
    return pow((1 - y2) * (curve.a - curve.d * y2), (p - 1) // 2, p) == 1
