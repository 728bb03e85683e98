"""What batches in and out have in common.

Patience: a descriptor that would block is waited for a few milliseconds a batch, not a packet;
then what is left of the run is dropped with its reason.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from hipgw._fastpath.c.events cimport POLLOUT, poll, pollfd
from hipgw._fastpath.descriptor cimport HEADROOM_OCTETS, TAILROOM_OCTETS

cdef enum:
    WAIT_MS = 2                 # the longest wait for room


cdef int arena_init(Arena *arena, uint32_t slot_octets, uint32_t slots) noexcept:
    arena.slot_octets = slot_octets
    arena.slots = slots
    arena.octets = <uint8_t *>calloc(slots, slot_octets)
    return 0 if arena.octets != NULL else -1


cdef void arena_free(Arena *arena) noexcept:
    if arena.octets != NULL:
        memset(arena.octets, 0, <size_t>arena.slots * arena.slot_octets)
    free(arena.octets)
    arena.octets = NULL


cdef uint32_t slot_room(const Arena *arena) noexcept nogil:
    return arena.slot_octets - HEADROOM_OCTETS - TAILROOM_OCTETS


cdef bint wait_for_room(int fd, int *patience) noexcept nogil:
    cdef pollfd asked
    if patience[0] <= 0:
        return False
    patience[0] -= 1
    asked.fd = fd
    asked.events = POLLOUT
    asked.revents = 0
    poll(&asked, 1, WAIT_MS)
    return True
