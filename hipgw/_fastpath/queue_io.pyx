"""Packets to HITs and LSIs, taken from netfilter queues on their way to the interface.

A packet that is taken gets the verdict DROP: what leaves the host is its ESP.  One that cannot be
carried as it is may pass instead: it goes on to the TUN device, where the worker meets it again,
cut by the kernel.  So a rule that is gone, a queue that is full (fail open) and a packet that is
left all end in the same worker.

The kernel hands super-packets over whole, but not their segment size.  Between HITs or LSIs TCP
does not mind where a stream is cut, for its ends are the hosts themselves, so it is cut to what
the path carries; UDP does mind, and is left.  The vnet header is made in front of the packet, where
its message was, and from there on everything is as with super-packets of a TUN device
(segment.pyx).  Behind a gateway there are other wires, whose sizes the segments have to keep:
packets to routed prefixes have a queue of their own, before which the kernel cuts them itself.

What comes behind a packet that is left is left as well, up to the end of what was received at once:
else it would overtake it.

The verdicts go back when the whole room has been read: until then the packets weigh on their
senders' sockets, which wait instead of filling the queue, where there is no order between what
fails open and what does not.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from hipgw._fastpath.batch_io cimport drop, fresh, slot_room
from hipgw._fastpath.c.atomics cimport ATOMIC_RELAXED, load_u64
from hipgw._fastpath.c.nfnetlink cimport (
    NF_ACCEPT,
    NF_DROP,
    NFQA_SKB_CSUMNOTREADY,
    NFQA_SKB_GSO,
)
from hipgw._fastpath.descriptor cimport HEADROOM_OCTETS
from hipgw._fastpath.hits cimport is_hit
from hipgw._fastpath.nfq cimport receive_queued, settle_queued, transport_at
from hipgw._fastpath.reasons cimport R_NONE
from hipgw._fastpath.sa cimport SaOut
from hipgw._fastpath.segment cimport super_begin, super_cut
from hipgw._fastpath.tables cimport find_out, find_out_by_lsi
from hipgw._fastpath.vnet cimport (
    VNET_GSO_TCPV4,
    VNET_GSO_TCPV6,
    VNET_NEEDS_CSUM,
    VNET_OCTETS,
)

cdef enum:
    IPV4_HEADER = 20
    IPV6_HEADER = 40
    LSI_PREFIX = 1              # 1.0.0.0/8
    TCP_HEADER = 20
    UDP_HEADER = 8
    TCP = 6
    UDP = 17
    TCP_CHECKSUM = 16
    UDP_CHECKSUM = 6


cdef bint describe_queued(
        const uint8_t *packet, const Queued *q, uint32_t mtu, uint32_t path_mtu,
        VnetHeader *vnet) noexcept nogil:
    cdef uint32_t at, header
    cdef uint8_t protocol = 0
    cdef bint is_super = (q.flags & NFQA_SKB_GSO) != 0
    memset(vnet, 0, sizeof(VnetHeader))
    if q.length < q.whole_octets or (q.length > mtu and not is_super):
        return False
    if not is_super and not q.flags & NFQA_SKB_CSUMNOTREADY:
        return True
    at = transport_at(packet, q.length, &protocol)
    if at == 0 or at + (UDP_HEADER if protocol == UDP else TCP_HEADER) > q.length:
        return False
    vnet.flags = VNET_NEEDS_CSUM
    vnet.checksum_start = <uint16_t>at
    vnet.checksum_offset = UDP_CHECKSUM if protocol == UDP else TCP_CHECKSUM
    if not is_super:
        return protocol == TCP or protocol == UDP
    header = at + <uint32_t>(packet[at + 12] >> 4) * 4
    if protocol != TCP or header >= path_mtu:
        return False
    vnet.gso_type = VNET_GSO_TCPV4 if packet[0] >> 4 == 4 else VNET_GSO_TCPV6
    vnet.segment_octets = <uint16_t>(path_mtu - header)
    return True


cdef bint has_queued(const QueueSource *source) noexcept nogil:
    return source != NULL and (source.whole.left > 0 or source.room.count > 0)


cdef void fetch_queued(QueueSource *source, int fd, bint *trouble) noexcept nogil:
    if not has_queued(source):
        receive_queued(&source.room, fd, trouble)


cdef uint32_t interface_mtu(
        const QueueSource *source, const uint8_t *packet, uint32_t length) noexcept nogil:
    """Octets of the longest packet that the kernel would not cut on its way to the interface."""
    cdef uint64_t mtu
    if packet[0] >> 4 == 4 and length >= IPV4_HEADER and packet[16] == LSI_PREFIX:
        return <uint32_t>load_u64(<uint64_t *>&source.mtu_lsi, ATOMIC_RELAXED)
    mtu = load_u64(<uint64_t *>&source.mtu_hit, ATOMIC_RELAXED)
    if packet[0] >> 4 == 6 and length >= IPV6_HEADER and is_hit(packet + 24):
        return <uint32_t>mtu
    return <uint32_t>mtu - IPV6_HEADER      # routed: whole inside BEET


cdef uint32_t path_mtu(
        const QueueSource *source, const uint8_t *packet, uint32_t length,
        uint32_t mtu) noexcept nogil:
    """The same, less where the path of its SA carries less."""
    cdef const SaOut *sa = NULL
    cdef uint64_t most = 0
    cdef uint32_t header = IPV6_HEADER
    if packet[0] >> 4 == 6 and length >= IPV6_HEADER:
        sa = find_out(source.index, packet + 8, packet + 24)
    elif packet[0] >> 4 == 4 and length >= IPV4_HEADER:
        header = IPV4_HEADER
        sa = find_out_by_lsi(source.index, packet + 12, packet + 16)
    if sa != NULL:
        most = load_u64(<uint64_t *>&sa.payload_most, ATOMIC_RELAXED)
    return mtu if most == 0 else <uint32_t>min(<uint64_t>mtu, most + header)


cdef int begin_packet(QueueSource *source, uint32_t room) noexcept nogil:
    """Look at the next packet: as super_begin when it is taken, R_NONE with nothing to cut when it
    is left."""
    cdef Queued *q = &source.room.queued[source.room.at]
    cdef uint8_t *packet = source.room.packet[source.room.at]
    cdef uint32_t mtu = min(interface_mtu(source, packet, q.length), room)
    cdef uint32_t most = mtu
    cdef VnetHeader vnet
    cdef int reason
    source.room.at += 1
    source.whole.left = 0
    if q.flags & NFQA_SKB_GSO:
        most = path_mtu(source, packet, q.length, mtu)
    if source.is_leaving or not describe_queued(packet, q, mtu, most, &vnet):
        source.is_leaving = True
        q.verdict = NF_ACCEPT
        source.left += 1
        return R_NONE
    q.verdict = NF_DROP
    source.taken += 1
    memcpy(packet - VNET_OCTETS, &vnet, VNET_OCTETS)
    source.whole.octets = packet - VNET_OCTETS
    reason = super_begin(&source.whole, VNET_OCTETS + q.length, room)
    source.supers += source.whole.left > 1
    return reason


cdef Py_ssize_t read_queued(
        QueueSource *source, const Arena *arena, PacketDesc *desc) noexcept nogil:
    cdef uint32_t room = slot_room(arena)
    cdef uint32_t offset = HEADROOM_OCTETS
    cdef Py_ssize_t n = 0
    cdef int reason
    while n < arena.slots:
        offset = <uint32_t>n * arena.slot_octets + HEADROOM_OCTETS
        if source.whole.left:
            fresh(&desc[n], offset, super_cut(&source.whole, arena.octets + offset))
            n += 1
        elif source.room.at < source.room.count:
            reason = begin_packet(source, room)
            if reason != R_NONE:
                fresh(&desc[n], offset, 0)
                drop(&desc[n], reason)
                n += 1
        else:
            break
    if source.whole.left == 0 and source.room.at == source.room.count:
        settle_queued(&source.room)
        source.is_leaving = False
    return n


def describe_packet(
        const uint8_t[::1] packet not None, uint32_t flags, uint32_t whole_octets,
        uint32_t mtu, uint32_t path_mtu=0) -> bytes | None:
    """The vnet header that a queued packet is given, for tests; None: it is left.

    Args:
        packet: uint8[at least 1].
        flags: NFQA_SKB_*.
        whole_octets: what the kernel says that the packet has.
        mtu: of the interface, for this family.
        path_mtu: of the path; 0: the same.
    """
    cdef VnetHeader vnet
    cdef Queued q
    if packet.shape[0] < 1:
        raise ValueError("packet of 0 octets: expected at least 1")
    memset(&q, 0, sizeof(Queued))
    q.length = <uint32_t>packet.shape[0]
    q.whole_octets = whole_octets
    q.flags = flags
    if not describe_queued(&packet[0], &q, mtu, path_mtu or mtu, &vnet):
        return None
    return PyBytes_FromStringAndSize(<const char *>&vnet, VNET_OCTETS)
