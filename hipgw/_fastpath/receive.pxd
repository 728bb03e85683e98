"""Batches in from the sockets; see receive.pyx."""

from libc.stdint cimport uint8_t, uint32_t

from hipgw._fastpath.batch_io cimport Arena, Mailbag
from hipgw._fastpath.descriptor cimport PacketDesc

cdef struct Received:
    # Messages of one recvmmsg, and how far they are split into descriptors.
    uint32_t messages
    uint32_t message            # the next one
    uint32_t at                 # octets of it that have descriptors already
    uint32_t segment_octets     # of it; its last datagram may be shorter
    uint8_t traffic_class       # of it, as far as the kernel said
    uint8_t hop_limit           # the same

# One recvmmsg into slots of `room` octets: sources in bag.names, destinations and segment sizes in
# bag.controls. Returns the messages; trouble[0] = 1 after an error that may last.
cdef Py_ssize_t receive_messages(
    int fd, Mailbag *bag, const Arena *arena, uint32_t room, Received *received,
    bint *trouble) noexcept nogil

# The next datagrams as descriptors, a batch at most; bag.message says where each came from.
# Returns how many; 0: that was all.
cdef Py_ssize_t next_datagrams(
    Mailbag *bag, const Arena *arena, Received *received, PacketDesc *desc) noexcept nogil

# Destination address of received message m: its octets (4 or 16) copied to `address`, else 0.
cdef int destination_of(Mailbag *bag, Py_ssize_t m, uint8_t *address) noexcept nogil
