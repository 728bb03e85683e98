"""Netfilter queues read and answered in batches.

A round: one recvmmsg brings up to QUEUE_SLOTS messages, one packet each, into slots of 64 KiB; the
owner looks at them where they lie; one sendmsg takes all verdicts back, in order, because the
kernel looks for the packet of a verdict from the oldest on.  A verdict without payload is about
every packet up to its own, so a run of equal ones is one message.  A changed packet goes back from
its slot: the head of its verdict is written in front of it, over attributes that were read.

Loss: what finds no room in the socket's buffer is lost before it has an id, so nothing waits for a
verdict in vain; the kernel counts it (`socket_drops`), and unless it was told not to
(NETLINK_NO_ENOBUFS), says ENOBUFS once, which is counted and otherwise ignored.

The room belongs to one thread; packets in it are good until they are settled.
"""

from __future__ import annotations

import os

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.errno cimport EAGAIN, EINTR, ENOBUFS, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from hipgw._fastpath.c.events cimport POLLIN, poll, pollfd
from hipgw._fastpath.c.nfnetlink cimport (
    NF_ACCEPT,
    NF_DROP,
    NFQA_SKB_CSUMNOTREADY,
    NFQA_SKB_GSO,
)
from hipgw._fastpath.c.sockets cimport (
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    MSG_TRUNC,
    msghdr,
    recvmmsg,
    sendmsg,
)
from hipgw._fastpath.checksum cimport fold
from hipgw._fastpath.nfq_wire cimport (
    NO_MORE,
    PACKET,
    PAYLOAD_AT,
    VERDICT_OCTETS,
    Queued,
    parse_queued,
    put_verdict,
    put_verdict_around,
)
from hipgw._fastpath.octets cimport load_be16, store_be16
from hipgw._fastpath.segment cimport finish_checksum
from hipgw._fastpath.vnet cimport VnetHeader

cdef enum:
    SEND_OCTETS_MOST = 2 << 20  # in one sendmsg of changed packets
    IPV4_HEADER = 20
    IPV6_HEADER = 40
    TCP = 6
    UDP = 17
    TCP_CHECKSUM = 16
    UDP_CHECKSUM = 6
    HOP_BY_HOP = 0
    DESTINATION_OPTIONS = 60


cdef int queue_room_init(QueueRoom *room) noexcept:
    memset(room, 0, sizeof(QueueRoom))
    room.fd = -1
    room.octets = <uint8_t *>calloc(QUEUE_SLOTS, QUEUE_SLOT_OCTETS)
    return 0 if room.octets != NULL else -1


cdef void queue_room_free(QueueRoom *room) noexcept:
    if room.octets != NULL:
        memset(room.octets, 0, <size_t>QUEUE_SLOTS * QUEUE_SLOT_OCTETS)
    free(room.octets)
    room.octets = NULL


cdef Py_ssize_t receive_queued(QueueRoom *room, int fd, bint *trouble) noexcept nogil:
    cdef msghdr *head
    cdef uint8_t *slot
    cdef uint32_t slots = QUEUE_SLOTS
    cdef uint32_t i, n, at
    cdef int got, found
    for i in range(slots):
        room.parts[i].iov_base = (
            room.octets + <size_t>i * QUEUE_SLOT_OCTETS + FRONT_OCTETS)
        room.parts[i].iov_len = MESSAGE_OCTETS
        head = &room.messages[i].msg_hdr
        memset(head, 0, sizeof(msghdr))
        head.msg_iov = &room.parts[i]
        head.msg_iovlen = 1
    room.fd = fd
    room.count = room.at = 0
    got = recvmmsg(fd, room.messages, slots, MSG_DONTWAIT, NULL)
    if got < 0:
        if errno == ENOBUFS:
            room.overruns += 1
        elif errno != EAGAIN and errno != EINTR:
            trouble[0] = True
        return 0
    n = <uint32_t>got
    for i in range(n):
        slot = <uint8_t *>room.parts[i].iov_base
        at = 0
        if room.messages[i].msg_hdr.msg_flags & MSG_TRUNC:
            room.broken += 1
            continue
        # The kernel sends one message a datagram; a second one would find its slot overwritten by
        # the verdict of the first.
        found = parse_queued(slot, room.messages[i].msg_len, &at, &room.queued[room.count])
        if found == PACKET:
            room.packet[room.count] = slot + room.queued[room.count].offset
            room.whole_octets += room.queued[room.count].whole_octets
            room.count += 1
        elif found != NO_MORE:
            room.broken += 1
    room.received += room.count
    return room.count


