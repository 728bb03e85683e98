"""Packets to HITs and LSIs, taken from netfilter queues on their way to the interface.

A packet that is taken gets the verdict DROP: what leaves the host is its ESP.  One that cannot be
carried as it is may pass instead: it goes on to the TUN device, where the worker meets it again,
cut by the kernel.  So a rule that is gone, a queue that is full (fail open) and a packet that is
left all end in the same worker.

The kernel hands super-packets over whole, but not their segment size.  TCP does not mind where a
stream is cut, so it is cut to the MTU of the interface, as the sender would have; UDP does mind,
and is left.  The vnet header is made in front of the packet, where its message was, and from there
on everything is as with super-packets of a TUN device (segment.pyx).

The verdicts go back when the whole room has been read: until then the packets weigh on their
senders' sockets, which wait instead of filling the queue, where there is no order between what
fails open and what does not.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint16_t, uint32_t
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
from hipgw._fastpath.nfq cimport receive_queued, settle_queued, transport_at
from hipgw._fastpath.reasons cimport R_NONE
from hipgw._fastpath.segment cimport super_begin, super_cut
from hipgw._fastpath.vnet cimport (
    VNET_GSO_TCPV4,
    VNET_GSO_TCPV6,
    VNET_NEEDS_CSUM,
    VNET_OCTETS,
)

cdef enum:
    TCP_HEADER = 20
    UDP_HEADER = 8
    TCP = 6
    UDP = 17
    TCP_CHECKSUM = 16
    UDP_CHECKSUM = 6


cdef bint describe_queued(
        const uint8_t *packet, const Queued *q, uint32_t mtu, VnetHeader *vnet) noexcept nogil:
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
    if protocol != TCP or header >= mtu:
        return False
    vnet.gso_type = VNET_GSO_TCPV4 if packet[0] >> 4 == 4 else VNET_GSO_TCPV6
    vnet.segment_octets = <uint16_t>(mtu - header)
    return True


cdef bint has_queued(const QueueSource *source) noexcept nogil:
    return source != NULL and (source.whole.left > 0 or source.room.count > 0)


cdef void fetch_queued(QueueSource *source, int fd, bint *trouble) noexcept nogil:
    if not has_queued(source):
        receive_queued(&source.room, fd, trouble)


cdef int begin_packet(QueueSource *source, uint32_t room) noexcept nogil:
    """Look at the next packet: as super_begin when it is taken, R_NONE with nothing to cut when it
    is left."""
    cdef Queued *q = &source.room.queued[source.room.at]
    cdef uint8_t *packet = source.room.packet[source.room.at]
    cdef uint64_t mtu = load_u64(
        &source.mtu_lsi if packet[0] >> 4 == 4 else &source.mtu_hit, ATOMIC_RELAXED)
    cdef VnetHeader vnet
    cdef int reason
    source.room.at += 1
    source.whole.left = 0
    if not describe_queued(packet, q, <uint32_t>min(mtu, <uint64_t>room), &vnet):
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
    return n


def describe_packet(
        const uint8_t[::1] packet not None, uint32_t flags, uint32_t whole_octets,
        uint32_t mtu) -> bytes | None:
    """The vnet header that a queued packet is given, for tests; None: it is left.

    Args:
        packet: uint8[at least 1].
        flags: NFQA_SKB_*.
        whole_octets: what the kernel says that the packet has.
        mtu: of the interface, for this family.
    """
    cdef VnetHeader vnet
    cdef Queued q
    if packet.shape[0] < 1:
        raise ValueError("packet of 0 octets: expected at least 1")
    memset(&q, 0, sizeof(Queued))
    q.length = <uint32_t>packet.shape[0]
    q.whole_octets = whole_octets
    q.flags = flags
    if not describe_queued(&packet[0], &q, mtu, &vnet):
        return None
    return PyBytes_FromStringAndSize(<const char *>&vnet, VNET_OCTETS)
