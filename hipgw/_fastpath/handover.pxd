"""Packets that go on in another worker; see handover.pyx."""

from libc.stdint cimport uint8_t

from hipgw._fastpath.worker_state cimport WorkerState

# Pass every FORWARD packet whose SA another worker owns on to that one: then it is HANDED, or DROP.
# desc[0..n] are classified. Not for workers without equals.
cdef void hand_over_batch(
    WorkerState *w, const uint8_t *arena, Py_ssize_t n, bint is_inbound) noexcept nogil

# Copy what the others passed on to slots from `first` on, at most half of those that are free.
# Returns the number of descriptors filled in all.
cdef Py_ssize_t take_handed(WorkerState *w, Py_ssize_t first) noexcept nogil