cdef void send_parts(
        QueueRoom *room, uint32_t first, uint32_t count, uint32_t packets) noexcept nogil:
    """Send parts first..first+count in one datagram; each by itself if the kernel refuses."""
    cdef msghdr head
    cdef uint32_t i
    cdef ssize_t sent = -1
    if count == 0:
        return
    memset(&head, 0, sizeof(msghdr))
    head.msg_iov = &room.parts[first]
    head.msg_iovlen = count
    while True:
        sent = sendmsg(room.fd, &head, MSG_NOSIGNAL)
        if sent >= 0 or errno != EINTR:
            break
    if sent >= 0:
        return
    if count == 1:
        room.unanswered += packets
        return
    for i in range(count):
        send_parts(room, first + i, 1, packets // count)


cdef void settle_queued(QueueRoom *room) noexcept nogil:
    cdef const Queued *q
    cdef uint32_t used = 0
    cdef uint32_t i
    for i in range(room.count):
        q = &room.queued[i]
        if i + 1 < room.count and (
                room.queued[i + 1].queue == q.queue and room.queued[i + 1].verdict == q.verdict):
            continue
        put_verdict(room.answers + used * VERDICT_OCTETS, q, True)
        used += 1
    # The answers lie one behind the other.
    room.parts[0].iov_base = room.answers
    room.parts[0].iov_len = used * VERDICT_OCTETS
    send_parts(room, 0, used > 0, room.count)
    room.count = room.at = 0


cdef void settle_rewritten(QueueRoom *room) noexcept nogil:
    cdef uint8_t *free_answer = room.answers    # where the next short one goes
    cdef uint32_t parts = 0
    cdef uint32_t packets = 0
    cdef uint32_t octets = 0
    cdef uint32_t i, length
    cdef bint is_short
    cdef uint8_t *head
    for i in range(room.count):
        is_short = True
        if not room.queued[i].is_changed:
            head = free_answer
            length = VERDICT_OCTETS
            put_verdict(head, &room.queued[i], False)
        else:
            head = room.packet[i] - PAYLOAD_AT
            length = put_verdict_around(head, &room.queued[i], room.queued[i].length)
            is_short = length <= ANSWER_OCTETS
            if is_short:
                # Beside the others: one part of the datagram instead of many.
                memcpy(free_answer, head, length)
                head = free_answer
        if octets + length > SEND_OCTETS_MOST:
            send_parts(room, 0, parts, packets)
            parts = packets = octets = 0
        if (is_short and parts
                and <uint8_t *>room.parts[parts - 1].iov_base + room.parts[parts - 1].iov_len
                == head):
            room.parts[parts - 1].iov_len += length
        else:
            room.parts[parts].iov_base = head
            room.parts[parts].iov_len = length
            parts += 1
        if is_short:
            free_answer += length
        octets += length
        packets += 1
    send_parts(room, 0, parts, packets)
    room.count = room.at = 0


cdef uint32_t transport_at(
        const uint8_t *packet, uint32_t length, uint8_t *protocol) noexcept nogil:
    """Where the transport header begins; 0 when the packet has none that can be found."""
    cdef uint32_t at = IPV6_HEADER
    if length >= IPV4_HEADER and packet[0] >> 4 == 4:
        protocol[0] = packet[9]
        at = (packet[0] & 15) * 4
        return at if IPV4_HEADER <= at <= length else 0
    if length < IPV6_HEADER or packet[0] >> 4 != 6:
        return 0
    protocol[0] = packet[6]
    while protocol[0] == HOP_BY_HOP or protocol[0] == DESTINATION_OPTIONS:
        if at + 8 > length:
            return 0
        protocol[0] = packet[at]
        at += 8 + <uint32_t>packet[at + 1] * 8
    return at if at <= length else 0


cdef void finish_queued(uint8_t *packet, const Queued *q) noexcept nogil:
    """Complete the checksum of a packet that goes back changed: the kernel forgets that it is not.

    Not that of a super-packet: whoever cuts it completes each piece.
    """
    cdef VnetHeader vnet
    cdef uint8_t protocol = 0
    cdef uint32_t at
    if not q.flags & NFQA_SKB_CSUMNOTREADY or q.flags & NFQA_SKB_GSO:
        return
    at = transport_at(packet, q.length, &protocol)
    if at == 0 or (protocol != TCP and protocol != UDP):
        return
    vnet.checksum_start = <uint16_t>at
    vnet.checksum_offset = TCP_CHECKSUM if protocol == TCP else UDP_CHECKSUM
    finish_checksum(packet, q.length, &vnet)


cdef void mark_class(uint8_t *packet, Queued *q, uint8_t octet) noexcept nogil:
    """Set the traffic class of an IP packet; the IPv4 checksum is adjusted (RFC 1624)."""
    cdef uint16_t word
    if q.length < q.whole_octets:
        return                  # it would go back as short as it came
    q.is_changed = True
    finish_queued(packet, q)
    if q.length >= IPV4_HEADER and packet[0] >> 4 == 4:
        word = load_be16(packet)
        packet[1] = octet
        store_be16(packet + 10, <uint16_t>~fold(
            <uint32_t><uint16_t>~load_be16(packet + 10) + <uint16_t>~word + load_be16(packet)))
    elif q.length >= IPV6_HEADER and packet[0] >> 4 == 6:
        packet[0] = 0x60 | octet >> 4
        packet[1] = <uint8_t>(octet << 4) | (packet[1] & 15)


cdef class PacketQueue:
    """Packets of one netfilter queue and their verdicts, a batch at a time; for one thread.

    Args:
        fd: a socket of `hipgw.drivers.nfqueue.open_queue`, which stays the caller's.
    """

    cdef QueueRoom room
    cdef int fd

    def __cinit__(self, int fd):
        self.fd = fd
        if queue_room_init(&self.room) != 0:
            raise MemoryError

    def __dealloc__(self):
        queue_room_free(&self.room)

    cdef int wait(self, int timeout_ms) noexcept nogil:
        """Packets received; 0 after the time, or after a signal."""
        cdef pollfd asked
        cdef bint trouble = False
        asked.fd = self.fd
        asked.events = POLLIN
        asked.revents = 0
        if poll(&asked, 1, timeout_ms) <= 0:
            return 0
        receive_queued(&self.room, self.fd, &trouble)
        return -1 if trouble else <int>self.room.count

    def take(self, int timeout_ms=0) -> list[tuple[int, int, int, int, int, int, int, bytes]]:
        """Wait for packets, at most so long (-1: for ever), and take a batch.

        Returns:
            (queue, id, EtherType, hook, mark, NFQA_SKB_* flags, whole octets, packet) of each.
            More whole octets than the packet has: it is cut off.

        Raises:
            OSError: the socket is broken.
            RuntimeError: packets of the last batch have no verdict yet.
        """
        cdef const Queued *q
        cdef list taken = []
        cdef int got
        if self.room.count:
            raise RuntimeError(f"{self.room.count} packets wait for `settle`")
        with nogil:
            got = self.wait(timeout_ms)
        if got < 0:
            raise OSError(errno, f"netfilter queue: {os.strerror(errno)}")
        for i in range(self.room.count):
            q = &self.room.queued[i]
            taken.append((
                q.queue, q.id, q.hw_protocol, q.hook, q.mark, q.flags, q.whole_octets,
                PyBytes_FromStringAndSize(<const char *>self.room.packet[i], q.length)))
        return taken

    def settle(self, list verdicts not None) -> None:
        """Give a verdict on each packet of the batch, in order, in one send.

        Args:
            verdicts: False: drop it; True: let it pass; octets: let these pass in its place,
                1 to 65,531 of them, with complete checksums also when the packet's was not.

        Raises:
            ValueError: another number of verdicts than of packets, or octets of no packet.
        """
        cdef bint has_changes = False
        cdef Queued *q
        cdef Py_ssize_t i
        if len(verdicts) != self.room.count:
            raise ValueError(f"{len(verdicts)} verdicts on {self.room.count} packets")
        for verdict in verdicts:
            if isinstance(verdict, bytes):
                has_changes = True
                if not 0 < len(verdict) <= 65531:
                    raise ValueError(f"packet of {len(verdict)} octets: expected 1 to 65531")
        for i in range(len(verdicts)):
            q = &self.room.queued[i]
            q.verdict = NF_DROP if verdicts[i] is False else NF_ACCEPT
            if isinstance(verdicts[i], bytes):
                # From where the kernel put the first one on, any packet fits its slot.
                self.room.packet[i] = (
                    self.room.octets + <size_t>i * QUEUE_SLOT_OCTETS + FRONT_OCTETS + PAYLOAD_AT)
                q.length = <uint32_t>len(verdicts[i])
                q.is_changed = True
                memcpy(self.room.packet[i], <const uint8_t *><bytes>verdicts[i], q.length)
        with nogil:
            if has_changes:
                settle_rewritten(&self.room)
            else:
                settle_queued(&self.room)

    def serve(self, long packets, *, traffic_class=None, int idle_ms=1000) -> int:
        """Let packets pass, in batches, without the GIL; ends after `idle_ms` without any.

        Args:
            packets: end after so many.
            traffic_class: 0 to 255: what is written into that octet of each IP header, so that
                every packet goes back changed; None: they go back as they are.
            idle_ms: milliseconds.

        Returns:
            How many passed.
        """
        cdef long passed = 0
        cdef bint rewrites = traffic_class is not None
        cdef uint8_t octet = traffic_class if rewrites else 0
        cdef int got
        cdef uint32_t i
        with nogil:
            while passed < packets:
                got = self.wait(idle_ms)
                if got <= 0:
                    break
                passed += got
                if rewrites:
                    for i in range(self.room.count):
                        mark_class(self.room.packet[i], &self.room.queued[i], octet)
                    settle_rewritten(&self.room)
                else:
                    settle_queued(&self.room)
        return passed

    def counters(self) -> dict[str, int]:
        """Packets received and their octets, times ENOBUFS was said, messages that were no
        packets, and packets whose verdict was not taken."""
        return {
            "received": self.room.received,
            "octets": self.room.whole_octets,
            "overruns": self.room.overruns,
            "broken": self.room.broken,
            "unanswered": self.room.unanswered,
        }
