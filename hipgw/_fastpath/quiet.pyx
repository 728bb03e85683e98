"""The control plane's side of quiet points; see quiet.pxd."""

from libc.stdint cimport UINT64_MAX, uint64_t

from hipgw._fastpath.c.atomics cimport (
    ATOMIC_ACQUIRE,
    ATOMIC_RELEASE,
    ATOMIC_SEQ_CST,
    fence,
    load_u64,
    store_u64,
)


cdef void retire(
        RetiredList *retired, Marks *marks, Retired *end, void *thing,
        Release release) noexcept nogil:
    fence(ATOMIC_SEQ_CST)           # the unpublishing store comes before any look at the marks
    end.epoch = marks.epoch
    store_u64(&marks.epoch, end.epoch + 1, ATOMIC_RELEASE)
    end.thing = thing
    end.release = release
    end.next = retired.first
    retired.first = end
    retired.waiting += 1


cdef uint64_t oldest_epoch(Marks *marks) noexcept nogil:
    """Of the batches that workers are in now."""
    cdef uint64_t oldest = UINT64_MAX
    cdef uint64_t mark
    cdef uint64_t worker
    for worker in range(marks.workers):
        mark = load_u64(&marks.mark[8 * worker], ATOMIC_ACQUIRE)
        if mark:
            oldest = min(oldest, mark)
    return oldest


cdef void reclaim(RetiredList *retired, Marks *marks) noexcept nogil:
    cdef Retired **place = &retired.first
    cdef Retired *end
    cdef uint64_t oldest
    if retired.first == NULL:
        return
    oldest = oldest_epoch(marks)
    while place[0] != NULL:
        end = place[0]
        if end.epoch >= oldest:       # a worker in a batch may hold it
            place = &end.next
        else:
            place[0] = end.next
            retired.waiting -= 1
            end.release(end.thing)
