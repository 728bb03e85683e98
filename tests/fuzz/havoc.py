"""Invariant: the same seed gives the same octets.

A small stand-in for libFuzzer's mutator, for runs that must repeat exactly.
"""

from __future__ import annotations

import random

from tests.fuzz.target import Havoc

STRIKING = (b"\0", b"\xff", b"\x7f", b"\x80", b"\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\xff")


def havoc_of(rng: random.Random) -> Havoc:
    """A mutator that draws from `rng`."""

    def havoc(octets: bytes, most: int) -> bytes:
        for _ in range(rng.randint(1, 4)):
            octets = _one_change(octets, rng)
        return octets[:most]

    return havoc


def _one_change(octets: bytes, rng: random.Random) -> bytes:
    if not octets:
        return rng.randbytes(rng.randint(1, 16))
    at = rng.randrange(len(octets))
    end = min(len(octets), at + rng.randint(1, 16))
    match rng.randrange(7):
        case 0:
            return octets[:at] + bytes([octets[at] ^ 1 << rng.randrange(8)]) + octets[at + 1 :]
        case 1:
            return octets[:at] + rng.randbytes(1) + octets[at + 1 :]
        case 2:
            return octets[:at] + octets[end:]
        case 3:
            return octets[:at] + rng.randbytes(end - at) + octets[at:]
        case 4:
            return octets[:at] + octets[at:end] + octets[at:]
        case 5:
            striking = rng.choice(STRIKING)
            return octets[:at] + striking + octets[at + len(striking) :]
        case _:
            to = rng.randrange(len(octets))
            return octets[:to] + octets[at:end] + octets[to + end - at :]
