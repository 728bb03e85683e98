"""BEET: inner IP header off on the way out, on again on the way in (RFC 7402 appendix B).

Strip, for each packet:
  1. version, header length and total length against the descriptor; octets after the total length
     (link padding) are cut off;
  2. source and destination must be the pair the SA is bound to (B.1.2);
  3. refuse what the far end could not rebuild;
  4. IPv4 only: move the TCP or UDP checksum from the LSI to the HIT pseudo-header, because on the
     wire it is always over the HITs (RFC 7401 section 4.5.1);
  5. advance the descriptor over the header.
Rebuild does the reverse, the header growing into the headroom.

Hop limit and traffic class have no place of their own on the wire: those of the outer header are
the inner packet's, both ways, as in Linux.  So routers between the hosts count as hops.

The wire is transport-mode ESP and says nothing about the inner family: next header 1 means LSIs,
58 means HITs, anything else is the caller's decision.

Extension headers of IPv6, fragments included, are payload. IPv4 options are discarded, as B.1.7
recommends. IPv4 fragments are refused: their offset lives in the header that is taken off. Inside
the payload nothing is translated: addresses quoted by an ICMPv4 error stay the sender's LSIs.

Deliberately not checked: the IPv4 header checksum when stripping (the packet comes from our own
kernel, and the header is thrown away), and transport checksums (end to end; a wrong one stays
wrong by the same difference).

The arena and the descriptors belong to the caller's batch; nothing is kept.
"""

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from hipgw._fastpath.c.atomics cimport ATOMIC_RELAXED, load_u64
from hipgw._fastpath.checksum cimport checksum_adjust, ones_sum
from hipgw._fastpath.descriptor cimport DROP, FORWARD
from hipgw._fastpath.octets cimport load_be16, load_be32, store_be16, store_be32
from hipgw._fastpath.reasons cimport (
    R_INNER_MALFORMED,
    R_NEXT_HEADER,
    R_NO_LSI,
    R_NONE,
    R_NOT_HIP_DESTINATION,
    R_SOURCE_NOT_OURS,
    R_TOO_BIG,
)
from hipgw._fastpath.routed cimport IP_IN_IP, IPV6_IN_IP, wrap_routed

cdef enum:
    IPV6_HEADER = 40
    IPV4_HEADER = 20
    IP_LONGEST = 65535

    HOP_BY_HOP = 0
    ICMPV4 = 1
    TCP = 6
    UDP = 17
    ROUTING = 43
    FRAGMENT = 44
    ICMPV6 = 58
    NO_NEXT_HEADER = 59
    DESTINATION_OPTIONS = 60
    BEET_PSEUDO_HEADER = 94         # IPv4 options inside BEET (B.1.7): neither sent nor read

    TCP_HEADER = 20
    TCP_CHECKSUM = 16
    UDP_HEADER = 8
    UDP_LENGTH = 4
    UDP_CHECKSUM = 6

    DONT_FRAGMENT = 0x4000
    FRAGMENT_BITS = 0x3FFF          # more fragments, fragment offset


cdef bint is_none(const uint8_t *lsi) noexcept nogil:
    return load_be32(lsi) == 0


cdef void move_checksum(
        uint8_t *field, uint32_t sum_removed, uint32_t sum_added, bint is_udp) noexcept nogil:
    """Adjust a checksum field to another pseudo-header; UDP writes 0 as 0xffff (RFC 768)."""
    cdef uint16_t changed = checksum_adjust(load_be16(field), sum_removed, sum_added)
    store_be16(field, 0xFFFF if is_udp and changed == 0 else changed)


cdef uint32_t sum_of_hits(const uint8_t *one, const uint8_t *other) noexcept nogil:
    return ones_sum(one, 16, ones_sum(other, 16, 0))


cdef uint32_t sum_of_lsis(const uint8_t *one, const uint8_t *other) noexcept nogil:
    return ones_sum(one, 4, ones_sum(other, 4, 0))


