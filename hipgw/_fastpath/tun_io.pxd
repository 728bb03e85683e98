"""The TUN device, read and written; see tun_io.pyx."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from hipgw._fastpath.batch_io cimport Arena
from hipgw._fastpath.coalesce cimport Bundles
from hipgw._fastpath.descriptor cimport PacketDesc
from hipgw._fastpath.sa cimport SaIn
from hipgw._fastpath.segment cimport Super

cdef struct TunWriter:
    int fd
    bint has_vnet               # each packet has a vnet header in front
    bint takes_tcp              # super-packets of each kind; False after a refusal
    bint takes_udp
    uint64_t supers             # super-packets written since the start
    uint64_t refused            # super-packets that the device did not take
    bint gives_way              # to those who read what was written: see tun_io.pyx
    uint32_t unread             # packets of UDP written since it last gave way
    uint64_t gave_way           # times since the start

# Fill descriptors from `first` on, until the device is empty or the batch full; one packet a read,
# or with a `whole` super-packet (NULL: no vnet headers) as many as it holds. Returns the number of
# descriptors filled in all; adds the super-packets to supers[0]; trouble[0] = 1 after an error
# that may last.
cdef Py_ssize_t read_tun(
    int fd, const Arena *arena, Super *whole, PacketDesc *desc, Py_ssize_t first, uint64_t *supers,
    bint *trouble) noexcept nogil

# Rebuild one payload's inner header and write the packet; 0 or a Reason. Adds the length of the
# packet to octets[0] when it could be rebuilt.
cdef int write_packet(
    const TunWriter *writer, uint8_t *arena, const PacketDesc *d, const SaIn *sa,
    uint64_t *octets, int *patience) noexcept nogil

# Write an IP packet of the control plane's; 0 or a Reason.
cdef int write_whole(
    const TunWriter *writer, const uint8_t *packet, uint32_t length) noexcept nogil

# Write every bundle; what the device does not take becomes DROP. Returns the packets written.
cdef Py_ssize_t write_bundles(
    TunWriter *writer, uint8_t *arena, PacketDesc *desc, Bundles *bundles,
    SaIn **sa) noexcept nogil
