"""The control plane's side of quiet points; see quiet.pxd."""

from libc.stdint cimport uint64_t

from hipgw._fastpath.c.atomics cimport ATOMIC_ACQUIRE, ATOMIC_SEQ_CST, fence, load_u64


cdef void retire(
        RetiredList *retired, Marks *marks, Retired *end, void *thing,
        Release release) noexcept nogil:
    cdef int worker
    fence(ATOMIC_SEQ_CST)           # the unpublishing store comes before the loads below
    for worker in range(WORKERS):
        end.seen[worker] = load_u64(&marks.mark[8 * worker], ATOMIC_ACQUIRE)
    end.thing = thing
    end.release = release
    end.next = retired.first
    retired.first = end
    retired.waiting += 1


cdef bint is_held(const Retired *end, const uint64_t *now) noexcept nogil:
    """Whether a worker is still in the batch it was in when the thing was retired."""
    cdef int worker
    for worker in range(WORKERS):
        if end.seen[worker] & 1 and now[worker] == end.seen[worker]:
            return True
    return False


cdef void reclaim(RetiredList *retired, Marks *marks) noexcept nogil:
    cdef Retired **place = &retired.first
    cdef Retired *end
    cdef uint64_t now[WORKERS]
    cdef int worker
    for worker in range(WORKERS):
        now[worker] = load_u64(&marks.mark[8 * worker], ATOMIC_ACQUIRE)
    while place[0] != NULL:
        end = place[0]
        if is_held(end, now):
            place = &end.next
        else:
            place[0] = end.next
            retired.waiting -= 1
            end.release(end.thing)
