"""Security associations by SPI, by pair of HITs and by LSI: one writer, readers without locks.

Who may do what
    The control plane alone writes, holding the GIL.  A worker looks up between `enter_batch` and
    `leave_batch`, and keeps no pointer beyond.  What the writer takes out of a table it frees at a
    quiet point (quiet.pxd).
Order
    A bucket's tag is written before its pointer is published (release), and read after it
    (acquire).  A bucket can change hands between the two, so the key inside the SA, which never
    changes, has the last word.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from hipgw._fastpath.c.atomics cimport ATOMIC_ACQUIRE, ATOMIC_RELAXED, load_pointer, load_u64
from hipgw._fastpath.keyed_hash cimport HashKey, hash_words
from hipgw._fastpath.key_cache cimport KeyRoom
from hipgw._fastpath.octets cimport load_be32
from hipgw._fastpath.quiet cimport WORKERS_MOST, Marks, RetiredList
from hipgw._fastpath.sa cimport SaIn, SaOut
from hipgw._fastpath.slab cimport Slab
from hipgw._fastpath.hash_table cimport TOMBSTONE, Table
from hipgw._fastpath.subnets cimport Subnets

cdef enum:
    SPI_SHARE_MASK = 0xff       # a rekey keeps these bits, and with them the worker

cdef struct SaIndex:
    HashKey key
    Table *in_by_spi            # SaIn, inbound SPI
    Table *out_by_pair          # SaOut, local HIT and peer HIT: the current one of the pair
    Table *out_by_lsi           # SaOut, local LSI and peer LSI
    Table *out_by_spi           # SaOut, writer only: peers choose these, so they can repeat
    Subnets *subnets            # routed prefixes, or NULL
    Marks marks                 # of the workers
    KeyRoom keys[WORKERS_MOST]  # keyed state of SAs in use, a worker's own
    uint32_t pairs              # of workers: an SA belongs to one for good
    uint32_t steering           # an odd number that spreads HITs over them
    Slab ins                    # what the tables name; control plane only
    Slab outs


cdef inline uint16_t pair_of_spi(const SaIndex *index, uint32_t spi) noexcept nogil:
    """The pair of workers whose inbound SA this is; the sockets are steered alike (steering.py)."""
    return <uint16_t>((spi & SPI_SHARE_MASK) % index.pairs)


cdef inline uint16_t pair_of_hit(const SaIndex *index, const uint8_t *peer_hit) noexcept nogil:
    """The pair whose outbound SAs to this peer are; the TUN device is steered alike."""
    cdef uint32_t spread = load_be32(peer_hit + 12) * index.steering
    return <uint16_t>((spread >> 16) % index.pairs)


cdef inline uint64_t tag_of_spi(const SaIndex *index, uint32_t spi) noexcept nogil:
    cdef uint64_t word = spi
    return hash_words(&index.key, &word, 1)


cdef inline uint64_t tag_of_pair(
        const SaIndex *index, const uint8_t *local_hit, const uint8_t *peer_hit) noexcept nogil:
    cdef uint64_t words[4]
    memcpy(&words[0], local_hit, 16)
    memcpy(&words[2], peer_hit, 16)
    return hash_words(&index.key, words, 4)


cdef inline uint64_t tag_of_lsis(
        const SaIndex *index, const uint8_t *local_lsi, const uint8_t *peer_lsi) noexcept nogil:
    cdef uint64_t word
    memcpy(&word, local_lsi, 4)
    memcpy(<uint8_t *>&word + 4, peer_lsi, 4)
    return hash_words(&index.key, &word, 1)


cdef inline SaIn *find_in(SaIndex *index, uint32_t spi) noexcept nogil:
    """The inbound SA of an SPI, or NULL."""
    cdef uint64_t tag = tag_of_spi(index, spi)
    cdef Table *table = <Table *>load_pointer(<void **>&index.in_by_spi, ATOMIC_ACQUIRE)
    cdef uint64_t i = tag & table.mask
    cdef void *sa
    while True:
        sa = load_pointer(&table.buckets[i].sa, ATOMIC_ACQUIRE)
        if sa == NULL:
            return NULL
        if (sa != <void *>TOMBSTONE and load_u64(&table.buckets[i].tag, ATOMIC_RELAXED) == tag
                and (<SaIn *>sa).spi == spi):
            return <SaIn *>sa
        i = (i + 1) & table.mask


cdef inline SaOut *find_out(
        SaIndex *index, const uint8_t *local_hit, const uint8_t *peer_hit) noexcept nogil:
    """The current outbound SA between two HITs (16 octets each), or NULL."""
    cdef uint64_t tag = tag_of_pair(index, local_hit, peer_hit)
    cdef Table *table = <Table *>load_pointer(<void **>&index.out_by_pair, ATOMIC_ACQUIRE)
    cdef uint64_t i = tag & table.mask
    cdef void *sa
    while True:
        sa = load_pointer(&table.buckets[i].sa, ATOMIC_ACQUIRE)
        if sa == NULL:
            return NULL
        if (sa != <void *>TOMBSTONE and load_u64(&table.buckets[i].tag, ATOMIC_RELAXED) == tag
                and memcmp((<SaOut *>sa).peer_hit, peer_hit, 16) == 0
                and memcmp((<SaOut *>sa).local_hit, local_hit, 16) == 0):
            return <SaOut *>sa
        i = (i + 1) & table.mask


cdef inline SaOut *find_out_by_lsi(
        SaIndex *index, const uint8_t *local_lsi, const uint8_t *peer_lsi) noexcept nogil:
    """The outbound SA between two LSIs (4 octets each), or NULL."""
    cdef uint64_t tag = tag_of_lsis(index, local_lsi, peer_lsi)
    cdef Table *table = <Table *>load_pointer(<void **>&index.out_by_lsi, ATOMIC_ACQUIRE)
    cdef uint64_t i = tag & table.mask
    cdef void *sa
    while True:
        sa = load_pointer(&table.buckets[i].sa, ATOMIC_ACQUIRE)
        if sa == NULL:
            return NULL
        if (sa != <void *>TOMBSTONE and load_u64(&table.buckets[i].tag, ATOMIC_RELAXED) == tag
                and memcmp((<SaOut *>sa).peer_lsi, peer_lsi, 4) == 0
                and memcmp((<SaOut *>sa).local_lsi, local_lsi, 4) == 0):
            return <SaOut *>sa
        i = (i + 1) & table.mask


cdef class SaTables:
    cdef SaIndex *index
    cdef RetiredList retired

    cdef int make_room(self, Table **place) except -1
    cdef void switch_out(self, SaOut *sa) noexcept
    cdef void release_out(self, SaOut *sa) noexcept
    cdef SaOut *out_of_spi(self, uint32_t spi, const uint8_t *local, const uint8_t *peer) noexcept
