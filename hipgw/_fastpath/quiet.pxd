"""Quiet points: when may the control plane free what a worker could still be reading?

Each worker owns a mark: odd while it is in a batch, even while it waits.  It keeps no pointer into
a table from one batch to the next.  What the control plane has made unreachable is *retired* with
the marks of that moment, and freed once each worker was outside a batch then or has moved its mark
since.
"""

from libc.stdint cimport uint64_t

from hipgw._fastpath.c.atomics cimport (
    ATOMIC_RELAXED,
    ATOMIC_RELEASE,
    ATOMIC_SEQ_CST,
    fence,
    store_u64,
)

cdef enum:
    OUTBOUND = 0                # the two workers
    INBOUND = 1
    WORKERS = 2

cdef struct Marks:
    uint64_t apart[8]
    uint64_t mark[WORKERS * 8]  # [8 * worker]: each on a cache line of its own

ctypedef void (*Release)(void *thing) noexcept nogil

cdef struct Retired:            # lies inside the thing, so that retiring cannot fail
    Retired *next
    void *thing
    Release release
    uint64_t seen[WORKERS]

cdef struct RetiredList:
    Retired *first
    Py_ssize_t waiting


cdef inline void enter_batch(Marks *marks, int worker) noexcept nogil:
    cdef uint64_t *mark = &marks.mark[8 * worker]
    store_u64(mark, mark[0] + 1, ATOMIC_RELAXED)
    fence(ATOMIC_SEQ_CST)


cdef inline void leave_batch(Marks *marks, int worker) noexcept nogil:
    cdef uint64_t *mark = &marks.mark[8 * worker]
    store_u64(mark, mark[0] + 1, ATOMIC_RELEASE)


# Hand over a thing that no table names any more. Control plane only, as is `reclaim`.
cdef void retire(
    RetiredList *retired, Marks *marks, Retired *end, void *thing, Release release) noexcept nogil

# Release each thing that no worker can hold any more.
cdef void reclaim(RetiredList *retired, Marks *marks) noexcept nogil
