"""The puzzle of RFC 7401 section 4.1.2 and RFC 5201 section 4.1.2: K bits of a digest are zero.

Steps of a search:
1. Lay out I | HIT-I | HIT-R | J and the padding of FIPS 180-4 section 5.1 in whole blocks.
2. Compress the blocks before the counter once; their chaining value starts every try. With SHA-1
   and SHA-256 that leaves one block for each try. SHA-384 has the counter in the first of its
   two blocks and the padding in the second, so both remain.
3. A try: copy the chaining value, compress what remains, compare under a mask. The digest is never
   written out: the mask is laid out like the chaining value instead.
4. Not solved: the last 64 bits of J count up, big-endian, wrapping around into themselves.

Tries take turns between two copies of the message: the counter of the next one is stored before
this one is hashed. A block whose counter was stored just before its hash loads it would stall on
that store, and processors with SHA instructions could not overlap one try with the next: measured
22 instead of 33 million tries a second with SHA-256, 23 instead of 38 with SHA-1.

A `Puzzle` lies on the stack of the caller, so any number of threads search at once. It holds
nothing secret and is not wiped.
"""

from libc.stdint cimport uint32_t
from libc.string cimport memcpy, memset

from hipgw._fastpath.c.sha cimport SHA_CHAINING_OCTETS, ShaTransform
from hipgw._fastpath.hashes cimport hash_of
from hipgw._fastpath.octets cimport load_be32, load_be64, store_be64

LOW_BITS = 1
OPENHIP_BITS = 2

cdef enum:
    RULE_LOW_BITS = 1               # LOW_BITS: the K low-order bits of the digest
    RULE_OPENHIP = 2                # OPENHIP_BITS: those of octets 12 to 19 read as little-endian
    OPENHIP_WORD_AT = 12
    NONCE_V1_OCTETS = 8             # RFC 5201 section 5.2.4
    DIGEST_V1_OCTETS = 20           # SHA-1


cdef bint puzzle_search(Puzzle *puzzle, int64_t tries) noexcept nogil:
    """Find the first J, counting up from the one in `message`; whether there was one."""
    cdef uint8_t[2 * MESSAGE_MOST] turns
    cdef uint8_t *message = turns               # of this try
    cdef uint8_t *other = turns + MESSAGE_MOST  # of the next one
    cdef uint8_t *swap
    cdef const uint64_t *mask = puzzle.mask
    cdef uint64_t counter = load_be64(puzzle.message + puzzle.counter_at)
    cdef ShaTransform transform = puzzle.hash.transform
    cdef int step = puzzle.hash.block_octets
    cdef int counter_at = puzzle.counter_at
    cdef int start_at = puzzle.first_block_at
    cdef int end = puzzle.message_octets
    cdef ShaState state
    cdef int at
    memcpy(message, puzzle.message, MESSAGE_MOST)
    memcpy(other, puzzle.message, MESSAGE_MOST)
    while tries > 0:
        store_be64(other + counter_at, counter + 1)
        memcpy(&state, &puzzle.start, SHA_CHAINING_OCTETS)
        at = start_at
        while at < end:
            transform(&state, message + at)
            at += step
        if (
            (state.words[0] & mask[0]) | (state.words[1] & mask[1])
            | (state.words[2] & mask[2]) | (state.words[3] & mask[3])
            | (state.words[4] & mask[4]) | (state.words[5] & mask[5])
            | (state.words[6] & mask[6]) | (state.words[7] & mask[7])
        ) == 0:
            store_be64(puzzle.message + counter_at, counter)
            return True
        swap = message
        message = other
        other = swap
        counter += 1
        tries -= 1
    return False


cdef void _mask_bits(uint8_t *digest, int at, int step, int k) noexcept nogil:
    """Set K bits from the low end of octet `at` on, going to octet `at + step` after eight."""
    while k >= 8:
        digest[at] = 0xff
        at += step
        k -= 8
    if k > 0:
        digest[at] |= <uint8_t>((1 << k) - 1)