cdef int checksum_to_hits(
        uint8_t *payload, uint32_t length, uint8_t protocol, const SaOut *sa) noexcept nogil:
    """Step 4 of strip. Length and protocol number weigh the same in both pseudo-headers."""
    cdef uint32_t datagram
    cdef uint16_t whole
    if protocol == TCP:
        if length < TCP_HEADER:
            return R_INNER_MALFORMED
        move_checksum(
            payload + TCP_CHECKSUM,
            sum_of_lsis(sa.local_lsi, sa.peer_lsi), sum_of_hits(sa.local_hit, sa.peer_hit), False)
    elif protocol == UDP:
        if length < UDP_HEADER:
            return R_INNER_MALFORMED
        datagram = load_be16(payload + UDP_LENGTH)
        if datagram < UDP_HEADER or datagram > length:
            return R_INNER_MALFORMED
        if load_be16(payload + UDP_CHECKSUM) != 0:
            move_checksum(
                payload + UDP_CHECKSUM,
                sum_of_lsis(sa.local_lsi, sa.peer_lsi), sum_of_hits(sa.local_hit, sa.peer_hit),
                True)
        else:
            # None was sent, which IPv4 allows and IPv6 does not (RFC 8200 section 8.1).
            whole = <uint16_t>~<uint16_t>ones_sum(
                payload, datagram, sum_of_hits(sa.local_hit, sa.peer_hit) + UDP + datagram)
            store_be16(payload + UDP_CHECKSUM, 0xFFFF if whole == 0 else whole)
    return R_NONE


cdef int checksum_to_lsis(
        uint8_t *payload, uint32_t length, uint8_t protocol, const SaIn *sa) noexcept nogil:
    """The reverse, for rebuild. A UDP checksum of 0 stays: none was sent."""
    if protocol == TCP:
        if length < TCP_HEADER:
            return R_INNER_MALFORMED
        move_checksum(
            payload + TCP_CHECKSUM,
            sum_of_hits(sa.local_hit, sa.peer_hit), sum_of_lsis(sa.local_lsi, sa.peer_lsi), False)
    elif protocol == UDP:
        if length < UDP_HEADER:
            return R_INNER_MALFORMED
        if load_be16(payload + UDP_CHECKSUM) != 0:
            move_checksum(
                payload + UDP_CHECKSUM,
                sum_of_hits(sa.local_hit, sa.peer_hit), sum_of_lsis(sa.local_lsi, sa.peer_lsi),
                True)
    return R_NONE


cdef inline bint is_too_big(uint32_t payload, const SaOut *sa) noexcept nogil:
    """Whether the path of an SA does not carry this payload in one packet, as far as is known."""
    cdef uint64_t most = load_u64(<uint64_t *>&sa.payload_most, ATOMIC_RELAXED)
    return most != 0 and payload > most


cdef int strip_ipv6(uint8_t *arena, PacketDesc *d, const SaOut *sa) noexcept nogil:
    cdef const uint8_t *header = arena + d.offset
    cdef uint32_t payload
    cdef uint8_t protocol
    if d.length < IPV6_HEADER:
        return R_INNER_MALFORMED
    payload = load_be16(header + 4)
    protocol = header[6]
    if payload > d.length - IPV6_HEADER:
        return R_INNER_MALFORMED
    if protocol == HOP_BY_HOP and payload == 0:
        return R_INNER_MALFORMED            # jumbogram (RFC 2675): its length is elsewhere
    if memcmp(header + 8, sa.local_hit, 16) != 0:
        return R_SOURCE_NOT_OURS
    if memcmp(header + 24, sa.peer_hit, 16) != 0:
        return R_NOT_HIP_DESTINATION
    if protocol == ICMPV4 or protocol == NO_NEXT_HEADER or protocol == BEET_PSEUDO_HEADER:
        return R_NEXT_HEADER
    if is_too_big(payload, sa):
        return R_TOO_BIG
    d.traffic_class = <uint8_t>(load_be16(header) >> 4)
    d.hop_limit = header[7]
    d.offset += IPV6_HEADER
    d.length = payload
    d.next_header = protocol
    d.family = 6
    return R_NONE


