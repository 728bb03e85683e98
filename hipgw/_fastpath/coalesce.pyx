"""Neighbouring packets of one flow, gathered into super-packets for the TUN device.

For each opened payload of a batch:
  1. TCP or UDP with some payload, whole, and without anything odd?  If not, it stands alone, and
     ends the bundle of its flow;
  2. does the flow have a bundle that may grow, and does the packet continue it: TCP the next
     sequence number, equal acknowledgement, window, flags and options; no longer payload than the
     first's; 65,535 octets in all?
  3. are the checksums of both right?  They are end to end, and a super-packet vouches for them:
     a wrong one is never hidden in it;
  4. then it is linked to the bundle, which a shorter payload, PSH or FIN ends.
Bundles are written in the order of their first packets, so no flow is reordered.

What does not continue its flow's bundle ends it and begins the next.  The rules are those of the
kernel's own receive offload; CWR may stand on the first packet only, and SYN, RST and URG alone.
Packets of a flow that differ in traffic class or hop limit, and routed ones (routed.pyx) that
differ in flow label, are not merged either.

Nothing is copied: bundles link descriptors, and are made of their octets when they are written.
Arena, descriptors and bundles belong to the worker's batch.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from cpython.bytes cimport PyBytes_FromStringAndSize

from hipgw._fastpath.beet cimport beet_header_v4, beet_header_v6, hop_limit_of
from hipgw._fastpath.checksum cimport fold, ones_sum
from hipgw._fastpath.descriptor cimport FORWARD
from hipgw._fastpath.octets cimport load_be16, load_be32, store_be16
from hipgw._fastpath.vnet cimport (
    VNET_GSO_ECN,
    VNET_GSO_TCPV4,
    VNET_GSO_TCPV6,
    VNET_GSO_UDP_L4,
    VNET_NEEDS_CSUM,
    VNET_OCTETS,
    VnetHeader,
)

from hipgw._fastpath.descriptor import check_batch

cdef enum:
    TCP = 6
    UDP = 17
    TCP_HEADER = 20
    UDP_HEADER = 8
    TCP_CHECKSUM = 16
    UDP_CHECKSUM = 6
    FIN = 0x01
    SYN = 0x02
    RST = 0x04
    PSH = 0x08
    URG = 0x20
    CWR = 0x80
    PACKET_MOST = 65535 - 40    # transport header and payload, whatever the family

cdef enum Shape:
    ALONE                       # never merged
    LAST                        # may end a bundle, but not begin one that grows
    PART


cdef uint16_t header_octets_of(const uint8_t *p, const PacketDesc *d) noexcept nogil:
    """Length of a transport header that leaves some payload, or 0."""
    cdef uint32_t octets
    if d.next_header == TCP and d.length > TCP_HEADER:
        octets = <uint32_t>(p[12] >> 4) * 4
        return <uint16_t>octets if TCP_HEADER <= octets < d.length else 0
    if (d.next_header == UDP and d.length > UDP_HEADER
            and load_be16(p + 4) == d.length and load_be16(p + UDP_CHECKSUM) != 0):
        return UDP_HEADER
    return 0


cdef Shape shape_of(const uint8_t *p, const PacketDesc *d, uint16_t header) noexcept nogil:
    """Step 1."""
    if header == 0 or d.length > PACKET_MOST:
        return ALONE
    if d.next_header == UDP:
        return PART
    if p[13] & (SYN | RST | URG):
        return ALONE
    return LAST if p[13] & (FIN | PSH) else PART


cdef inline uint32_t addresses_of(const PacketDesc *d) noexcept nogil:
    """Octets of both addresses of a routed packet, which end where its transport header begins."""
    return 8 if d.family == 4 else 32


cdef bint is_same_flow(
        const uint8_t *arena, const PacketDesc *a, const PacketDesc *b) noexcept nogil:
    """Whether two packets have protocol, addresses and ports in common."""
    cdef uint32_t octets = 0
    if (a.sa_index != b.sa_index or a.next_header != b.next_header or a.family != b.family
            or a.network_octets != b.network_octets):
        return False
    if a.network_octets:
        octets = addresses_of(a)
    return memcmp(arena + a.offset - octets, arena + b.offset - octets, octets + 4) == 0


cdef bint is_same_header(
        const uint8_t *arena, const PacketDesc *first, const PacketDesc *d,
        uint32_t parts) noexcept nogil:
    """Whether a super-packet's IP header can stand for that of packet number `parts`."""
    cdef const uint8_t *a = arena + first.offset - first.network_octets
    cdef const uint8_t *b = arena + d.offset - d.network_octets
    if first.traffic_class != d.traffic_class:
        return False
    if first.network_octets == 0:
        return first.hop_limit == d.hop_limit
    if first.family == 6:
        return memcmp(a, b, 4) == 0 and a[7] == b[7]
    return (
        memcmp(a, b, 2) == 0 and memcmp(a + 6, b + 6, 3) == 0
        and (a[6] & 0x40 or <uint16_t>(load_be16(a + 4) + parts) == load_be16(b + 4)))


