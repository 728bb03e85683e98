"""The nonce I of our puzzles: a keyed hash that anyone may see often and nobody can guess.

I is made when an I1 comes and made again when an I2 comes, so nothing is stored between the two
(RFC 7401 section 4.1.2, appendix A):

    I = Ltrunc(SHA-384(secret | HIT-I | HIT-R | addresses | opaque | stamp), n - s) | stamp

n octets are what the RHASH of the HIT suite wants, s = min(6, n // 2) of them are the stamp: when
the R1 was sent, in microseconds since its generation began.  It makes each I of an Initiator
different from those before, which one Diffie-Hellman key demands (section 4.1.2), and tells which
of two I2s answers the later R1, however many R1s a flood has drawn between them.

One hash serves all suites, because engine and data path both have it and it costs one compression:
the message has at most 104 octets.  A hash with the key in front is a pseudorandom function when
part of the last state is cut off, as in SHA-384 (Coron, Dodis, Malinaud and Puniya, "Merkle-Damgård
revisited", CRYPTO 2005, section 3.4); lengths are fixed for each address family besides.
"""

from __future__ import annotations

from typing import Final

from hipgw.crypto import rhash
from hipgw.values import Hit, HitSuite

STAMP_OCTETS_MOST: Final = 6
"""2^48 microseconds are nine years."""


_STAMP_MOST: Final = tuple((1 << 8 * octets) - 1 for octets in range(STAMP_OCTETS_MOST + 1))


def stamp_octets(nonce_octets: int) -> int:
    """How many octets of an I are its stamp."""
    half = nonce_octets // 2
    return half if half < STAMP_OCTETS_MOST else STAMP_OCTETS_MOST


def stamp_of(i: bytes) -> int:
    """The stamp that an I claims to have: microseconds since its generation began."""
    size = len(i)
    return int.from_bytes(i[size - stamp_octets(size) :], "big")


def puzzle_nonce(  # noqa: PLR0917 - one for each input of the hash
    secret: bytes,
    hit_i: Hit,
    hit_r: Hit,
    addresses: bytes,
    opaque: bytes,
    stamp: int,
    nonce_octets: int,
) -> bytes:
    """Make I.

    Args:
        secret: 32 octets that only we know.
        hit_i: the Initiator's HIT.
        hit_r: ours.
        addresses: the Initiator's and ours, packed; empty for puzzles not bound to addresses.
        opaque: 2 octets that come back with the solution.
        stamp: microseconds; cut to what fits.
        nonce_octets: RHASH length of our HIT suite; 8 in HIPv1.
    """
    octets = stamp_octets(nonce_octets)
    most = _STAMP_MOST[octets]
    tail = (stamp if stamp < most else most).to_bytes(octets, "big")
    message = secret + hit_i.packed + hit_r.packed + addresses + opaque + tail
    return rhash(HitSuite.ECDSA_SHA384, message)[: nonce_octets - octets] + tail


class R1Clock:
    """Microseconds, never the same twice: what tells R1s and agreements on keys apart."""

    def __init__(self) -> None:
        self._last = 0

    def tick(self, now: float) -> int:
        """A number above all before; that of `now` (monotonic seconds) unless time stands still."""
        self._last = max(self._last + 1, int(now * 1_000_000))
        return self._last
