"""The TUN device, read and written.

Reading: one packet a call, straight into its slot; or, behind a vnet header, a super-packet into a
room of its own, from where it is cut into slots (segment.pyx).
Writing: one writev a bundle: vnet header, rebuilt inner header, then the payloads where they lie.
A super-packet that the device refuses goes again as its packets, and no other of its kind is tried.
A routed packet has its own header in front of it, and goes as it is.

Giving way: what is written to UDP sockets lies in their buffers, some 90 datagrams of 1300 octets
by default, until their owners run, and is lost when it does not fit.  A worker that keeps the
processor for all that it has received would fill them several times over.  So every few dozen
datagrams it offers the processor to whoever waits for it; with nobody there this costs one short
system call.

The traffic class of a rebuilt header is that of the outer one, its hop limit fixed.
"""

from libc.errno cimport EAGAIN, EINTR, EINVAL, errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from hipgw._fastpath.batch_io cimport PATIENCE, drop, fresh, slot_room, wait_for_room
from hipgw._fastpath.beet cimport IP_HEADER_MOST, beet_header
from hipgw._fastpath.c.events cimport read, sched_yield
from hipgw._fastpath.c.sockets cimport iovec, writev
from hipgw._fastpath.coalesce cimport (
    BUNDLE_HEADER_MOST,
    BUNDLE_PARTS_MOST,
    Bundle,
    compose_bundle,
)
from hipgw._fastpath.descriptor cimport HEADROOM_OCTETS
from hipgw._fastpath.flows cimport PROTOCOL_TCP, PROTOCOL_UDP
from hipgw._fastpath.reasons cimport R_NONE, R_TRUNCATED, R_TUN_FULL
from hipgw._fastpath.segment cimport SUPER_OCTETS, super_begin, super_cut
from hipgw._fastpath.vnet cimport VNET_OCTETS

cdef enum:
    UNREAD_MOST = 32            # packets of UDP between two offers of the processor


cdef ssize_t read_plain(
        int fd, uint8_t *slot, uint32_t room, PacketDesc *d, uint32_t offset) noexcept nogil:
    """One packet into its slot. As read(2)."""
    # One octet more than fits, which the tailroom has: a longer packet is cut there, and seen.
    cdef ssize_t got = read(fd, slot, room + 1)
    if got > 0:
        fresh(d, offset, <uint32_t>got)
        if <uint32_t>got > room:
            drop(d, R_TRUNCATED)
    return got


cdef Py_ssize_t read_tun(
        int fd, const Arena *arena, Super *whole, PacketDesc *desc, Py_ssize_t first,
        uint64_t *supers, bint *trouble) noexcept nogil:
    cdef uint32_t room = slot_room(arena)
    cdef Py_ssize_t n = first
    cdef uint32_t offset
    cdef ssize_t got
    cdef int reason
    while n < arena.slots:
        offset = <uint32_t>n * arena.slot_octets + HEADROOM_OCTETS
        if whole != NULL and whole.left:
            fresh(&desc[n], offset, super_cut(whole, arena.octets + offset))
            n += 1
            continue
        if whole == NULL:
            got = read_plain(fd, arena.octets + offset, room, &desc[n], offset)
            n += got > 0
        else:
            got = read(fd, whole.octets, SUPER_OCTETS)
            if got > 0:
                reason = super_begin(whole, <uint32_t>got, room)
                supers[0] += whole.left > 1
                if reason != R_NONE:
                    fresh(&desc[n], offset, 0)
                    drop(&desc[n], reason)
                    n += 1
        if got < 0 and errno == EINTR:
            continue
        if got <= 0:
            if got == 0 or errno != EAGAIN:
                trouble[0] = True
            break
    return n


cdef ssize_t put(int fd, const iovec *parts, int count, int *patience) noexcept nogil:
    """One packet; as writev(2), after some waiting for room."""
    cdef ssize_t took
    while True:
        took = writev(fd, parts, count)
        if took >= 0 or not (
                errno == EINTR or (errno == EAGAIN and wait_for_room(fd, patience))):
            return took


