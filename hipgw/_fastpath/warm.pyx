"""Brings what a batch will look up near, before it is looked up.

With many SAs a look-up goes to memory twice: for the bucket, and for the SA.  One packet after the
other would wait each time.  Here all buckets of a batch are asked for at once, then all SAs, so
that a batch waits about as long as one packet.  With few SAs everything is near anyway, and this
does nothing.

Only hints are given: what is read may be of another SA by the time it is used, and a packet that is
not understood here is left to `classify`.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from hipgw._fastpath.c.atomics cimport ATOMIC_ACQUIRE, ATOMIC_RELAXED, load_pointer, load_u64
from hipgw._fastpath.descriptor cimport BATCH_MOST, FORWARD, PacketDesc
from hipgw._fastpath.hash_table cimport TOMBSTONE, Table
from hipgw._fastpath.octets cimport load_be32
from hipgw._fastpath.sa cimport REPLAY_WORDS, SaIn, SaOut
from hipgw._fastpath.tables cimport tag_of_lsis, tag_of_pair, tag_of_spi

cdef extern from * nogil:
    void prefetch "__builtin_prefetch"(const void *place)

cdef enum:
    LINE = 64
    NEAR_BUCKETS = 2048             # up to here a table and its SAs stay in a core's own cache


cdef struct Asked:
    Table *table
    uint64_t tag


cdef inline void ask(Asked *asked, Table *table, uint64_t tag) noexcept nogil:
    asked.table = table
    asked.tag = tag
    prefetch(&table.buckets[tag & table.mask])


cdef inline void fetch(const uint8_t *p, uint32_t octets) noexcept nogil:
    cdef uint32_t k = 0
    while k < octets:
        prefetch(p + k)
        k += LINE


cdef inline const uint8_t *named_by(const Asked *asked) noexcept nogil:
    """What the first bucket of this tag names, or NULL."""
    cdef Table *table = asked.table
    cdef uint64_t i = asked.tag & table.mask
    cdef void *sa
    while True:
        sa = load_pointer(&table.buckets[i].sa, ATOMIC_ACQUIRE)
        if sa == NULL:
            return NULL
        if (sa != <void *>TOMBSTONE
                and load_u64(&table.buckets[i].tag, ATOMIC_RELAXED) == asked.tag):
            return <const uint8_t *>sa
        i = (i + 1) & table.mask


cdef void warm_outbound(
        const uint8_t *arena, const PacketDesc *desc, Py_ssize_t n, SaIndex *index) noexcept nogil:
    cdef Asked asked[BATCH_MOST]
    cdef Table *pairs = <Table *>load_pointer(<void **>&index.out_by_pair, ATOMIC_ACQUIRE)
    cdef Table *lsis = <Table *>load_pointer(<void **>&index.out_by_lsi, ATOMIC_ACQUIRE)
    cdef Py_ssize_t count = 0
    cdef Py_ssize_t i
    cdef uint64_t before = 0
    cdef const uint8_t *p
    if pairs.mask < NEAR_BUCKETS:
        return
    for i in range(n):
        p = arena + desc[i].offset
        if desc[i].verdict != FORWARD:
            continue
        if desc[i].length >= 40 and p[0] >> 4 == 6:
            ask(&asked[count], pairs, tag_of_pair(index, p + 8, p + 24))
        elif desc[i].length >= 20 and p[0] >> 4 == 4:
            ask(&asked[count], lsis, tag_of_lsis(index, p + 12, p + 16))
        else:
            continue
        if asked[count].tag != before:
            before = asked[count].tag
            count += 1
    for i in range(count):
        p = named_by(&asked[i])
        if p != NULL:
            fetch(p, sizeof(SaOut))


cdef void warm_inbound(
        const uint8_t *arena, const PacketDesc *desc, Py_ssize_t n, uint32_t skip,
        SaIndex *index) noexcept nogil:
    cdef Asked asked[BATCH_MOST]
    cdef uint32_t word[BATCH_MOST]      # of the replay window
    cdef Table *spis = <Table *>load_pointer(<void **>&index.in_by_spi, ATOMIC_ACQUIRE)
    cdef Py_ssize_t count = 0
    cdef Py_ssize_t i
    cdef uint32_t before = 0
    cdef const uint8_t *p
    if spis.mask < NEAR_BUCKETS:
        return
    for i in range(n):
        if desc[i].verdict != FORWARD or desc[i].length < skip + 8:
            continue
        p = arena + desc[i].offset + skip
        if load_be32(p) != before:
            before = load_be32(p)
            ask(&asked[count], spis, tag_of_spi(index, before))
            word[count] = (load_be32(p + 4) >> 6) % REPLAY_WORDS
            count += 1
    for i in range(count):
        p = named_by(&asked[i])
        if p != NULL:
            fetch(p, sizeof(SaIn) - REPLAY_WORDS * 8)
            prefetch(&(<const SaIn *>p).replay.words[word[i]])
