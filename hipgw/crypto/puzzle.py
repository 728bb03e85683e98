"""The puzzle that makes a base exchange cost its Initiator something (RFC 7401 section 4.1.2).

Three suites go to the Cython kernel.  The cSHAKE of suite 5 has no function below OpenSSL's EVP
that the kernel could use, and nobody floods with an experimental suite: it stays Python.
"""

from __future__ import annotations

from typing import Final

from hipgw._fastpath.puzzle import check, solve
from hipgw.crypto.rhash import RhashState, start_rhash
from hipgw.errors import CryptoError
from hipgw.values import RHASH_OCTETS, Hit, HitSuite

_KERNEL_SUITES: Final = frozenset(
    {HitSuite.RSA_DSA_SHA256, HitSuite.ECDSA_SHA384, HitSuite.ECDSA_LOW_SHA1}
)
_COUNTER_OCTETS: Final = 8


def puzzle_is_solved(  # noqa: PLR0917 - one for each input of RFC 7401 section 6.3
    suite: HitSuite, k: int, i: bytes, hit_i: Hit, hit_r: Hit, j: bytes
) -> bool:
    """Check that the K low-order bits of RHASH(I | HIT-I | HIT-R | J) are zero.

    Args:
        suite: the Responder's HIT suite.
        k: difficulty in bits, 0..255; 0 accepts every J of the right length.
        i: nonce of the Responder, RHASH length.
        hit_i: the Initiator's HIT, by role and not by place in the header.
        hit_r: the Responder's HIT.
        j: the solution, RHASH length.

    Returns:
        False also when I or J has a wrong length, or K is beyond the digest; never raises.
    """
    size = RHASH_OCTETS[suite]
    if not len(i) == len(j) == size or not 0 <= k <= 8 * size:
        return False
    if k == 0:  # the usual case in quiet times
        return True
    if suite in _KERNEL_SUITES:
        return check(size, k, i, hit_i.packed, hit_r.packed, j)
    state = _start(suite, i, hit_i, hit_r)
    state.update(j)
    return not int.from_bytes(state.digest(), "big") & ((1 << k) - 1)


def solve_puzzle(
    suite: HitSuite, k: int, i: bytes, hit_i: Hit, hit_r: Hit, *, start_j: bytes, tries: int
) -> bytes | None:
    """Look for a J that solves the puzzle.

    About 2^K tries are needed.  The search counts upwards in the last 64 bits of J, wrapping
    around; to go on after None, start again from another random J.  Other threads run meanwhile.

    Args:
        suite: the Responder's HIT suite.
        k: difficulty in bits; 0 returns `start_j` at once.
        i: nonce of the Responder, RHASH length.
        hit_i: the Initiator's HIT.
        hit_r: the Responder's HIT.
        start_j: random octets, RHASH length, the first J that is tried.
        tries: how many values of J to try, so the caller can look at its clock; below 2^63.

    Returns:
        J, or None when none of the tries solved the puzzle.

    Raises:
        CryptoError: I, J or K has a value that no puzzle of this suite can have.
    """
    size = RHASH_OCTETS[suite]
    if not len(i) == len(start_j) == size or not 0 <= k <= 8 * size:
        raise CryptoError(
            f"puzzle with K {k}, I of {len(i)} and J of {len(start_j)} octets:"
            f" {suite.name} needs {size} octets and K up to {8 * size}"
        )
    if k == 0:
        return start_j
    if suite in _KERNEL_SUITES:
        return solve(size, k, i, hit_i.packed, hit_r.packed, start_j, tries)
    return _solve_slowly(k, _start(suite, i, hit_i, hit_r), start_j, tries)


def _start(suite: HitSuite, i: bytes, hit_i: Hit, hit_r: Hit) -> RhashState:
    """Hash what does not change between tries: I | HIT-I | HIT-R (RFC 7401 section 6.3)."""
    state = start_rhash(suite)
    state.update(i + hit_i.packed + hit_r.packed)
    return state


def _solve_slowly(k: int, prefix: RhashState, start_j: bytes, tries: int) -> bytes | None:
    """Search in Python, for a suite without a kernel."""
    prefix.update(start_j[:-_COUNTER_OCTETS])
    counter = int.from_bytes(start_j[-_COUNTER_OCTETS:], "big")
    low_octets = (k + 7) // 8
    mask = (1 << k) - 1
    for step in range(tries):
        tail = ((counter + step) % (1 << 64)).to_bytes(_COUNTER_OCTETS, "big")
        state = prefix.copy()
        state.update(tail)
        if not int.from_bytes(state.digest()[-low_octets:], "big") & mask:
            return start_j[:-_COUNTER_OCTETS] + tail
    return None