cdef bint is_checksum_right(
        const uint8_t *p, const PacketDesc *d, const SaIn *sa, Bundles *bundles) noexcept nogil:
    """Step 3: over the HITs, as it came from the wire (RFC 7401 section 4.5.1).

    Of a routed packet over its own addresses, and that of its IPv4 header, which is made anew.
    """
    cdef uint32_t octets
    if d.network_octets:
        if d.family == 4 and ones_sum(p - d.network_octets, d.network_octets, 0) != 0xFFFF:
            return False
        octets = addresses_of(d)
        return ones_sum(
            p, d.length, ones_sum(p - octets, octets, d.next_header + d.length)) == 0xFFFF
    if bundles.pseudo_sa != sa:
        bundles.pseudo_sa = sa
        bundles.pseudo = ones_sum(sa.peer_hit, 16, ones_sum(sa.local_hit, 16, 0))
    return ones_sum(p, d.length, bundles.pseudo + d.next_header + d.length) == 0xFFFF


cdef Py_ssize_t find_open(
        const uint8_t *arena, const PacketDesc *desc, const PacketDesc *d,
        const Bundles *bundles) noexcept nogil:
    """Place in `open` of the bundle of the packet's flow, or -1."""
    cdef const PacketDesc *other
    cdef Py_ssize_t k
    for k in range(bundles.open_count):
        other = &desc[bundles.bundle[bundles.open[k]].first]
        if is_same_flow(arena, other, d):
            return k
    return -1


cdef void close_at(Bundles *bundles, Py_ssize_t k) noexcept nogil:
    """The k-th open bundle does not grow any more."""
    bundles.open_count -= 1
    while k < bundles.open_count:
        bundles.open[k] = bundles.open[k + 1]
        k += 1


cdef bint continues(
        const Bundle *b, const uint8_t *first, const uint8_t *p, const PacketDesc *d,
        uint16_t header) noexcept nogil:
    """Step 2."""
    cdef uint32_t payload = d.length - header
    if (b.parts == BUNDLE_PARTS_MOST or payload > b.segment_octets
            or b.header_octets + b.payload_octets + payload > PACKET_MOST):
        return False
    if d.next_header == UDP:
        return True
    return (
        header == b.header_octets
        and load_be32(p + 4) == b.next_sequence
        and memcmp(p + 8, first + 8, 5) == 0            # acknowledgement, header length
        and ((p[13] ^ first[13]) & ~(CWR | FIN | PSH)) == 0
        and p[13] & CWR == 0
        and memcmp(p + 14, first + 14, 2) == 0          # window
        and memcmp(p + TCP_HEADER, first + TCP_HEADER, header - TCP_HEADER) == 0)


cdef bint join(
        const uint8_t *arena, const PacketDesc *desc, uint32_t i, uint16_t header,
        const SaIn *sa, Bundles *bundles, Py_ssize_t k) noexcept nogil:
    """Link packet i to the k-th open bundle; False, and the bundle is closed, when it may not."""
    cdef Bundle *b = &bundles.bundle[bundles.open[k]]
    cdef const PacketDesc *d = &desc[i]
    cdef const uint8_t *p = arena + d.offset
    cdef const PacketDesc *first = &desc[b.first]
    cdef uint32_t payload = d.length - header
    if (not is_same_header(arena, first, d, b.parts)
            or not continues(b, arena + first.offset, p, d, header)):
        close_at(bundles, k)
        return False
    if not b.is_right:
        b.is_right = is_checksum_right(arena + first.offset, first, sa, bundles)
    if not b.is_right or not is_checksum_right(p, d, sa, bundles):
        close_at(bundles, k)
        return False
    bundles.next[b.last] = <uint16_t>i
    b.last = <uint16_t>i
    b.parts += 1
    b.payload_octets += payload
    if d.next_header == TCP:
        b.next_sequence += payload
        b.flags |= p[13] & (FIN | PSH)
    if payload < b.segment_octets or b.flags:
        close_at(bundles, k)
    return True


