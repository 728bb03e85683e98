"""Packets of hosts that know no HIP, whole inside BEET as next header 4 or 41.

On the wire this is what an IP-in-IPv6 tunnel between the two HITs sends (RFC 2473), so the far end
may be such a device.  Cryptokey routing: the longest prefix of the destination names the peer on
the way out, and on the way in the source must lie in a prefix of the very peer whose SA opened.

Out, for each packet:
  1. destination -> owner -> SA; a packet to the SA's own outer address would come back for ever;
  2. lengths; octets after the packet are cut off;
  3. the MSS option of a TCP SYN is lowered to what the path carries.
In:
  1. destination options of an ip6tnl device (the tunnel encapsulation limit) are skipped;
  2. lengths; the source is the peer's and no HIT or LSI, the destination is no peer's and one of
     ours;
  3. ECN as RFC 6040 section 4.2 combines both headers, the MSS again;
  4. the IP header stays in front of offset, so that transport headers can be compared.

Hop limits are the kernel's: it forwards between hip0 and the other interfaces, and decrements them.
The source of outbound packets is the far end's to check.  Octets belong to the worker's batch.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp

from hipgw._fastpath.c.atomics cimport ATOMIC_ACQUIRE, ATOMIC_RELAXED, load_pointer, load_u64
from hipgw._fastpath.checksum cimport checksum_adjust
from hipgw._fastpath.descriptor cimport DROP, PUNT
from hipgw._fastpath.hits cimport is_hit
from hipgw._fastpath.octets cimport load_be16, load_be32, load_be64, store_be16, store_be32
from hipgw._fastpath.reasons cimport (
    R_ECN_ILLEGAL,
    R_INNER_MALFORMED,
    R_LOOP,
    R_NONE,
    R_NOT_HIP_DESTINATION,
    R_SOURCE_NOT_OURS,
    R_SUBNET_DESTINATION,
    R_SUBNET_SOURCE,
    R_TOO_BIG,
)
from hipgw._fastpath.rings cimport PUNT_NO_SA
from hipgw._fastpath.subnets cimport (
    has_subnets,
    owner_at,
    peer_owner_v4,
    peer_owner_v6,
)
from hipgw._fastpath.tables cimport find_out

cdef enum:
    IPV4_HEADER = 20
    IPV6_HEADER = 40
    IPV6_LEAST_MTU = 1280
    TCP = 6
    UDP = 17
    HOP_BY_HOP = 0
    DESTINATION_OPTIONS = 60
    TCP_HEADER = 20
    TCP_CHECKSUM = 16
    TCP_FLAGS = 13
    SYN = 0x02
    OPTION_END = 0
    OPTION_NOP = 1
    OPTION_MSS = 2
    MSS_OCTETS = 4
    MSS_LEAST = 536                 # RFC 9293 section 3.7.1
    DONT_FRAGMENT = 0x4000
    FRAGMENT_BITS = 0x3FFF
    NOT_ECT = 0
    ECT_1 = 1
    ECT_0 = 2
    CE = 3


cdef inline bint is_special_v4(const uint8_t *address) noexcept nogil:
    """An LSI, or an address that is nobody's: 0/8, 127/8, multicast and beyond."""
    return address[0] == 1 or address[0] == 0 or address[0] == 127 or address[0] >= 224


cdef inline bint is_special_v6(const uint8_t *address) noexcept nogil:
    """A HIT, or unspecified, loopback, link-local, multicast."""
    if is_hit(address) or address[0] == 0xff:
        return True
    if address[0] == 0xfe and address[1] & 0xc0 == 0x80:
        return True
    return load_be64(address) == 0 and load_be64(address + 8) <= 1


