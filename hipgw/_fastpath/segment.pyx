"""Super-packets from the TUN device, cut into packets of wire size.

For each read:
  1. the vnet header names a kind; a packet without one has its checksum finished, if asked, and
     stays whole;
  2. TCP over IPv4 or IPv6, or UDP: the headers are read and must agree with the vnet header;
  3. each packet gets a copy of the headers and its share of the payload, then
     IP length, IPv4 identification and header checksum; TCP sequence number, FIN and PSH on the
     last packet only, CWR on the first only (RFC 3168 section 6.1.2), or the UDP length; and a
     complete checksum.

A super-packet may be cut over several batches: `Super` remembers where it is.  The octets belong
to the worker, and are borrowed until the next read.

Deliberately not checked: the checksum of the IPv4 header and what the checksum field held (the
packet comes from our own kernel); SYN, RST and URG in a super-packet are copied as they are.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

from cpython.bytes cimport PyBytes_FromStringAndSize

from hipgw._fastpath.checksum cimport fold, ones_sum
from hipgw._fastpath.octets cimport load_be16, load_be32, store_be16, store_be32
from hipgw._fastpath.reasons cimport R_INNER_MALFORMED, R_NONE, R_RUNT, R_TRUNCATED
from hipgw._fastpath.vnet cimport (
    VNET_GSO_ECN,
    VNET_GSO_NONE,
    VNET_GSO_TCPV4,
    VNET_GSO_TCPV6,
    VNET_GSO_UDP_L4,
    VNET_NEEDS_CSUM,
    VnetHeader,
)

from hipgw._fastpath.reasons import REASON_NAMES as _REASON_NAMES

cdef enum:
    IPV6_HEADER = 40
    IPV4_HEADER = 20
    TCP_HEADER = 20
    UDP_HEADER = 8
    TCP = 6
    UDP = 17
    HOP_BY_HOP = 0
    ROUTING = 43
    DESTINATION_OPTIONS = 60
    TCP_CHECKSUM = 16
    UDP_CHECKSUM = 6
    FRAGMENT_BITS = 0x3FFF
    FIN_PSH = 0x09
    CWR = 0x80


cdef int finish_checksum(uint8_t *packet, uint32_t length, const VnetHeader *vnet) noexcept nogil:
    """Complete the one checksum that the kernel left: the field holds the pseudo-header's sum."""
    cdef uint32_t start = vnet.checksum_start
    cdef uint32_t field = start + vnet.checksum_offset
    cdef uint16_t whole
    if field + 2 > length:
        return R_INNER_MALFORMED
    whole = <uint16_t>~<uint16_t>ones_sum(packet + start, length - start, 0)
    # 0 says "none" in UDP, and 0xffff is the same number elsewhere.
    store_be16(packet + field, 0xFFFF if whole == 0 else whole)
    return R_NONE


cdef int read_ipv4(Super *s, const uint8_t *p) noexcept nogil:
    """Network header of an IPv4 super-packet."""
    cdef uint32_t header = (p[0] & 15) * 4
    cdef uint32_t total
    if s.length < IPV4_HEADER or header < IPV4_HEADER:
        return R_INNER_MALFORMED
    total = load_be16(p + 2)
    if total < header or total > s.length or load_be16(p + 6) & FRAGMENT_BITS:
        return R_INNER_MALFORMED
    s.length = total
    s.network_octets = <uint16_t>header
    s.protocol = p[9]
    s.pseudo = ones_sum(p + 12, 8, s.protocol)
    return R_NONE


cdef int read_ipv6(Super *s, const uint8_t *p) noexcept nogil:
    """Network header of an IPv6 super-packet, and the extension headers that may be repeated.

    A routing header would mean another destination in the pseudo-header, a fragment no whole
    segment: neither comes as a super-packet.
    """
    cdef uint32_t at = IPV6_HEADER
    cdef uint8_t following
    if s.length < IPV6_HEADER or load_be16(p + 4) + <uint32_t>IPV6_HEADER > s.length:
        return R_INNER_MALFORMED
    s.length = load_be16(p + 4) + IPV6_HEADER
    following = p[6]
    while following == HOP_BY_HOP or following == DESTINATION_OPTIONS:
        if at + 8 > s.length:
            return R_INNER_MALFORMED
        following = p[at]
        at += 8 + <uint32_t>p[at + 1] * 8
    if at > s.length:
        return R_INNER_MALFORMED
    s.network_octets = <uint16_t>at
    s.protocol = following
    s.pseudo = ones_sum(p + 8, 32, s.protocol)
    return R_NONE


