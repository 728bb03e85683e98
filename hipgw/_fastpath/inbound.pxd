"""The inbound worker: sockets to TUN device; see inbound.pyx."""

from hipgw._fastpath.worker_state cimport WorkerState

# The whole life of the thread; returns after w.stop was set and w.wake_fd signalled.
cdef void inbound_loop(WorkerState *w) noexcept nogil
