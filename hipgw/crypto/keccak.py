"""cSHAKE128 and KMAC128 of NIST SP 800-185, which neither hashlib nor `cryptography` offers.

Needed for HIT suite 5 only (RFC 9374 section 3.4.2): its HITs, and its MAC.  Pure Python, some
0.25 ms per 168 octets, one reason why suite 5 is experimental here.  Plain SHAKE128, the
RHASH of suite 5, comes from hashlib.
"""

from __future__ import annotations

import functools
import hashlib
from typing import Final

RATE_OCTETS: Final = 168
_LANE_MASK: Final = (1 << 64) - 1
_CSHAKE_SUFFIX: Final = 0x04


def _round_constants() -> tuple[int, ...]:
    """FIPS 202 section 3.2.5: bits of an 8-bit feedback register, at positions 2^j - 1."""
    register = 1
    constants = []
    for _ in range(24):
        constant = 0
        for j in range(7):
            constant |= (register & 1) << ((1 << j) - 1)
            register = (register << 1) ^ (0x171 if register & 0x80 else 0)
        constants.append(constant)
    return tuple(constants)


def _rho_pi_steps() -> tuple[tuple[int, int, int], ...]:
    """FIPS 202 sections 3.2.2, 3.2.3: (source lane, destination lane, left rotation in bits)."""
    steps = [(0, 0, 0)]
    x, y = 1, 0
    for t in range(24):
        steps.append((x + 5 * y, y + 5 * ((2 * x + 3 * y) % 5), (t + 1) * (t + 2) // 2 % 64))
        x, y = y, (2 * x + 3 * y) % 5
    return tuple(steps)


_ROUND_CONSTANTS: Final = _round_constants()
_RHO_PI: Final = _rho_pi_steps()


def _permute(lanes: list[int]) -> list[int]:
    """Keccak-p[1600, 24] (FIPS 202 section 3.3); lane (x, y) is at index x + 5 * y."""
    for constant in _ROUND_CONSTANTS:
        parity = [
            lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20]
            for x in range(5)
        ]
        spread = [
            parity[x - 1] ^ ((parity[x - 4] << 1 | parity[x - 4] >> 63) & _LANE_MASK)
            for x in range(5)
        ]
        moved = [0] * 25
        for source, destination, bits in _RHO_PI:
            lane = lanes[source] ^ spread[source % 5]
            moved[destination] = (lane << bits | lane >> (64 - bits)) & _LANE_MASK
        lanes = [
            moved[y + x] ^ (~moved[y + (x + 1) % 5] & moved[y + (x + 2) % 5])
            for y in range(0, 25, 5)
            for x in range(5)
        ]
        lanes[0] ^= constant
    return lanes


def _absorb(lanes: list[int], blocks: bytes) -> list[int]:
    """Absorb whole blocks at rate 1344 bits (FIPS 202 section 4)."""
    for offset in range(0, len(blocks), RATE_OCTETS):
        block = blocks[offset : offset + RATE_OCTETS]
        mixed = [
            lane ^ int.from_bytes(block[8 * index : 8 * index + 8], "little")
            for index, lane in enumerate(lanes)
        ]
        lanes = _permute(mixed)
    return lanes


def _squeeze(lanes: list[int], length_octets: int) -> bytes:
    """Read the output, permuting between blocks (FIPS 202 section 4)."""
    output = bytearray()
    while True:
        for lane in lanes[: RATE_OCTETS // 8]:
            output += lane.to_bytes(8, "little")
        if len(output) >= length_octets:
            return bytes(output[:length_octets])
        lanes = _permute(lanes)


def _integer_octets(value: int) -> bytes:
    return value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")


def _left_encode(value: int) -> bytes:
    octets = _integer_octets(value)
    return bytes([len(octets)]) + octets


def _right_encode(value: int) -> bytes:
    octets = _integer_octets(value)
    return octets + bytes([len(octets)])


def _encode_string(string: bytes) -> bytes:
    return _left_encode(8 * len(string)) + string


def _byte_pad(octets: bytes) -> bytes:
    padded = _left_encode(RATE_OCTETS) + octets
    return padded + bytes(-len(padded) % RATE_OCTETS)


@functools.lru_cache(maxsize=8)
def _after_head(function: bytes, customization: bytes) -> tuple[int, ...]:
    """State after absorbing N and S, the same for every message."""
    head = _byte_pad(_encode_string(function) + _encode_string(customization))
    return tuple(_absorb([0] * 25, head))


def cshake128(
    message: bytes, length_octets: int, *, function: bytes = b"", customization: bytes = b""
) -> bytes:
    """Customizable SHAKE128.

    Args:
        message: X, any length.
        length_octets: octets wanted (L / 8).
        function: N, a function name that NIST assigns.
        customization: S.

    Returns:
        Exactly `length_octets` octets; those of SHAKE128 when N and S are both empty.

    Source: SP 800-185 section 3.
    """
    if not function and not customization:
        return hashlib.shake_128(message).digest(length_octets)
    padded = bytearray(message)
    padded.append(_CSHAKE_SUFFIX)
    padded.extend(bytes(-len(padded) % RATE_OCTETS))
    padded[-1] ^= 0x80
    lanes = _absorb(list(_after_head(function, customization)), bytes(padded))
    return _squeeze(lanes, length_octets)


def kmac128(key: bytes, message: bytes, length_octets: int, *, customization: bytes = b"") -> bytes:
    """Keccak message authentication code with a fixed output length (SP 800-185 section 4)."""
    body = _byte_pad(_encode_string(key)) + message + _right_encode(8 * length_octets)
    return cshake128(body, length_octets, function=b"KMAC", customization=customization)
