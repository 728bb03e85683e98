"""The puzzle of HIPv1: I and J of 64 bits, always SHA-1 (RFC 5201 sections 5.2.4, 6.3)."""

from __future__ import annotations

from enum import Enum
from typing import Final

from hipgw._fastpath.puzzle import LOW_BITS, OPENHIP_BITS, check_v1, solve_v1
from hipgw.errors import CryptoError
from hipgw.values import Hit

NONCE_V1_OCTETS: Final = 8
"""Of I and of J."""
PUZZLE_V1_K_MOST: Final = 64
"""J has no more bits to vary."""


class PuzzleRule(Enum):
    """Which K bits of SHA-1(I | HIT-I | HIT-R | J) a solution makes zero."""

    RFC_5201 = "rfc5201"
    """The K low-order bits, those at the end of the digest (section 6.3)."""
    OPENHIP = "openhip"
    """The K low-order bits of octets 12 to 19 read as a little-endian number, as OpenHIP 0.9 does
    on the machines of today; up to eight of them lie in octet 12."""
    BOTH = "both"
    """Both at once, 2^2K tries: for an Initiator that does not know what its peer checks."""


_KERNEL_RULES: Final = {
    PuzzleRule.RFC_5201: LOW_BITS,
    PuzzleRule.OPENHIP: OPENHIP_BITS,
    PuzzleRule.BOTH: LOW_BITS | OPENHIP_BITS,
}


def puzzle_v1_is_solved(
    k: int, i: bytes, hit_i: Hit, hit_r: Hit, j: bytes, *, rule: PuzzleRule = PuzzleRule.RFC_5201
) -> bool:
    """Check the solution of a HIPv1 puzzle.

    Args:
        k: difficulty in bits, 0..64; 0 accepts every J of 8 octets.
        i: nonce of the Responder, 8 octets.
        hit_i: the Initiator's HIT, by role and not by place in the header.
        hit_r: the Responder's HIT.
        j: the solution, 8 octets.
        rule: which bits count.

    Returns:
        False also when a length or K is wrong; never raises.
    """
    if not len(i) == len(j) == NONCE_V1_OCTETS or not 0 <= k <= PUZZLE_V1_K_MOST:
        return False
    return check_v1(_KERNEL_RULES[rule], k, i, hit_i.packed, hit_r.packed, j)


def solve_puzzle_v1(
    k: int,
    i: bytes,
    hit_i: Hit,
    hit_r: Hit,
    *,
    start_j: bytes,
    tries: int,
    rule: PuzzleRule = PuzzleRule.RFC_5201,
) -> bytes | None:
    """Look for a J that solves a HIPv1 puzzle, counting upwards from `start_j`.

    About 2^K tries are needed, 2^2K with `PuzzleRule.BOTH`.  Other threads run meanwhile.

    Args:
        k: difficulty in bits; 0 returns `start_j` at once.
        i: nonce of the Responder, 8 octets.
        hit_i: the Initiator's HIT.
        hit_r: the Responder's HIT.
        start_j: 8 random octets, the first J that is tried.
        tries: how many values of J to try, so the caller can look at its clock; below 2^63.
        rule: which bits the Responder checks.

    Returns:
        J, or None when none of the tries solved the puzzle.

    Raises:
        CryptoError: I, J or K has a value that no puzzle of HIPv1 can have.
    """
    if not len(i) == len(start_j) == NONCE_V1_OCTETS or not 0 <= k <= PUZZLE_V1_K_MOST:
        raise CryptoError(
            f"puzzle with K {k}, I of {len(i)} and J of {len(start_j)} octets: HIPv1 needs"
            f" {NONCE_V1_OCTETS} octets and K up to {PUZZLE_V1_K_MOST}"
        )
    if k == 0:
        return start_j
    return solve_v1(_KERNEL_RULES[rule], k, i, hit_i.packed, hit_r.packed, start_j, tries)
