"""Many things of one size, close together, and on large pages once there are many.

The first chunks are small, so a host with one SA does not pay for a large page (pages.pyx).  Memory
goes back to the system when the last item was given back.

Under AddressSanitizer an item that was given back is poisoned, as memory from `free` would be.
"""

from libc.stdint cimport uint64_t
from libc.string cimport memset

from hipgw._fastpath.pages cimport LARGE_PAGE, pages_give, pages_take

cdef extern from *:
    """
    #if defined(__SANITIZE_ADDRESS__)
    void __asan_poison_memory_region(void const volatile *, size_t);
    void __asan_unpoison_memory_region(void const volatile *, size_t);
    #define HIPGW_POISON(p, n) __asan_poison_memory_region(p, n)
    #define HIPGW_UNPOISON(p, n) __asan_unpoison_memory_region(p, n)
    #else
    #define HIPGW_POISON(p, n) ((void)(p), (void)(n))
    #define HIPGW_UNPOISON(p, n) ((void)(p), (void)(n))
    #endif
    """
    void poison "HIPGW_POISON"(void *place, size_t octets) nogil
    void unpoison "HIPGW_UNPOISON"(void *place, size_t octets) nogil

cdef enum:
    ROUND = 32                      # two items share at most one cache line
    HEAD = 64
    SMALL_OCTETS = 1 << 15
    SMALL_ITEMS = 1024              # in use, before chunks become large


cdef void slab_init(Slab *slab, uint64_t item_octets) noexcept nogil:
    memset(slab, 0, sizeof(Slab))
    slab.item_octets = (item_octets + ROUND - 1) // ROUND * ROUND


cdef bint add_chunk(Slab *slab) noexcept nogil:
    cdef bint is_large = slab.taken >= SMALL_ITEMS
    cdef uint64_t octets = <uint64_t>LARGE_PAGE if is_large else SMALL_OCTETS
    cdef void *place = pages_take(octets)
    if place == NULL:
        return False
    (<Chunk *>place).octets = octets
    (<Chunk *>place).next = slab.chunks
    slab.chunks = <Chunk *>place
    slab.fresh = <char *>place + HEAD
    slab.fresh_items = (octets - HEAD) // slab.item_octets
    return True


cdef void *slab_take(Slab *slab) noexcept nogil:
    cdef void *item = slab.given_back
    if item != NULL:
        unpoison(item, slab.item_octets)
        slab.given_back = (<void **>item)[0]
    else:
        if slab.fresh_items == 0 and not add_chunk(slab):
            return NULL
        item = slab.fresh
        slab.fresh += slab.item_octets
        slab.fresh_items -= 1
    memset(item, 0, slab.item_octets)
    slab.taken += 1
    return item


cdef void slab_give(Slab *slab, void *item) noexcept nogil:
    (<void **>item)[0] = slab.given_back
    slab.given_back = item
    poison(item, slab.item_octets)
    slab.taken -= 1
    if slab.taken == 0:
        slab_free(slab)


cdef void slab_free(Slab *slab) noexcept nogil:
    cdef Chunk *chunk
    cdef uint64_t item_octets = slab.item_octets
    while slab.chunks != NULL:
        chunk = slab.chunks
        slab.chunks = chunk.next
        unpoison(chunk, chunk.octets)       # these addresses may be somebody else's next
        pages_give(chunk, chunk.octets)
    slab_init(slab, item_octets)
