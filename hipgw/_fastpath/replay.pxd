"""Anti-replay window of one inbound SA (RFC 6479); see replay.pyx."""

from libc.stdint cimport uint32_t, uint64_t

from hipgw._fastpath.reasons cimport R_NONE, R_REPLAYED, R_TOO_OLD
from hipgw._fastpath.sa cimport REPLAY_WORDS, Replay


cdef inline int replay_check(const Replay *r, uint64_t sequence) noexcept nogil:
    """0 when `sequence` may still be accepted, else R_REPLAYED or R_TOO_OLD; changes nothing."""
    if sequence == 0:
        return R_REPLAYED           # a sender starts at 1 (RFC 4303 section 3.3.3)
    if sequence > r.top:
        return R_NONE
    if r.top - sequence >= (REPLAY_WORDS - 1) * 64:
        return R_TOO_OLD
    if (r.words[(sequence >> 6) % REPLAY_WORDS] >> (sequence & 63)) & 1:
        return R_REPLAYED
    return R_NONE


cdef inline uint64_t full_number(const Replay *r, uint32_t low) noexcept nogil:
    """The extended sequence number whose lower half is `low` (RFC 4303 section A2.2).

    Of all that have it, the one that is neither left of the window nor 2^32 to the right of its
    left edge. A number from before 0 comes out close to 2^64; `is_beyond` tells.
    """
    cdef uint64_t edge = r.top - ((REPLAY_WORDS - 1) * 64 - 1)
    return edge + <uint32_t>(low - <uint32_t>edge)


cdef inline bint is_beyond(const Replay *r, uint64_t sequence) noexcept nogil:
    """Whether a number from `full_number` is none that a sender can have used."""
    return sequence > r.top and sequence - r.top > <uint64_t>0xffffffff


cdef inline void replay_mark(Replay *r, uint64_t sequence) noexcept nogil:
    """Remember `sequence`; only after replay_check returned 0 for it and its ICV was right."""
    cdef uint64_t block = sequence >> 6
    cdef uint64_t cleared
    if sequence > r.top:
        cleared = r.top >> 6
        if block - cleared > REPLAY_WORDS:
            cleared = block - REPLAY_WORDS
        while cleared < block:
            cleared += 1
            r.words[cleared % REPLAY_WORDS] = 0
        r.top = sequence
    r.words[block % REPLAY_WORDS] |= (<uint64_t>1) << (sequence & 63)