cdef int write_packet(
        const TunWriter *writer, uint8_t *arena, const PacketDesc *d, const SaIn *sa,
        uint64_t *octets, int *patience) noexcept nogil:
    cdef uint8_t header[VNET_OCTETS + IP_HEADER_MOST]
    cdef uint32_t start = 0 if writer.has_vnet else VNET_OCTETS
    cdef uint32_t length = 0
    cdef iovec parts[2]
    cdef int reason
    # A vnet header of zeros: nothing was checked, and nothing is left to do.
    memset(header, 0, VNET_OCTETS)
    if d.network_octets:
        parts[0].iov_base = header
        parts[0].iov_len = VNET_OCTETS - start
        parts[1].iov_base = arena + d.offset - d.network_octets
        parts[1].iov_len = d.length + d.network_octets
        octets[0] += d.length + d.network_octets
        return R_NONE if put(writer.fd, parts, 2, patience) >= 0 else R_TUN_FULL
    reason = beet_header(header + VNET_OCTETS, arena, d, sa, d.family, &length)
    if reason != R_NONE:
        return reason
    parts[0].iov_base = header + start
    parts[0].iov_len = VNET_OCTETS - start + length
    parts[1].iov_base = arena + d.offset
    parts[1].iov_len = d.length
    octets[0] += length + d.length
    return R_NONE if put(writer.fd, parts, 2, patience) >= 0 else R_TUN_FULL


cdef int write_whole(
        const TunWriter *writer, const uint8_t *packet, uint32_t length) noexcept nogil:
    cdef uint8_t vnet[VNET_OCTETS]
    cdef iovec parts[2]
    cdef int patience = PATIENCE
    memset(vnet, 0, VNET_OCTETS)
    parts[0].iov_base = vnet
    parts[0].iov_len = VNET_OCTETS if writer.has_vnet else 0
    parts[1].iov_base = <void *>packet
    parts[1].iov_len = length
    return R_NONE if put(writer.fd, parts, 2, &patience) >= 0 else R_TUN_FULL


cdef Py_ssize_t write_singly(
        const TunWriter *writer, uint8_t *arena, PacketDesc *desc, const Bundles *bundles,
        Py_ssize_t b, SaIn **sa, int *patience) noexcept nogil:
    """Each packet of a bundle by itself; returns how many went."""
    cdef Py_ssize_t written = 0
    cdef uint32_t i = bundles.bundle[b].first
    cdef SaIn *s = sa[desc[i].sa_index]
    cdef int reason
    for _ in range(bundles.bundle[b].parts):
        reason = write_packet(writer, arena, &desc[i], s, &s.octets, patience)
        if reason == R_NONE:
            written += 1
        else:
            drop(&desc[i], reason)
        i = bundles.next[i]
    return written


cdef Py_ssize_t write_super(
        TunWriter *writer, uint8_t *arena, PacketDesc *desc, const Bundles *bundles,
        Py_ssize_t b, SaIn **sa, int *patience) noexcept nogil:
    """A bundle of several packets as one; returns how many packets went."""
    cdef uint8_t header[BUNDLE_HEADER_MOST]
    cdef iovec parts[1 + BUNDLE_PARTS_MOST]
    cdef const Bundle *bundle = &bundles.bundle[b]
    cdef uint32_t i = bundle.first
    cdef SaIn *s = sa[desc[i].sa_index]
    cdef uint64_t octets = bundle.payload_octets + <uint64_t>bundle.parts * (
        bundle.network_octets + bundle.header_octets)
    compose_bundle(bundles, b, arena, desc, s, header, parts)
    s.octets += octets
    if put(writer.fd, parts, bundle.parts + 1, patience) >= 0:
        writer.supers += 1
        return bundle.parts
    if errno == EINVAL:
        writer.refused += 1
        if desc[i].next_header == PROTOCOL_TCP:
            writer.takes_tcp = False
        else:
            writer.takes_udp = False
        s.octets -= octets                  # the packets are counted again
        return write_singly(writer, arena, desc, bundles, b, sa, patience)
    for _ in range(bundle.parts):
        drop(&desc[i], R_TUN_FULL)
        i = bundles.next[i]
    return 0


cdef void give_way(TunWriter *writer, uint32_t packets) noexcept nogil:
    """Let others run, if so many packets more are enough for that."""
    writer.unread += packets
    if writer.unread >= UNREAD_MOST:
        writer.unread = 0
        writer.gave_way += 1
        sched_yield()


cdef Py_ssize_t write_bundles(
        TunWriter *writer, uint8_t *arena, PacketDesc *desc, Bundles *bundles,
        SaIn **sa) noexcept nogil:
    cdef int patience = PATIENCE
    cdef Py_ssize_t written = 0
    cdef Py_ssize_t b
    for b in range(bundles.count):
        if bundles.bundle[b].parts == 1:
            written += write_singly(writer, arena, desc, bundles, b, sa, &patience)
        else:
            written += write_super(writer, arena, desc, bundles, b, sa, &patience)
        if writer.gives_way and desc[bundles.bundle[b].first].next_header == PROTOCOL_UDP:
            give_way(writer, bundles.bundle[b].parts)
    return written
