"""Many things of one size, close together; see slab.pyx."""

from libc.stdint cimport uint64_t

cdef struct Chunk:
    Chunk *next
    uint64_t octets

cdef struct Slab:
    uint64_t item_octets        # a multiple of 32
    Chunk *chunks               # newest first
    char *fresh                 # items of the newest chunk that were never taken
    uint64_t fresh_items
    void *given_back            # chained through their first word
    uint64_t taken              # items in use

cdef void slab_init(Slab *slab, uint64_t item_octets) noexcept nogil

# An item of zeros or NULL without memory. Control plane only.
cdef void *slab_take(Slab *slab) noexcept nogil

# The caller has cleared what is secret; the item is nobody's. Control plane only.
cdef void slab_give(Slab *slab, void *item) noexcept nogil

# Every chunk; nothing may be in use.
cdef void slab_free(Slab *slab) noexcept nogil