cdef void begin(
        const uint8_t *arena, const PacketDesc *desc, uint32_t i, uint16_t header, Shape shape,
        Bundles *bundles) noexcept nogil:
    """A bundle of packet i, open when it may grow."""
    cdef const PacketDesc *d = &desc[i]
    cdef Bundle *b = &bundles.bundle[bundles.count]
    b.first = b.last = <uint16_t>i
    b.parts = 1
    b.flags = 0
    b.is_right = False
    b.header_octets = header
    b.network_octets = d.network_octets or (20 if d.family == 4 else 40)
    b.segment_octets = b.payload_octets = d.length - header
    if shape == PART:
        if d.next_header == TCP:
            b.next_sequence = load_be32(arena + d.offset + 4) + b.payload_octets
        if bundles.open_count == FLOWS_OPEN_MOST:
            close_at(bundles, 0)
        bundles.open[bundles.open_count] = <uint16_t>bundles.count
        bundles.open_count += 1
    bundles.count += 1


cdef void gather_batch(
        const uint8_t *arena, const PacketDesc *desc, Py_ssize_t n, SaIn **sa, Bundles *bundles,
        bint takes_tcp, bint takes_udp) noexcept nogil:
    cdef const PacketDesc *d
    cdef uint16_t header
    cdef Shape shape
    cdef Py_ssize_t i, k
    bundles.count = bundles.open_count = 0
    bundles.pseudo_sa = NULL
    for i in range(n):
        d = &desc[i]
        if d.verdict != FORWARD:
            continue
        header = 0
        shape = ALONE
        if takes_tcp if d.next_header == TCP else (takes_udp and d.next_header == UDP):
            header = header_octets_of(arena + d.offset, d)
            shape = shape_of(arena + d.offset, d, header)
            k = find_open(arena, desc, d, bundles) if d.length >= UDP_HEADER else -1
            if k >= 0:
                if shape == ALONE:
                    close_at(bundles, k)
                elif join(arena, desc, <uint32_t>i, header, sa[d.sa_index], bundles, k):
                    continue
        begin(arena, desc, <uint32_t>i, header, shape, bundles)


cdef void compose_transport(
        const Bundle *b, const PacketDesc *d, const SaIn *sa, const uint8_t *first,
        uint8_t *transport) noexcept nogil:
    """The transport header, its checksum left to the receiver as VNET_NEEDS_CSUM asks."""
    cdef uint32_t length = b.header_octets + b.payload_octets
    cdef uint32_t total = length + d.next_header
    memcpy(transport, first, b.header_octets)
    if d.network_octets:
        total = ones_sum(first - addresses_of(d), addresses_of(d), total)
    elif d.family == 4:
        total = ones_sum(sa.peer_lsi, 4, ones_sum(sa.local_lsi, 4, total))
    else:
        total = ones_sum(sa.peer_hit, 16, ones_sum(sa.local_hit, 16, total))
    if d.next_header == TCP:
        transport[13] |= b.flags
        store_be16(transport + TCP_CHECKSUM, fold(total))
    else:
        store_be16(transport + 4, <uint16_t>length)
        store_be16(transport + UDP_CHECKSUM, fold(total))


cdef uint32_t routed_header(
        uint8_t *network, const uint8_t *first, const PacketDesc *d,
        uint32_t length) noexcept nogil:
    """The IP header of a routed super-packet: that of its first packet, with another length."""
    memcpy(network, first - d.network_octets, d.network_octets)
    if d.family == 6:
        store_be16(network + 4, <uint16_t>length)
    else:
        store_be16(network + 2, <uint16_t>(length + d.network_octets))
        store_be16(network + 10, 0)
        store_be16(network + 10, <uint16_t>~<uint16_t>ones_sum(network, d.network_octets, 0))
    return d.network_octets