cdef void _set_mask(Puzzle *puzzle, int k, int rules) noexcept nogil:
    """The bits that `rules` name, as words of the machine in the places of the chaining value."""
    cdef uint8_t[SHA_CHAINING_OCTETS] digest
    cdef uint32_t narrow
    cdef int at = 0
    memset(digest, 0, sizeof(digest))
    if rules & RULE_LOW_BITS:
        _mask_bits(digest, puzzle.hash.digest_octets - 1, -1, k)
    if rules & RULE_OPENHIP:
        _mask_bits(digest, OPENHIP_WORD_AT, 1, k)
    while at < SHA_CHAINING_OCTETS:
        if puzzle.hash.word_octets == 4:
            narrow = load_be32(digest + at)
            memcpy(<uint8_t *>puzzle.mask + at, &narrow, 4)
            at += 4
        else:
            puzzle.mask[at // 8] = load_be64(digest + at)
            at += 8


cdef void _lay_out(
    Puzzle *puzzle, int nonce_octets, const uint8_t *i, const uint8_t *hit_i,
    const uint8_t *hit_r, const uint8_t *j,
) noexcept nogil:
    """Message, padding and the chaining value before the counter; `hash` is set already."""
    cdef const Hash *hash = puzzle.hash
    cdef int octets = 2 * nonce_octets + 2 * HIT_OCTETS
    cdef int length_field = 2 * hash.word_octets
    cdef int block
    memset(puzzle.message, 0, MESSAGE_MOST)
    memcpy(puzzle.message, i, nonce_octets)
    memcpy(puzzle.message + nonce_octets, hit_i, HIT_OCTETS)
    memcpy(puzzle.message + nonce_octets + HIT_OCTETS, hit_r, HIT_OCTETS)
    memcpy(puzzle.message + nonce_octets + 2 * HIT_OCTETS, j, nonce_octets)
    puzzle.message[octets] = 0x80
    puzzle.counter_at = octets - COUNTER_OCTETS
    puzzle.message_octets = hash.block_octets * (
        (octets + 1 + length_field + hash.block_octets - 1) // hash.block_octets)
    store_be64(puzzle.message + puzzle.message_octets - 8, 8 * octets)
    puzzle.first_block_at = hash.block_octets * (puzzle.counter_at // hash.block_octets)
    memset(&puzzle.start, 0, sizeof(ShaState))
    hash.init(&puzzle.start)
    for block in range(puzzle.first_block_at // hash.block_octets):
        hash.transform(&puzzle.start, puzzle.message + block * hash.block_octets)


cdef int _prepare(
    Puzzle *puzzle, int rhash, int nonce_octets, int k, int k_most, int rules,
    bytes i, bytes hit_i, bytes hit_r, bytes j,
) except -1:
    """Check every length, then fill `puzzle`; 0 when I, J or K cannot be of such a puzzle."""
    puzzle.hash = hash_of(rhash)
    if puzzle.hash == NULL:
        raise ValueError(f"no RHASH has {rhash} octets: expected 20, 32 or 48")
    if not len(hit_i) == len(hit_r) == HIT_OCTETS:
        raise ValueError(f"expected HITs of 16 octets, got {len(hit_i)} and {len(hit_r)}")
    if not len(i) == len(j) == nonce_octets or not 0 <= k <= k_most:
        return 0
    _set_mask(puzzle, k, rules)
    _lay_out(puzzle, nonce_octets, i, hit_i, hit_r, j)
    return 1


cdef bytes _search(Puzzle *puzzle, int nonce_octets, int64_t tries):
    """The J that solves a prepared puzzle, or None; the GIL is released meanwhile."""
    cdef bint found
    cdef const uint8_t *j = puzzle.message + nonce_octets + 2 * HIT_OCTETS
    with nogil:
        found = puzzle_search(puzzle, tries)
    return j[:nonce_octets] if found else None


cdef int _rules_v1(int rules) except -1:
    if not 1 <= rules <= (RULE_LOW_BITS | RULE_OPENHIP):
        raise ValueError(f"rules {rules}: expected LOW_BITS, OPENHIP_BITS or both of them")
    return rules


# The checks keep the GIL: one try takes a fraction of a microsecond, and to win the GIL back from
# a thread that computes can take a switch interval of 5 ms.

def check(
    int rhash, int k, bytes i not None, bytes hit_i not None, bytes hit_r not None,
    bytes j not None,
) -> bool:
    """Whether the K low-order bits of RHASH(I | HIT-I | HIT-R | J) are zero (RFC 7401 section 6.3).

    `rhash` is the octets of the digest: 20 SHA-1, 32 SHA-256, 48 SHA-384. False also when I or J
    is not of that length or K not in 0..8 * rhash; ValueError for any other `rhash` or HIT length.
    """
    cdef Puzzle puzzle
    return bool(_prepare(
        &puzzle, rhash, rhash, k, 8 * rhash, RULE_LOW_BITS, i, hit_i, hit_r, j,
    ) and puzzle_search(&puzzle, 1))


def solve(
    int rhash, int k, bytes i not None, bytes hit_i not None, bytes hit_r not None,
    bytes start_j not None, int64_t tries,
) -> bytes | None:
    """The first J from `start_j` on that `check` accepts; None: not one of `tries` values.

    The GIL is released; some million tries take a second. ValueError where `check` is False for
    a length or for K.
    """
    cdef Puzzle puzzle
    if not _prepare(
        &puzzle, rhash, rhash, k, 8 * rhash, RULE_LOW_BITS, i, hit_i, hit_r, start_j,
    ):
        raise ValueError(f"expected I and J of {rhash} octets and K up to {8 * rhash}")
    return _search(&puzzle, rhash, tries)


def check_v1(
    int rules, int k, bytes i not None, bytes hit_i not None, bytes hit_r not None,
    bytes j not None,
) -> bool:
    """As `check` for HIPv1: SHA-1, I and J of 8 octets, K up to 64 (RFC 5201 section 6.3).

    `rules` says which K bits are zero: LOW_BITS, OPENHIP_BITS, or both with `|`.
    """
    cdef Puzzle puzzle
    return bool(_prepare(
        &puzzle, DIGEST_V1_OCTETS, NONCE_V1_OCTETS, k, 64, _rules_v1(rules), i, hit_i, hit_r, j,
    ) and puzzle_search(&puzzle, 1))


def solve_v1(
    int rules, int k, bytes i not None, bytes hit_i not None, bytes hit_r not None,
    bytes start_j not None, int64_t tries,
) -> bytes | None:
    """As `solve` for HIPv1; `rules` as in `check_v1`."""
    cdef Puzzle puzzle
    if not _prepare(
        &puzzle, DIGEST_V1_OCTETS, NONCE_V1_OCTETS, k, 64, _rules_v1(rules), i, hit_i, hit_r,
        start_j,
    ):
        raise ValueError(f"expected I and J of {NONCE_V1_OCTETS} octets and K up to 64")
    return _search(&puzzle, NONCE_V1_OCTETS, tries)
