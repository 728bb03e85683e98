"""Super-packets from the TUN device, cut into packets of wire size; see segment.pyx."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from hipgw._fastpath.descriptor cimport PacketDesc
from hipgw._fastpath.vnet cimport VNET_OCTETS, VnetHeader

cdef enum:
    # What one read may bring: the header, and an IPv6 packet of the greatest length.
    SUPER_OCTETS = VNET_OCTETS + 40 + 65535

cdef struct Super:
    uint8_t *octets             # SUPER_OCTETS of room: vnet header, packet
    uint32_t length             # octets of the packet
    uint32_t left               # packets still to be cut; 0: nothing here
    uint32_t number             # packets cut so far
    uint32_t segment_octets     # transport payload of each packet but the last
    uint32_t pseudo             # sum of the pseudo-header without the length
    uint16_t network_octets     # IP header with its extension headers
    uint16_t header_octets      # the transport header, too
    uint8_t protocol            # TCP or UDP; 0: one packet, ready as it is

# `got` octets were read into s.octets. 0 with s.left >= 1, or a Reason with s.left == 0; no packet
# will be longer than `room`.
cdef int super_begin(Super *s, uint32_t got, uint32_t room) noexcept nogil

# Write the next packet to `to`, `room` octets of super_begin, with complete checksums; returns
# its length. s.left >= 1.
cdef uint32_t super_cut(Super *s, uint8_t *to) noexcept nogil

# Complete the one checksum that the kernel left, where `vnet` says; 0 or R_INNER_MALFORMED.
cdef int finish_checksum(
    uint8_t *packet, uint32_t length, const VnetHeader *vnet) noexcept nogil