cdef int strip_ipv4(uint8_t *arena, PacketDesc *d, const SaOut *sa) noexcept nogil:
    cdef const uint8_t *header = arena + d.offset
    cdef uint32_t total, header_octets
    cdef uint8_t protocol
    cdef int reason
    if d.length < IPV4_HEADER:
        return R_INNER_MALFORMED
    header_octets = (header[0] & 0x0F) * 4
    total = load_be16(header + 2)
    if header_octets < IPV4_HEADER or total < header_octets or total > d.length:
        return R_INNER_MALFORMED
    if load_be16(header + 6) & FRAGMENT_BITS:
        return R_INNER_MALFORMED
    if is_none(sa.local_lsi) or is_none(sa.peer_lsi):
        return R_NO_LSI
    if memcmp(header + 12, sa.local_lsi, 4) != 0:
        return R_SOURCE_NOT_OURS
    if memcmp(header + 16, sa.peer_lsi, 4) != 0:
        return R_NOT_HIP_DESTINATION
    protocol = header[9]
    if protocol == ICMPV6 or protocol == NO_NEXT_HEADER or protocol == BEET_PSEUDO_HEADER:
        return R_NEXT_HEADER
    if load_be16(header + 6) & DONT_FRAGMENT and is_too_big(total - header_octets, sa):
        return R_TOO_BIG
    reason = checksum_to_hits(
        arena + d.offset + header_octets, total - header_octets, protocol, sa)
    if reason != R_NONE:
        return reason
    d.traffic_class = header[1]
    d.hop_limit = header[8]
    d.offset += header_octets
    d.length = total - header_octets
    d.next_header = protocol
    d.family = 4
    return R_NONE


cdef int beet_strip(uint8_t *arena, PacketDesc *d, const SaOut *sa) noexcept nogil:
    """Descriptor from inner packet to payload; 0 or a Reason, then `d` is as it was."""
    cdef uint8_t version
    if d.length == 0:
        return R_INNER_MALFORMED
    version = arena[d.offset] >> 4
    if version == 6:
        return strip_ipv6(arena, d, sa)
    if version == 4:
        return strip_ipv4(arena, d, sa)
    return R_INNER_MALFORMED


cdef uint32_t beet_header_v6(
        uint8_t *header, uint32_t length, uint8_t next_header, const SaIn *sa, uint8_t hop_limit,
        uint8_t traffic_class) noexcept nogil:
    store_be32(header, (<uint32_t>6 << 28) | (<uint32_t>traffic_class << 20))
    store_be16(header + 4, <uint16_t>length)
    header[6] = next_header
    header[7] = hop_limit
    memcpy(header + 8, sa.peer_hit, 16)
    memcpy(header + 24, sa.local_hit, 16)
    return IPV6_HEADER


cdef uint32_t beet_header_v4(
        uint8_t *header, uint32_t length, uint8_t next_header, const SaIn *sa, uint8_t hop_limit,
        uint8_t traffic_class) noexcept nogil:
    header[0] = 0x45
    header[1] = traffic_class
    store_be16(header + 2, <uint16_t>(length + IPV4_HEADER))
    store_be16(header + 4, 0)               # an atomic datagram needs no identification (RFC 6864)
    store_be16(header + 6, DONT_FRAGMENT)
    header[8] = hop_limit
    header[9] = next_header
    store_be16(header + 10, 0)
    memcpy(header + 12, sa.peer_lsi, 4)
    memcpy(header + 16, sa.local_lsi, 4)
    store_be16(header + 10, <uint16_t>~<uint16_t>ones_sum(header, IPV4_HEADER, 0))
    return IPV4_HEADER


cdef int check_ipv4(uint8_t *payload, const PacketDesc *d, const SaIn *sa) noexcept nogil:
    """Whether an IPv4 header may stand before this payload; moves the payload's checksum."""
    if is_none(sa.local_lsi) or is_none(sa.peer_lsi):
        return R_NO_LSI
    if d.length > IP_LONGEST - IPV4_HEADER:
        return R_INNER_MALFORMED
    if (
        d.next_header == HOP_BY_HOP or d.next_header == ROUTING
        or d.next_header == FRAGMENT or d.next_header == DESTINATION_OPTIONS
    ):
        return R_NEXT_HEADER                # extension headers exist in IPv6 only
    return checksum_to_lsis(payload, d.length, d.next_header, sa)


