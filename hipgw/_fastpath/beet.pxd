"""BEET: take the inner IP header off, put it on again (RFC 7402 appendix B); see beet.pyx."""

from libc.stdint cimport uint8_t, uint32_t

from hipgw._fastpath.descriptor cimport PacketDesc
from hipgw._fastpath.sa cimport SaIn, SaOut

# d: inner IPv6 (HITs) or IPv4 (LSIs) packet. Returns 0 with offset/length on the payload (link
# padding trimmed) and next_header, family set; or a Reason with d unchanged (verdict is not
# touched). Writes the transport checksum of IPv4 packets: it leaves over the HITs.
cdef int beet_strip(uint8_t *arena, PacketDesc *d, const SaOut *sa) noexcept nogil

# d: inner payload with next_header. Returns 0 with offset/length on the inner packet, peer to
# local, and d.family set (next header 1 is always 4, 58 always 6, whatever `family` says); or a
# Reason with d unchanged (verdict is not touched). Needs 40 octets free before offset.
cdef int beet_rebuild(
    uint8_t *arena, PacketDesc *d, const SaIn *sa, uint8_t family, uint8_t hop_limit,
    uint8_t traffic_class) noexcept nogil

cdef enum:
    IP_HEADER_MOST = 40
    HOP_LIMIT = 64              # of rebuilt inner headers where the outer one's is not known


cdef inline uint8_t hop_limit_of(const PacketDesc *d) noexcept nogil:
    return d.hop_limit if d.hop_limit else <uint8_t>HOP_LIMIT


# The same with the header at a place of its own, `header` with room for IP_HEADER_MOST; d stays as
# it is. octets[0] = length of the header.
cdef int beet_header(
    uint8_t *header, uint8_t *arena, const PacketDesc *d, const SaIn *sa, uint8_t family,
    uint32_t *octets) noexcept nogil

# The header alone, peer to local, for `length` octets of payload whose checksum is no concern:
# its length, 20 or 40.
cdef uint32_t beet_header_v4(
    uint8_t *header, uint32_t length, uint8_t next_header, const SaIn *sa, uint8_t hop_limit,
    uint8_t traffic_class) noexcept nogil
cdef uint32_t beet_header_v6(
    uint8_t *header, uint32_t length, uint8_t next_header, const SaIn *sa, uint8_t hop_limit,
    uint8_t traffic_class) noexcept nogil

# Both ways over a batch: acts on FORWARD descriptors, sets DROP and reason, returns how many stay.
# Packets whose next_header is 4 or 41 already are routed, and go whole (routed.pxd).
cdef Py_ssize_t beet_strip_batch(
    uint8_t *arena, PacketDesc *desc, Py_ssize_t n, SaOut **sa, bint clamp_mss) noexcept nogil

# Family is taken from each descriptor; adds rebuilt packets to sa.octets (beet_rebuild does not).
cdef Py_ssize_t beet_rebuild_batch(
    uint8_t *arena, PacketDesc *desc, Py_ssize_t n, SaIn **sa, uint8_t hop_limit,
    uint8_t traffic_class) noexcept nogil
