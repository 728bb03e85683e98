"""Open addressing with linear probes: the hash table under the SA tables.

One writer; readers follow the probe without locks (tables.pxd says in which order).  At least half
of the buckets are NULL, so every probe ends.
"""

from libc.stdint cimport uint64_t

cdef enum:
    LEAST_BUCKETS = 16
    TOMBSTONE = 1               # pointer value of a bucket whose thing was taken out

cdef struct Bucket:
    uint64_t tag                # the full hash
    void *sa                    # NULL: end of the probe; TOMBSTONE: go on

cdef struct Table:
    uint64_t mask               # buckets - 1
    uint64_t used               # writer only: live buckets
    uint64_t taken              # writer only: live buckets and tombstones
    Bucket *buckets

# Empty, of a power of two buckets: 0, or -1 without memory.
cdef int table_init(Table *table, uint64_t buckets) noexcept

cdef void table_free(Table *table) noexcept nogil

# Buckets that a table needs to hold one more, or 0 when it has room as it is.
cdef uint64_t buckets_wanted(const Table *table) noexcept

# Copy what lives in `old` to the empty `new`.
cdef void table_copy(Table *new, const Table *old) noexcept

# Publish `sa`: in the bucket of `old` if that is not NULL and found, else in the first free one.
cdef void table_put(Table *table, uint64_t tag, void *old, void *sa) noexcept

# Take `sa` out; nothing happens when it is not there.
cdef void table_take_out(Table *table, uint64_t tag, void *sa) noexcept