cdef uint8_t family_for(uint8_t next_header, uint8_t family) noexcept nogil:
    """The family that a payload can only have, or else the one asked for."""
    if next_header == ICMPV4:
        return 4
    return 6 if next_header == ICMPV6 else family


cdef int check_payload(
        uint8_t *arena, const PacketDesc *d, const SaIn *sa, uint8_t family) noexcept nogil:
    """0 or a Reason; over LSIs the payload's checksum is moved."""
    if d.next_header == NO_NEXT_HEADER or d.next_header == BEET_PSEUDO_HEADER:
        return R_NEXT_HEADER
    if family == 4:
        return check_ipv4(arena + d.offset, d, sa)
    return R_INNER_MALFORMED if d.length > IP_LONGEST else R_NONE


cdef int beet_header(
        uint8_t *header, uint8_t *arena, const PacketDesc *d, const SaIn *sa, uint8_t family,
        uint32_t *octets) noexcept nogil:
    """Header of one payload, with d's hop limit and traffic class; 0 or a Reason."""
    cdef int reason
    family = family_for(d.next_header, family)
    reason = check_payload(arena, d, sa, family)
    if reason != R_NONE:
        return reason
    if family == 4:
        octets[0] = beet_header_v4(
            header, d.length, d.next_header, sa, hop_limit_of(d), d.traffic_class)
    else:
        octets[0] = beet_header_v6(
            header, d.length, d.next_header, sa, hop_limit_of(d), d.traffic_class)
    return R_NONE


cdef int beet_rebuild(
        uint8_t *arena, PacketDesc *d, const SaIn *sa, uint8_t family, uint8_t hop_limit,
        uint8_t traffic_class) noexcept nogil:
    """Descriptor from payload to inner packet; 0 or a Reason, then `d` is as it was."""
    cdef uint8_t *payload = arena + d.offset
    cdef uint32_t octets
    cdef int reason
    family = family_for(d.next_header, family)
    reason = check_payload(arena, d, sa, family)
    if reason != R_NONE:
        return reason
    if family == 4:
        octets = beet_header_v4(
            payload - IPV4_HEADER, d.length, d.next_header, sa, hop_limit, traffic_class)
    else:
        octets = beet_header_v6(
            payload - IPV6_HEADER, d.length, d.next_header, sa, hop_limit, traffic_class)
    d.offset -= octets
    d.length += octets
    d.family = 4 if family == 4 else 6
    return R_NONE


cdef Py_ssize_t beet_strip_batch(
        uint8_t *arena, PacketDesc *desc, Py_ssize_t n, SaOut **sa, bint clamp_mss) noexcept nogil:
    """Strip every FORWARD packet; routed ones stay whole. Returns how many stay FORWARD."""
    cdef Py_ssize_t i, stay = 0
    cdef int reason
    for i in range(n):
        if desc[i].verdict != FORWARD:
            continue
        if desc[i].next_header == IP_IN_IP or desc[i].next_header == IPV6_IN_IP:
            reason = wrap_routed(arena, &desc[i], sa[desc[i].sa_index], clamp_mss)
        else:
            reason = beet_strip(arena, &desc[i], sa[desc[i].sa_index])
        if reason == R_NONE:
            stay += 1
        else:
            desc[i].verdict = DROP
            desc[i].reason = <uint16_t>reason
    return stay


cdef Py_ssize_t beet_rebuild_batch(
        uint8_t *arena, PacketDesc *desc, Py_ssize_t n, SaIn **sa, uint8_t hop_limit,
        uint8_t traffic_class) noexcept nogil:
    """Rebuild every FORWARD packet in its descriptor's family. Returns how many stay FORWARD."""
    cdef Py_ssize_t i, stay = 0
    cdef SaIn *s
    cdef int reason
    for i in range(n):
        if desc[i].verdict != FORWARD:
            continue
        s = sa[desc[i].sa_index]
        reason = beet_rebuild(arena, &desc[i], s, desc[i].family, hop_limit, traffic_class)
        if reason == R_NONE:
            s.octets += desc[i].length
            stay += 1
        else:
            desc[i].verdict = DROP
            desc[i].reason = <uint16_t>reason
    return stay