cdef SaOut *classify_routed(
        const uint8_t *p, PacketDesc *d, SaIndex *index, uint8_t version) noexcept nogil:
    cdef const Subnets *subnets = <const Subnets *>load_pointer(
        <void **>&index.subnets, ATOMIC_ACQUIRE)
    cdef const uint8_t *source = p + (12 if version == 4 else 8)
    cdef const uint8_t *destination = p + (16 if version == 4 else 24)
    cdef uint32_t owner = 0
    cdef SaOut *sa
    if subnets != NULL:
        owner = (peer_owner_v4(subnets, destination) if version == 4
                 else peer_owner_v6(subnets, destination))
    if owner == 0:
        d.verdict = DROP
        d.reason = R_NOT_HIP_DESTINATION
        return NULL
    if is_special_v4(source) if version == 4 else is_special_v6(source):
        d.verdict = DROP
        d.reason = R_SOURCE_NOT_OURS
        return NULL
    sa = find_out(index, subnets.owner[owner - 1].local_hit, subnets.owner[owner - 1].peer_hit)
    if sa == NULL:
        d.verdict = PUNT
        d.reason = PUNT_NO_SA
        return NULL
    if (sa.outer_family == version
            and memcmp(destination, sa.destination, 4 if version == 4 else 16) == 0):
        d.verdict = DROP
        d.reason = R_LOOP
        return NULL
    d.family = version
    d.next_header = IP_IN_IP if version == 4 else IPV6_IN_IP
    return sa


cdef void clamp_mss(uint8_t *tcp, uint32_t length, uint32_t most) noexcept nogil:
    """Lower the MSS option of a SYN to `most`, and keep its checksum right (RFC 1624)."""
    cdef uint32_t header, at, octets
    cdef uint16_t mss
    if length < TCP_HEADER or not tcp[TCP_FLAGS] & SYN:
        return
    header = min(<uint32_t>(tcp[12] >> 4) * 4, length)
    at = TCP_HEADER
    while at < header and tcp[at] != OPTION_END:
        if tcp[at] == OPTION_NOP:
            at += 1
            continue
        if at + 2 > header:
            return
        octets = tcp[at + 1]
        if octets < 2 or at + octets > header:
            return
        if tcp[at] == OPTION_MSS and octets == MSS_OCTETS:
            mss = load_be16(tcp + at + 2)
            if mss <= most:
                return
            store_be16(tcp + at + 2, <uint16_t>most)
            # An option may begin at an odd octet: the words that change are those around it.
            if at & 1:
                store_be16(tcp + TCP_CHECKSUM, checksum_adjust(
                    load_be16(tcp + TCP_CHECKSUM),
                    (mss >> 8) + <uint32_t>((mss & 0xff) << 8),
                    (most >> 8) + ((most & 0xff) << 8)))
            else:
                store_be16(tcp + TCP_CHECKSUM, checksum_adjust(
                    load_be16(tcp + TCP_CHECKSUM), mss, most))
            return
        at += octets


cdef inline uint32_t mss_of(const SaOut *sa, uint32_t headers) noexcept nogil:
    """Largest TCP payload that the path of an SA carries; 65535 when it is not known."""
    cdef uint64_t most = load_u64(<uint64_t *>&sa.payload_most, ATOMIC_RELAXED)
    if most == 0 or most > 65535:
        return 65535
    return <uint32_t>most - headers if most > headers + MSS_LEAST else MSS_LEAST


cdef int wrap_v4(uint8_t *p, PacketDesc *d, const SaOut *sa, bint clamp) noexcept nogil:
    cdef uint32_t header, total
    cdef uint64_t most
    if d.length < IPV4_HEADER:
        return R_INNER_MALFORMED
    header = (p[0] & 15) * 4
    total = load_be16(p + 2)
    if header < IPV4_HEADER or total < header or total > d.length:
        return R_INNER_MALFORMED
    if p[9] == TCP and not load_be16(p + 6) & FRAGMENT_BITS and clamp:
        clamp_mss(p + header, total - header, mss_of(sa, header + TCP_HEADER))
    most = load_u64(<uint64_t *>&sa.payload_most, ATOMIC_RELAXED)
    if most and total > most and load_be16(p + 6) & DONT_FRAGMENT:
        return R_TOO_BIG
    d.length = total
    d.traffic_class = p[1]
    return R_NONE