cdef int read_headers(Super *s, const uint8_t *p, const VnetHeader *vnet) noexcept nogil:
    """Step 2: where the headers end, and whether all say the same."""
    cdef uint8_t kind = vnet.gso_type & <uint8_t>~VNET_GSO_ECN
    cdef uint8_t version = p[0] >> 4 if s.length else 0
    cdef uint32_t transport, least, field
    cdef int reason
    if kind == VNET_GSO_UDP_L4:
        if vnet.gso_type & VNET_GSO_ECN or (version != 4 and version != 6):
            return R_INNER_MALFORMED
    elif not (kind == VNET_GSO_TCPV4 and version == 4 or kind == VNET_GSO_TCPV6 and version == 6):
        return R_INNER_MALFORMED
    reason = read_ipv4(s, p) if version == 4 else read_ipv6(s, p)
    if reason != R_NONE:
        return reason
    if s.protocol != (UDP if kind == VNET_GSO_UDP_L4 else TCP):
        return R_INNER_MALFORMED
    least = UDP_HEADER if s.protocol == UDP else TCP_HEADER
    if s.network_octets + least > s.length:
        return R_INNER_MALFORMED
    transport = least if s.protocol == UDP else <uint32_t>(p[s.network_octets + 12] >> 4) * 4
    if transport < least or s.network_octets + transport > s.length:
        return R_INNER_MALFORMED
    field = UDP_CHECKSUM if s.protocol == UDP else TCP_CHECKSUM
    if vnet.flags & VNET_NEEDS_CSUM and (
            vnet.checksum_start != s.network_octets or vnet.checksum_offset != field):
        return R_INNER_MALFORMED
    if vnet.segment_octets == 0:
        return R_INNER_MALFORMED
    s.header_octets = <uint16_t>(s.network_octets + transport)
    s.segment_octets = vnet.segment_octets
    return R_NONE


cdef int super_begin(Super *s, uint32_t got, uint32_t room) noexcept nogil:
    cdef VnetHeader vnet
    cdef uint8_t *packet = s.octets + VNET_OCTETS
    cdef uint32_t payload
    cdef int reason = R_NONE
    s.left = s.number = 0
    s.protocol = 0
    if got < VNET_OCTETS:
        return R_RUNT
    memcpy(&vnet, s.octets, VNET_OCTETS)
    s.length = got - VNET_OCTETS
    if vnet.gso_type == VNET_GSO_NONE:
        if s.length > room:
            return R_TRUNCATED
        if vnet.flags & VNET_NEEDS_CSUM:
            reason = finish_checksum(packet, s.length, &vnet)
        if reason == R_NONE:
            s.left = 1
        return reason
    reason = read_headers(s, packet, &vnet)
    if reason != R_NONE:
        return reason
    payload = s.length - s.header_octets
    if s.header_octets + min(payload, s.segment_octets) > room:
        return R_TRUNCATED
    s.left = (payload + s.segment_octets - 1) // s.segment_octets if payload else 1
    return R_NONE


cdef void cut_network(const Super *s, uint8_t *to, uint32_t length) noexcept nogil:
    """The IP header of one packet of `length` octets."""
    if to[0] >> 4 == 6:
        store_be16(to + 4, <uint16_t>(length - IPV6_HEADER))
        return
    store_be16(to + 2, <uint16_t>length)
    store_be16(to + 4, <uint16_t>(load_be16(to + 4) + s.number))
    store_be16(to + 10, 0)
    store_be16(to + 10, <uint16_t>~<uint16_t>ones_sum(to, s.network_octets, 0))


cdef uint32_t super_cut(Super *s, uint8_t *to) noexcept nogil:
    cdef const uint8_t *packet = s.octets + VNET_OCTETS
    cdef uint8_t *transport = to + s.network_octets
    cdef uint8_t *field
    cdef uint32_t at, length
    cdef uint16_t whole
    if s.protocol == 0:
        s.left = 0
        memcpy(to, packet, s.length)
        return s.length
    at = s.number * s.segment_octets
    length = min(s.segment_octets, s.length - s.header_octets - at) + s.header_octets
    memcpy(to, packet, s.header_octets)
    memcpy(to + s.header_octets, packet + s.header_octets + at, length - s.header_octets)
    cut_network(s, to, length)
    length -= s.network_octets              # of the transport header and payload, from here on
    if s.protocol == TCP:
        store_be32(transport + 4, load_be32(transport + 4) + at)
        if s.left > 1:
            transport[13] &= <uint8_t>~FIN_PSH
        if s.number > 0:
            transport[13] &= <uint8_t>~CWR
        field = transport + TCP_CHECKSUM
    else:
        store_be16(transport + 4, <uint16_t>length)
        field = transport + UDP_CHECKSUM
    store_be16(field, 0)
    whole = <uint16_t>~fold(ones_sum(transport, length, 0) + s.pseudo + length)
    store_be16(field, 0xFFFF if whole == 0 and s.protocol == UDP else whole)
    s.number += 1
    s.left -= 1
    return length + s.network_octets


def cut_super(const uint8_t[::1] octets not None, uint32_t room) -> tuple[str, list[bytes]]:
    """What one read of a TUN device becomes, for tests: (reason or "none", packets).

    Args:
        octets: vnet header and packet, uint8[at most SUPER_OCTETS].
        room: octets that a packet may have.
    """
    cdef Super s
    cdef uint32_t got = <uint32_t>octets.shape[0]
    cdef uint32_t length
    cdef uint8_t *to
    cdef int reason
    cdef list packets = []
    if not 0 < octets.shape[0] <= SUPER_OCTETS or room > SUPER_OCTETS:
        raise ValueError(f"{octets.shape[0]} octets, room {room}: expected 1 to {SUPER_OCTETS}")
    # Exactly as large as what was read: AddressSanitizer sees a read beyond it.
    s.octets = <uint8_t *>malloc(got)
    to = <uint8_t *>calloc(1, room + 1)
    try:
        if s.octets == NULL or to == NULL:
            raise MemoryError
        memcpy(s.octets, &octets[0], got)
        with nogil:
            reason = super_begin(&s, got, room)
        while s.left:
            with nogil:
                length = super_cut(&s, to)
            packets.append(PyBytes_FromStringAndSize(<const char *>to, length))
    finally:
        free(s.octets)
        free(to)
    return _REASON_NAMES[reason], packets
