"""The puzzle, slowly, from RFC 7401 section 6.3 and RFC 5201 section 6.3."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

DIGEST_NAMES = {20: "sha1", 32: "sha256", 48: "sha384"}

Rule = Callable[[bytes, int], bool]


def low_bits_are_zero(digest: bytes, k: int) -> bool:
    """Ltrunc(RHASH(...), K) == 0: the K low-order bits of the digest as one big number."""
    return int.from_bytes(digest, "big") % (1 << k) == 0


def openhip_bits_are_zero(digest: bytes, k: int) -> bool:
    """OpenHIP 0.9 on a little-endian machine: octets 12 to 19 as its 64-bit integer."""
    return int.from_bytes(digest[12:20], "little") % (1 << k) == 0


def both_are_zero(digest: bytes, k: int) -> bool:
    return low_bits_are_zero(digest, k) and openhip_bits_are_zero(digest, k)


def is_solved(
    rhash: int, k: int, ends: tuple[bytes, bytes, bytes], j: bytes, rule: Rule = low_bits_are_zero
) -> bool:
    """Whether J solves the puzzle of `ends`: I, HIT-I and HIT-R."""
    return rule(hashlib.new(DIGEST_NAMES[rhash], b"".join(ends) + j).digest(), k)


def counted(start_j: bytes, steps: int) -> bytes:
    """J after so many steps: its last 64 bits are a big-endian counter, the rest stays."""
    count = (int.from_bytes(start_j[-8:], "big") + steps) % 2**64
    return start_j[:-8] + count.to_bytes(8, "big")


def steps_to_solution(
    rhash: int,
    k: int,
    ends: tuple[bytes, bytes, bytes],
    start_j: bytes,
    rule: Rule = low_bits_are_zero,
) -> int:
    """How often to count up from `start_j` until J solves the puzzle."""
    steps = 0
    while not is_solved(rhash, k, ends, counted(start_j, steps), rule):
        steps += 1
    return steps
