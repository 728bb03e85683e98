"""Routed packets inside BEET: next header 4 or 41; see routed.pyx."""

from libc.stdint cimport uint8_t

from hipgw._fastpath.descriptor cimport PacketDesc
from hipgw._fastpath.sa cimport SaIn, SaOut
from hipgw._fastpath.subnets cimport Subnets
from hipgw._fastpath.tables cimport SaIndex

cdef enum:
    IP_IN_IP = 4                # ESP next header of a whole IPv4 packet (RFC 2003)
    IPV6_IN_IP = 41             # of a whole IPv6 packet (RFC 2473)
    NOT_ROUTED = -1
    NEVER_MERGED = 255          # next_header of a routed packet that coalescing leaves alone

# The SA that carries a packet to a routed address, or NULL with the verdict set. d.next_header
# says IP_IN_IP or IPV6_IN_IP from then on. The header was seen to be there.
cdef SaOut *classify_routed(
    const uint8_t *p, PacketDesc *d, SaIndex *index, uint8_t version) noexcept nogil

# d: a whole IP packet, next_header as classify_routed set it. 0 with link padding cut off and
# traffic_class set, or a Reason with d unchanged. Clamps the MSS of a SYN.
cdef int wrap_routed(
    uint8_t *arena, PacketDesc *d, const SaOut *sa, bint clamp_mss) noexcept nogil

# d: opened payload with its ESP next header, traffic_class that of the outer header. NOT_ROUTED
# with d unchanged: for the HITs, like any other payload. 0: offset/length on the transport header,
# network_octets of IP header in front of it, next_header and family of the inner packet. Else a
# Reason.
cdef int unwrap_routed(
    uint8_t *arena, PacketDesc *d, const SaIn *sa, SaIndex *index) noexcept nogil


cdef inline bint may_be_routed(uint8_t next_header) noexcept nogil:
    """Whether unwrap_routed wants to see the payload: 60 are the options of an ip6tnl device."""
    return next_header == IP_IN_IP or next_header == IPV6_IN_IP or next_header == 60