cdef int wrap_v6(uint8_t *p, PacketDesc *d, const SaOut *sa, bint clamp) noexcept nogil:
    cdef uint32_t total
    cdef uint64_t most
    if d.length < IPV6_HEADER:
        return R_INNER_MALFORMED
    total = load_be16(p + 4) + IPV6_HEADER
    if total > d.length or (p[6] == HOP_BY_HOP and total == IPV6_HEADER):
        return R_INNER_MALFORMED
    if p[6] == TCP and clamp:
        clamp_mss(p + IPV6_HEADER, total - IPV6_HEADER, mss_of(sa, IPV6_HEADER + TCP_HEADER))
    most = load_u64(<uint64_t *>&sa.payload_most, ATOMIC_RELAXED)
    if most and total > most and total > IPV6_LEAST_MTU:
        return R_TOO_BIG
    d.length = total
    d.traffic_class = <uint8_t>(load_be16(p) >> 4)
    return R_NONE


cdef int wrap_routed(
        uint8_t *arena, PacketDesc *d, const SaOut *sa, bint clamp_mss) noexcept nogil:
    if d.next_header == IP_IN_IP:
        return wrap_v4(arena + d.offset, d, sa, clamp_mss)
    return wrap_v6(arena + d.offset, d, sa, clamp_mss)


cdef int skip_options(const uint8_t *arena, PacketDesc *d) noexcept nogil:
    """Step 1 of in: False, and d unchanged, when no IP packet follows the options."""
    cdef uint32_t at = 0
    cdef uint8_t following = d.next_header
    cdef const uint8_t *p = arena + d.offset
    while following == DESTINATION_OPTIONS:
        if at + 8 > d.length:
            return False
        following = p[at]
        at += 8 + <uint32_t>p[at + 1] * 8
    if at > d.length or (following != IP_IN_IP and following != IPV6_IN_IP):
        return False
    d.offset += at
    d.length -= at
    d.next_header = following
    return True


cdef inline int combined_ecn(uint8_t inner, uint8_t outer) noexcept nogil:
    """RFC 6040 section 4.2: the ECN field to forward, or -1 to drop."""
    inner &= 3
    outer &= 3
    if outer == CE:
        return -1 if inner == NOT_ECT else CE
    if inner == ECT_0 and outer == ECT_1:
        return ECT_1
    return inner


cdef int unwrap_v4(uint8_t *p, PacketDesc *d) noexcept nogil:
    """ECN, and where the transport header is. The lengths are right."""
    cdef uint32_t header = (p[0] & 15) * 4
    cdef uint16_t word = load_be16(p)
    cdef int ecn = combined_ecn(p[1], d.traffic_class)
    if ecn < 0:
        return R_ECN_ILLEGAL
    if ecn != p[1] & 3:
        p[1] = <uint8_t>((p[1] & 0xfc) | ecn)
        store_be16(p + 10, checksum_adjust(load_be16(p + 10), word, load_be16(p)))
    d.next_header = p[9]
    if header != IPV4_HEADER or load_be16(p + 6) & FRAGMENT_BITS:
        d.next_header = NEVER_MERGED
    d.network_octets = <uint8_t>header
    d.traffic_class = p[1]
    d.family = 4
    return R_NONE


cdef int unwrap_v6(uint8_t *p, PacketDesc *d) noexcept nogil:
    cdef uint32_t word = load_be32(p)
    cdef uint8_t inner = <uint8_t>(word >> 20)
    cdef int ecn = combined_ecn(inner, d.traffic_class)
    if ecn < 0:
        return R_ECN_ILLEGAL
    if ecn != inner & 3:
        inner = <uint8_t>((inner & 0xfc) | ecn)
        store_be32(p, (word & ~<uint32_t>0x0ff00000) | (<uint32_t>inner << 20))
    d.next_header = p[6]
    d.network_octets = IPV6_HEADER
    d.traffic_class = inner
    d.family = 6
    return R_NONE


