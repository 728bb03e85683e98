"""The outbound worker: TUN device to sockets; see outbound.pyx."""

from hipgw._fastpath.worker_state cimport WorkerState

# The whole life of the thread; returns after w.stop was set and w.wake_fd signalled.
cdef void outbound_loop(WorkerState *w) noexcept nogil
