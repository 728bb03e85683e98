"""The puzzle kernel; see puzzle.pyx."""

from libc.stdint cimport int64_t, uint8_t, uint64_t

from hipgw._fastpath.c.sha cimport SHA_CHAINING_WORDS, ShaState
from hipgw._fastpath.hashes cimport Hash

cdef enum:
    HIT_OCTETS = 16
    COUNTER_OCTETS = 8              # the end of J, the part of it that a search counts up
    MESSAGE_MOST = 256              # I | HIT-I | HIT-R | J of SHA-384 is 128 octets, then padding

cdef struct Puzzle:
    const Hash *hash
    ShaState start                  # after the blocks before the counter
    uint8_t message[MESSAGE_MOST]   # I | HIT-I | HIT-R | J | padding, whole blocks
    int message_octets
    int first_block_at              # octets: where the blocks that change begin
    int counter_at                  # octets: the last COUNTER_OCTETS of J
    uint64_t mask[SHA_CHAINING_WORDS]   # bits of the digest that must be 0, as ShaState has them

# Count J up to the first of `tries` values that solves the puzzle, the one in `message` included.
# True: that J stands in `message` now. False: nothing was changed.
cdef bint puzzle_search(Puzzle *puzzle, int64_t tries) noexcept nogil
