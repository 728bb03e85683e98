"""Batches in from descriptors and out to them; see batch_io.pyx."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from hipgw._fastpath.c.sockets cimport iovec, mmsghdr, sockaddr_in6
from hipgw._fastpath.descriptor cimport BATCH_MOST, PacketDesc
from hipgw._fastpath.sa cimport SaOut

cdef enum:
    CONTROL_WORDS = 8           # ancillary data of one message: packet information of either family
    # The four sockets of a data path, as indexes.
    UDP4 = 0
    UDP6 = 1
    RAW4 = 2
    RAW6 = 3
    SOCKETS = 4

cdef struct ControlArea:
    uint64_t words[CONTROL_WORDS]       # aligned for struct cmsghdr

cdef struct Mailbag:
    # What one recvmmsg or sendmmsg needs beside the arena: written and read by one worker.
    mmsghdr messages[BATCH_MOST]
    iovec parts[BATCH_MOST]
    sockaddr_in6 names[BATCH_MOST]      # or sockaddr_in
    ControlArea controls[BATCH_MOST]
    uint32_t packet[BATCH_MOST]         # sending: index of the message's descriptor
    uint8_t socket[BATCH_MOST]          # sending: UDP4 .. RAW6

cdef struct Arena:
    # Equal slots, one packet each.
    uint8_t *octets
    uint32_t slot_octets
    uint32_t slots                      # at most BATCH_MOST

# Most octets that a slot takes between its headroom and its tailroom.
cdef uint32_t slot_room(const Arena *arena) noexcept nogil

# Fill descriptors from `first` on, one packet a read, until the device is empty or the batch full.
# Returns the number of descriptors filled in all; trouble[0] = 1 after an error that may last.
cdef Py_ssize_t read_tun(
    int fd, const Arena *arena, PacketDesc *desc, Py_ssize_t first, bint *trouble) noexcept nogil

# Write each FORWARD packet; what the device does not take becomes DROP, R_TUN_FULL.
# Returns the packets written.
cdef Py_ssize_t write_tun(
    int fd, uint8_t *arena, PacketDesc *desc, Py_ssize_t n) noexcept nogil

# One recvmmsg: descriptors 0..n, their sources in bag.names and destinations in bag.controls.
cdef Py_ssize_t receive_batch(
    int fd, Mailbag *bag, const Arena *arena, PacketDesc *desc, bint *trouble) noexcept nogil

# Destination address of received message i: its octets (4 or 16) copied to `address`, else 0.
cdef int destination_of(Mailbag *bag, Py_ssize_t i, uint8_t *address) noexcept nogil

# Send each FORWARD packet the way its SA says; what goes wrong becomes DROP with R_SEND_FULL or
# R_SEND_ERROR. Returns the packets sent.
cdef Py_ssize_t send_batch(
    const int *sockets, Mailbag *bag, uint8_t *arena, PacketDesc *desc, Py_ssize_t n,
    SaOut **sa) noexcept nogil