cdef void compose_bundle(
        const Bundles *bundles, Py_ssize_t b, uint8_t *arena, const PacketDesc *desc,
        const SaIn *sa, uint8_t *header, iovec *parts) noexcept nogil:
    cdef const Bundle *bundle = &bundles.bundle[b]
    cdef const PacketDesc *d = &desc[bundle.first]
    cdef uint8_t *first = arena + d.offset
    cdef uint8_t *network = header + VNET_OCTETS
    cdef uint32_t length = bundle.header_octets + bundle.payload_octets
    cdef uint32_t i = bundle.first
    cdef uint32_t octets
    cdef VnetHeader vnet
    cdef Py_ssize_t k
    if d.network_octets:
        octets = routed_header(network, first, d, length)
    elif d.family == 4:
        octets = beet_header_v4(
            network, length, d.next_header, sa, hop_limit_of(d), d.traffic_class)
    else:
        octets = beet_header_v6(
            network, length, d.next_header, sa, hop_limit_of(d), d.traffic_class)
    compose_transport(bundle, d, sa, first, network + octets)
    vnet.flags = VNET_NEEDS_CSUM
    if d.next_header == UDP:
        vnet.gso_type = VNET_GSO_UDP_L4
    else:
        vnet.gso_type = VNET_GSO_TCPV4 if d.family == 4 else VNET_GSO_TCPV6
        if first[13] & CWR:
            vnet.gso_type |= VNET_GSO_ECN
    vnet.header_octets = <uint16_t>(octets + bundle.header_octets)
    vnet.segment_octets = <uint16_t>bundle.segment_octets
    vnet.checksum_start = <uint16_t>octets
    vnet.checksum_offset = UDP_CHECKSUM if d.next_header == UDP else TCP_CHECKSUM
    memcpy(header, &vnet, VNET_OCTETS)
    parts[0].iov_base = header
    parts[0].iov_len = VNET_OCTETS + vnet.header_octets
    for k in range(bundle.parts):
        parts[k + 1].iov_base = arena + desc[i].offset + bundle.header_octets
        parts[k + 1].iov_len = desc[i].length - bundle.header_octets
        i = bundles.next[i]


cdef class Coalescer:
    """Bundles of one association, for tests: Python is left once a batch."""

    cdef SaIn sa
    cdef Bundles *bundles

    def __cinit__(
            self, bytes local_hit not None, bytes peer_hit not None, bytes local_lsi not None,
            bytes peer_lsi not None):
        if not len(local_hit) == len(peer_hit) == 16 or not len(local_lsi) == len(peer_lsi) == 4:
            raise ValueError("expected two HITs of 16 octets and two LSIs of 4")
        self.bundles = <Bundles *>calloc(1, sizeof(Bundles))
        if self.bundles == NULL:
            raise MemoryError
        memset(&self.sa, 0, sizeof(SaIn))
        memcpy(self.sa.local_hit, <const uint8_t *>local_hit, 16)
        memcpy(self.sa.peer_hit, <const uint8_t *>peer_hit, 16)
        memcpy(self.sa.local_lsi, <const uint8_t *>local_lsi, 4)
        memcpy(self.sa.peer_lsi, <const uint8_t *>peer_lsi, 4)

    def __dealloc__(self):
        free(self.bundles)

    def coalesce_batch(
            self, uint8_t[::1] arena not None, uint8_t[::1] descriptors not None, *,
            bint tcp=True, bint udp=True) -> list[tuple[list[int], bytes]]:
        """Bundles of the FORWARD payloads: numbers of the packets, and the super-packet's octets.

        The octets are those for the device, vnet header first; empty for a packet alone.
        """
        cdef iovec parts[1 + BUNDLE_PARTS_MOST]
        cdef uint8_t header[BUNDLE_HEADER_MOST]
        cdef SaIn *table[1]
        cdef Py_ssize_t n = check_batch(arena.shape[0], descriptors, 1, 0, 0)
        cdef const PacketDesc *desc
        cdef Bundle *bundle
        cdef Py_ssize_t b, k
        cdef uint32_t i
        cdef list found = []
        if n == 0:
            return found
        if n > BATCH_MOST:
            raise ValueError(f"{n} packets: expected at most {BATCH_MOST}")
        table[0] = &self.sa
        desc = <const PacketDesc *>&descriptors[0]
        with nogil:
            gather_batch(&arena[0], desc, n, table, self.bundles, tcp, udp)
        for b in range(self.bundles.count):
            bundle = &self.bundles.bundle[b]
            numbers = []
            i = bundle.first
            for _ in range(bundle.parts):
                numbers.append(i)
                i = self.bundles.next[i]
            octets = b""
            if bundle.parts > 1:
                compose_bundle(self.bundles, b, &arena[0], desc, &self.sa, header, parts)
                octets = b"".join([
                    PyBytes_FromStringAndSize(<const char *>parts[k].iov_base, parts[k].iov_len)
                    for k in range(bundle.parts + 1)])
            found.append((numbers, octets))
        return found
