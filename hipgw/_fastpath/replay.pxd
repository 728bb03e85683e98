"""Anti-replay window of one inbound SA (RFC 6479)."""

from libc.stdint cimport uint64_t

from hipgw._fastpath.sa cimport Replay

# 0, R_REPLAYED or R_TOO_OLD; changes nothing.
cdef int replay_check(const Replay *r, uint64_t sequence) noexcept nogil

# Remember `sequence`; only after replay_check returned 0 for it and its ICV was right.
cdef void replay_mark(Replay *r, uint64_t sequence) noexcept nogil