cdef uint32_t whole_length(const uint8_t *p, const PacketDesc *d) noexcept nogil:
    """Octets of the IP packet, or 0 for one that its header contradicts."""
    cdef uint32_t total
    if d.next_header == IP_IN_IP:
        if d.length < IPV4_HEADER or p[0] >> 4 != 4 or (p[0] & 15) * 4 < IPV4_HEADER:
            return 0
        total = load_be16(p + 2)
        return total if (p[0] & 15) * 4 <= <int>total <= <int>d.length else 0
    if d.length < IPV6_HEADER or p[0] >> 4 != 6:
        return 0
    total = load_be16(p + 4) + IPV6_HEADER
    return total if total <= d.length and not (p[6] == HOP_BY_HOP and total == IPV6_HEADER) else 0


cdef bint is_from(
        const Subnets *subnets, const uint8_t *p, uint8_t family, const SaIn *sa) noexcept nogil:
    """Whether the source lies in a prefix of the SA's peer, and is not a name of somebody's.

    A wide prefix may hold HITs and LSIs; as a source they are proven by their own SAs only.
    """
    cdef uint32_t owner
    if is_special_v4(p + 12) if family == 4 else is_special_v6(p + 8):
        return False
    owner = peer_owner_v4(subnets, p + 12) if family == 4 else peer_owner_v6(subnets, p + 8)
    return owner != 0 and memcmp(subnets.owner[owner - 1].peer_hit, sa.peer_hit, 16) == 0


cdef bint is_for_us(const Subnets *subnets, const uint8_t *p, uint8_t family) noexcept nogil:
    """Whether the destination is behind this host: not behind a peer, which would be transit."""
    if family == 4:
        if is_special_v4(p + 16) or peer_owner_v4(subnets, p + 16):
            return False
        return subnets.here4.count == 0 or owner_at(
            &subnets.here4, load_be32(p + 16), 0) != 0
    if is_special_v6(p + 24) or peer_owner_v6(subnets, p + 24):
        return False
    return subnets.here6.count == 0 or owner_at(
        &subnets.here6, load_be64(p + 24), load_be64(p + 32)) != 0


cdef int unwrap_routed(
        uint8_t *arena, PacketDesc *d, const SaIn *sa, SaIndex *index) noexcept nogil:
    cdef const Subnets *subnets = <const Subnets *>load_pointer(
        <void **>&index.subnets, ATOMIC_ACQUIRE)
    cdef SaOut *back
    cdef uint8_t *p
    cdef uint32_t total
    cdef int reason
    if subnets == NULL or not has_subnets(subnets, sa.peer_hit) or not skip_options(arena, d):
        return NOT_ROUTED
    p = arena + d.offset
    total = whole_length(p, d)
    if total == 0:
        return R_INNER_MALFORMED
    d.length = total
    if not is_from(subnets, p, 4 if d.next_header == IP_IN_IP else 6, sa):
        return R_SUBNET_SOURCE
    if not is_for_us(subnets, p, 4 if d.next_header == IP_IN_IP else 6):
        return R_SUBNET_DESTINATION
    reason = unwrap_v4(p, d) if d.next_header == IP_IN_IP else unwrap_v6(p, d)
    if reason != R_NONE:
        return reason
    d.offset += d.network_octets
    d.length -= d.network_octets
    if subnets.clamp_mss and d.next_header == TCP and d.length >= TCP_HEADER:
        p = arena + d.offset
        if p[TCP_FLAGS] & SYN:
            back = find_out(index, sa.local_hit, sa.peer_hit)
            if back != NULL:
                clamp_mss(p, d.length, mss_of(back, d.network_octets + TCP_HEADER))
    return R_NONE


def clamped(bytes segment, uint32_t most) -> bytes:
    """A TCP segment with its MSS option lowered to `most`, for tests."""
    cdef bytearray octets = bytearray(segment)
    cdef uint8_t[::1] view = octets
    if octets:
        with nogil:
            clamp_mss(&view[0], <uint32_t>view.shape[0], most)
    return bytes(octets)


def ecn_of(uint8_t inner, uint8_t outer) -> int:
    """The ECN field that decapsulation forwards, -1 to drop; for tests."""
    return combined_ecn(inner, outer)
