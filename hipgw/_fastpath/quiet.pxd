"""Quiet points: when may the control plane free what a worker could still be reading?

Time is counted in epochs, and only the control plane begins one.  Each worker owns a mark: the
epoch in which it entered the batch it is in, or 0 while it waits.  It keeps no pointer into a table
from one batch to the next.  What the control plane has made unreachable is *retired* in an epoch,
which ends with that; it is freed once no worker is in a batch of that epoch or an older one.
"""

from libc.stdint cimport uint64_t

from hipgw._fastpath.c.atomics cimport (
    ATOMIC_ACQUIRE,
    ATOMIC_RELAXED,
    ATOMIC_RELEASE,
    ATOMIC_SEQ_CST,
    fence,
    load_u64,
    store_u64,
)

cdef enum:
    # Workers come in pairs, an outbound one and an inbound one; a worker's number is twice its
    # pair's, and one of these.
    OUTBOUND = 0
    INBOUND = 1
    PAIRS_MOST = 16
    WORKERS_MOST = 2 * PAIRS_MOST

cdef struct Marks:
    uint64_t epoch              # of now, from 1
    uint64_t workers            # how many there are
    uint64_t apart[6]
    uint64_t mark[WORKERS_MOST * 8]     # [8 * worker]: each on a cache line of its own

ctypedef void (*Release)(void *thing) noexcept nogil

cdef struct Retired:            # lies inside the thing, so that retiring cannot fail
    Retired *next
    void *thing
    Release release
    uint64_t epoch              # in which it was retired

cdef struct RetiredList:
    Retired *first
    Py_ssize_t waiting


cdef inline void enter_batch(Marks *marks, int worker) noexcept nogil:
    store_u64(&marks.mark[8 * worker], load_u64(&marks.epoch, ATOMIC_ACQUIRE), ATOMIC_RELAXED)
    fence(ATOMIC_SEQ_CST)


cdef inline void leave_batch(Marks *marks, int worker) noexcept nogil:
    store_u64(&marks.mark[8 * worker], 0, ATOMIC_RELEASE)


cdef inline void marks_init(Marks *marks, int workers) noexcept nogil:
    """Of marks that are all zero."""
    marks.epoch = 1
    marks.workers = workers


# Hand over a thing that no table names any more. Control plane only, as is `reclaim`.
cdef void retire(
    RetiredList *retired, Marks *marks, Retired *end, void *thing, Release release) noexcept nogil

# Release each thing that no worker can hold any more.
cdef void reclaim(RetiredList *retired, Marks *marks) noexcept nogil
