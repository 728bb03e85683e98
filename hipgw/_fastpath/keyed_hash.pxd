"""SipHash-1-3 of a few 64-bit words: what the tables of the fast path hash with.

The key is random for each process, so nobody who picks SPIs, HITs or ports can make them
collide.  A message is whole words; the closing word carries its length, as SipHash defines it
(Aumasson and Bernstein, "SipHash: a fast short-input PRF", section 2).
"""

from libc.stdint cimport uint64_t

cdef struct HashKey:
    uint64_t k0
    uint64_t k1

cdef inline uint64_t rotate_left(uint64_t word, int bits) noexcept nogil:
    return (word << bits) | (word >> (64 - bits))


cdef inline void sip_round(uint64_t *v) noexcept nogil:
    v[0] += v[1]
    v[1] = rotate_left(v[1], 13) ^ v[0]
    v[0] = rotate_left(v[0], 32)
    v[2] += v[3]
    v[3] = rotate_left(v[3], 16) ^ v[2]
    v[0] += v[3]
    v[3] = rotate_left(v[3], 21) ^ v[0]
    v[2] += v[1]
    v[1] = rotate_left(v[1], 17) ^ v[2]
    v[2] = rotate_left(v[2], 32)


cdef inline uint64_t hash_words(const HashKey *key, const uint64_t *words, int n) noexcept nogil:
    """SipHash-1-3 of `n` words (taken as little-endian octets), 64 bits."""
    cdef uint64_t v[4]
    cdef uint64_t closing = (<uint64_t>(8 * n) & 0xff) << 56
    cdef int i
    v[0] = key.k0 ^ <uint64_t>0x736f6d6570736575
    v[1] = key.k1 ^ <uint64_t>0x646f72616e646f6d
    v[2] = key.k0 ^ <uint64_t>0x6c7967656e657261
    v[3] = key.k1 ^ <uint64_t>0x7465646279746573
    for i in range(n):
        v[3] ^= words[i]
        sip_round(v)
        v[0] ^= words[i]
    v[3] ^= closing
    sip_round(v)
    v[0] ^= closing
    v[2] ^= 0xff
    sip_round(v)
    sip_round(v)
    sip_round(v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]
