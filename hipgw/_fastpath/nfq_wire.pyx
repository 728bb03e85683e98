"""Netlink messages of a netfilter queue: packets in, verdicts out.

A datagram holds messages (`struct nlmsghdr`: length, type, flags, sequence, port, 16 octets in the
host's order), each with a `struct nfgenmsg` (family, version, queue number, the latter big-endian)
and attributes (length and type in the host's order, contents big-endian), all padded to four
octets.  The kernel speaks so; nothing else may, but what is read is checked as if it could: every
length against the message, every message against the datagram.

A message that is broken is skipped where its own length can be believed, else the rest of the
datagram is.  Attributes that nobody here asks for are not looked at.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from hipgw._fastpath.c.nfnetlink cimport (
    NF_ACCEPT,
    NFNL_SUBSYS_QUEUE,
    NFQA_CAP_LEN,
    NFQA_MARK,
    NFQA_PACKET_HDR,
    NFQA_PAYLOAD,
    NFQA_SKB_INFO,
    NFQA_VERDICT_HDR,
    NFQNL_MSG_PACKET,
    NFQNL_MSG_VERDICT,
    NFQNL_MSG_VERDICT_BATCH,
    NLM_F_REQUEST,
)
from hipgw._fastpath.octets cimport load_be16, load_be32, store_be16, store_be32

cdef enum:
    MESSAGE_HEADER = 20         # nlmsghdr and nfgenmsg
    NETLINK_HEADER = 16
    ATTRIBUTE_HEADER = 4
    PACKET_HEADER = 7           # id, EtherType, hook
    ATTRIBUTE_TYPE = 0x3FFF     # without its two flags


cdef inline uint16_t host16(const uint8_t *p) noexcept nogil:
    cdef uint16_t value
    memcpy(&value, p, 2)
    return value


cdef inline uint32_t host32(const uint8_t *p) noexcept nogil:
    cdef uint32_t value
    memcpy(&value, p, 4)
    return value


cdef inline uint32_t padded(uint32_t octets) noexcept nogil:
    return (octets + 3) & ~<uint32_t>3


cdef bint parse_attributes(
        const uint8_t *octets, uint32_t at, uint32_t end, Queued *q) noexcept nogil:
    """Attributes octets[at..end] of one message; False when they make no packet."""
    cdef bint has_id = False
    cdef uint32_t length, content
    cdef uint16_t kind
    while end - at >= ATTRIBUTE_HEADER:
        length = host16(octets + at)
        kind = host16(octets + at + 2) & ATTRIBUTE_TYPE
        if length < ATTRIBUTE_HEADER or length > end - at:
            return False
        content = at + ATTRIBUTE_HEADER
        length -= ATTRIBUTE_HEADER
        if kind == NFQA_PACKET_HDR and length >= PACKET_HEADER:
            has_id = True
            q.id = load_be32(octets + content)
            q.hw_protocol = load_be16(octets + content + 4)
            q.hook = octets[content + 6]
        elif kind == NFQA_PAYLOAD:
            q.offset = content
            q.length = length
        elif length >= 4:
            if kind == NFQA_MARK:
                q.mark = load_be32(octets + content)
            elif kind == NFQA_CAP_LEN:
                q.whole_octets = load_be32(octets + content)
            elif kind == NFQA_SKB_INFO:
                q.flags = load_be32(octets + content)
        at = min(end, content + padded(length))
    # Without a length of its own the packet is copied whole.
    q.whole_octets = max(q.whole_octets, q.length)
    return has_id and q.length > 0


cdef int parse_queued(
        const uint8_t *octets, uint32_t length, uint32_t *at, Queued *q) noexcept nogil:
    cdef uint32_t start = at[0]
    cdef uint32_t message
    at[0] = length
    if start >= length:
        return NO_MORE
    if length - start < NETLINK_HEADER:
        return NO_PACKET
    message = host32(octets + start)
    if message < NETLINK_HEADER or message > length - start:
        return NO_PACKET
    at[0] = min(length, start + padded(message))
    if (host16(octets + start + 4) != (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET)
            or message < MESSAGE_HEADER):
        return NO_PACKET
    memset(q, 0, sizeof(Queued))
    q.queue = load_be16(octets + start + 18)
    q.verdict = NF_ACCEPT
    if not parse_attributes(octets, start + MESSAGE_HEADER, start + message, q):
        return NO_PACKET
    return PACKET


cdef void put_heads(
        uint8_t *to, const Queued *q, uint32_t length, uint16_t kind) noexcept nogil:
    """Message header and verdict, VERDICT_OCTETS."""
    cdef uint16_t type = <uint16_t>(NFNL_SUBSYS_QUEUE << 8 | kind)
    cdef uint16_t flags = NLM_F_REQUEST
    cdef uint16_t attribute = 12
    memset(to, 0, VERDICT_OCTETS)
    memcpy(to, &length, 4)
    memcpy(to + 4, &type, 2)
    memcpy(to + 6, &flags, 2)
    store_be16(to + 18, q.queue)
    memcpy(to + 20, &attribute, 2)
    attribute = NFQA_VERDICT_HDR
    memcpy(to + 22, &attribute, 2)
    store_be32(to + 24, q.verdict)
    store_be32(to + 28, q.id)


cdef void put_verdict(uint8_t *to, const Queued *q, bint batch) noexcept nogil:
    put_heads(to, q, VERDICT_OCTETS, NFQNL_MSG_VERDICT_BATCH if batch else NFQNL_MSG_VERDICT)


cdef uint32_t put_verdict_around(
        uint8_t *to, const Queued *q, uint32_t payload_octets) noexcept nogil:
    cdef uint16_t attribute = <uint16_t>(ATTRIBUTE_HEADER + payload_octets)
    cdef uint32_t length = PAYLOAD_AT + payload_octets
    put_heads(to, q, length, NFQNL_MSG_VERDICT)
    memcpy(to + VERDICT_OCTETS, &attribute, 2)
    attribute = NFQA_PAYLOAD
    memcpy(to + VERDICT_OCTETS + 2, &attribute, 2)
    memset(to + length, 0, padded(length) - length)
    return padded(length)


def parse_messages(const uint8_t[::1] octets not None) -> tuple[list[tuple], int]:
    """What one netlink datagram holds, for tests.

    Returns:
        packets (queue, id, EtherType, hook, mark, flags, whole octets, packet) in their order, and
        how many messages were no packets.
    """
    cdef uint32_t length = <uint32_t>octets.shape[0]
    cdef uint32_t at = 0
    cdef int others = 0
    cdef int found
    cdef Queued q
    cdef list packets = []
    # Exactly as large as what was read: AddressSanitizer sees a read beyond it.
    cdef uint8_t *copy = <uint8_t *>malloc(length or 1)
    if copy == NULL:
        raise MemoryError
    try:
        if length:
            memcpy(copy, &octets[0], length)
        while True:
            found = parse_queued(copy, length, &at, &q)
            if found == NO_MORE:
                return packets, others
            if found == NO_PACKET:
                others += 1
                continue
            packets.append((
                q.queue, q.id, q.hw_protocol, q.hook, q.mark, q.flags, q.whole_octets,
                PyBytes_FromStringAndSize(<const char *>copy + q.offset, q.length)))
    finally:
        free(copy)
