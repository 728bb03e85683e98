"""Pairs of HITs whose I1s are the engine's: one writer, one reader without locks (claims.pyx)."""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcmp, memcpy

from hipgw._fastpath.c.atomics cimport ATOMIC_ACQUIRE, ATOMIC_RELAXED, load_pointer, load_u64
from hipgw._fastpath.hash_table cimport TOMBSTONE, Table
from hipgw._fastpath.keyed_hash cimport HashKey, hash_words
from hipgw._fastpath.quiet cimport Marks, Retired, RetiredList

cdef struct Pair:
    uint8_t hits[32]            # local, peer
    Retired end

cdef struct Claims:
    HashKey key
    Table *pairs                # Pair
    Marks *marks                # of the workers
    RetiredList retired


cdef inline uint64_t tag_of_hits(const Claims *claims, const uint8_t *hits) noexcept nogil:
    cdef uint64_t words[4]
    memcpy(words, hits, 32)
    return hash_words(&claims.key, words, 4)


cdef inline Pair *find_claim(Claims *claims, const uint8_t *hits) noexcept nogil:
    """The claim on local and peer HIT (32 octets), or NULL; a worker, inside a batch."""
    cdef uint64_t tag = tag_of_hits(claims, hits)
    cdef Table *table = <Table *>load_pointer(<void **>&claims.pairs, ATOMIC_ACQUIRE)
    cdef uint64_t i = tag & table.mask
    cdef void *pair
    while True:
        pair = load_pointer(&table.buckets[i].sa, ATOMIC_ACQUIRE)
        if pair == NULL:
            return NULL
        if (pair != <void *>TOMBSTONE and load_u64(&table.buckets[i].tag, ATOMIC_RELAXED) == tag
                and memcmp((<Pair *>pair).hits, hits, 32) == 0):
            return <Pair *>pair
        i = (i + 1) & table.mask


# 0, or -1 without memory.
cdef int claims_init(Claims *claims, Marks *marks) noexcept
# Only when no worker runs.
cdef void claims_free(Claims *claims) noexcept

# Claim a pair, or let go of it; harmless when that is so already. -1 without memory.
cdef int claims_set(Claims *claims, const uint8_t *hits, bint is_claimed) noexcept
