"""ESP of protocol 50 handed to a device as it is: IP header and next hop; see link.pyx."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from hipgw._fastpath.c.sockets cimport msghdr
from hipgw._fastpath.descriptor cimport PacketDesc
from hipgw._fastpath.sa cimport SaOut

# Write the outer IP header in front of an ESP packet, where 40 octets must be free; the descriptor
# stays on the ESP header. Returns the length of the IP header, 20 or 40.
cdef uint32_t outer_header(
    uint8_t *arena, const PacketDesc *d, const SaOut *sa, uint8_t traffic_class,
    uint8_t hop_limit) noexcept nogil

# Address a message to the next hop `link` (SaOut.link); `name` has room for a sockaddr_ll.
cdef void address_link(msghdr *head, void *name, uint64_t link, bint is_v6) noexcept nogil
