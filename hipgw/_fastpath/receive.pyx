"""Batches in from the sockets.

One recvmmsg brings messages.  A message is one datagram, or with UDP_GRO (udp(7)) a train:
datagrams of one peer, all of the length that its ancillary data names, but the last may be shorter.
A train becomes descriptors where it lies; a batch ends before a train that would not fit, if it
can.

The arena, the descriptors and the mailbag belong to the worker; names and ancillary data are good
until the next recvmmsg.  Deliberately not checked: the octets, which the classifier looks at.
"""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

from hipgw._fastpath.batch_io cimport UDP_GRO, drop, fresh
from hipgw._fastpath.c.sockets cimport (
    CMSG_DATA,
    CMSG_FIRSTHDR,
    CMSG_NXTHDR,
    IP_PKTINFO,
    IP_TOS,
    IP_TTL,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPPROTO_UDP,
    IPV6_HOPLIMIT,
    IPV6_PKTINFO,
    IPV6_TCLASS,
    MSG_DONTWAIT,
    MSG_TRUNC,
    cmsghdr,
    in6_pktinfo,
    in_pktinfo,
    msghdr,
    recvmmsg,
    sockaddr_in6,
)
from hipgw._fastpath.descriptor cimport BATCH_MOST
from hipgw._fastpath.reasons cimport R_TRUNCATED


cdef void prepare(Mailbag *bag, const Arena *arena, uint32_t room) noexcept nogil:
    """Name the slots; those that were named before and not used since are so still.

    A whole batch of names is sixteen kilobytes, which one packet after a pause need not touch.
    """
    cdef msghdr *head
    cdef uint32_t stale = bag.stale
    cdef uint32_t i
    if bag.ready_arena != arena.octets or bag.ready_room != room:
        bag.ready_arena = arena.octets
        bag.ready_room = room
        stale = arena.slots
    for i in range(stale):
        bag.parts[i].iov_base = arena.octets + i * arena.slot_octets
        bag.parts[i].iov_len = room
        head = &bag.messages[i].msg_hdr
        head.msg_name = &bag.names[i]
        head.msg_namelen = sizeof(sockaddr_in6)
        head.msg_iov = &bag.parts[i]
        head.msg_iovlen = 1
        head.msg_control = &bag.controls[i]
        head.msg_controllen = sizeof(bag.controls[i])
        head.msg_flags = 0


cdef Py_ssize_t receive_messages(
        int fd, Mailbag *bag, const Arena *arena, uint32_t room, Received *received,
        bint *trouble) noexcept nogil:
    cdef int got
    prepare(bag, arena, room)
    got = recvmmsg(fd, bag.messages, arena.slots, MSG_DONTWAIT, NULL)
    # One more than it returns may be written to: the one after which it failed.
    bag.stale = min(<uint32_t>(got if got > 0 else 0) + 1, arena.slots)
    received.message = received.at = 0
    received.messages = <uint32_t>got if got > 0 else 0
    if got < 0 and errno != EAGAIN and errno != EINTR:
        trouble[0] = True
    return received.messages


cdef void note_outer(Mailbag *bag, Py_ssize_t m, Received *received) noexcept nogil:
    """DSCP, ECN and hop limit of a message's outer headers, which a train has in common.

    Each is 0 when the kernel does not say.
    """
    cdef msghdr *head = &bag.messages[m].msg_hdr
    cdef cmsghdr *item = CMSG_FIRSTHDR(head)
    cdef int wide
    received.traffic_class = received.hop_limit = 0
    while item != NULL:
        if item.cmsg_level == IPPROTO_IP and item.cmsg_type == IP_TOS:
            received.traffic_class = CMSG_DATA(item)[0]
        elif (
            (item.cmsg_level == IPPROTO_IP and item.cmsg_type == IP_TTL)
            or (item.cmsg_level == IPPROTO_IPV6 and item.cmsg_type == IPV6_HOPLIMIT)
        ):
            memcpy(&wide, CMSG_DATA(item), sizeof(int))
            received.hop_limit = <uint8_t>wide
        elif item.cmsg_level == IPPROTO_IPV6 and item.cmsg_type == IPV6_TCLASS:
            memcpy(&wide, CMSG_DATA(item), sizeof(int))
            received.traffic_class = <uint8_t>wide
        item = CMSG_NXTHDR(head, item)


cdef uint32_t segment_octets_of(Mailbag *bag, Py_ssize_t m) noexcept nogil:
    """Length of each datagram of message m but the last; all of it when the kernel named none."""
    cdef msghdr *head = &bag.messages[m].msg_hdr
    cdef cmsghdr *item = CMSG_FIRSTHDR(head)
    cdef int octets
    while item != NULL:
        if item.cmsg_level == IPPROTO_UDP and item.cmsg_type == UDP_GRO:
            memcpy(&octets, CMSG_DATA(item), sizeof(int))
            if octets > 0 and <uint32_t>octets < bag.messages[m].msg_len:
                return <uint32_t>octets
        item = CMSG_NXTHDR(head, item)
    return bag.messages[m].msg_len


cdef bint begin_message(
        Mailbag *bag, Received *received, Py_ssize_t n) noexcept nogil:
    """Look at the next message; False when it had better begin another batch."""
    cdef uint32_t length = bag.messages[received.message].msg_len
    cdef uint32_t size = segment_octets_of(bag, received.message)
    cdef uint32_t datagrams = (length + size - 1) // size if size else 1
    if n and n + <Py_ssize_t>datagrams > BATCH_MOST:
        return False
    received.segment_octets = size
    note_outer(bag, received.message, received)
    bag.trains += datagrams > 1
    return True


cdef Py_ssize_t next_datagrams(
        Mailbag *bag, const Arena *arena, Received *received, PacketDesc *desc) noexcept nogil:
    cdef Py_ssize_t n = 0
    cdef uint32_t m, length, size
    while received.message < received.messages and n < BATCH_MOST:
        m = received.message
        if received.at == 0 and not begin_message(bag, received, n):
            break
        length = bag.messages[m].msg_len
        size = min(received.segment_octets, length - received.at)
        fresh(&desc[n], m * arena.slot_octets + received.at, size)
        desc[n].traffic_class = received.traffic_class
        desc[n].hop_limit = received.hop_limit
        bag.message[n] = <uint16_t>m
        n += 1
        received.at += size
        if bag.messages[m].msg_hdr.msg_flags & MSG_TRUNC:
            drop(&desc[n - 1], R_TRUNCATED)
            received.at = length            # whatever it was, it goes as one
        if received.at >= length:
            received.message += 1
            received.at = 0
    return n


cdef int destination_of(Mailbag *bag, Py_ssize_t m, uint8_t *address) noexcept nogil:
    cdef msghdr *head = &bag.messages[m].msg_hdr
    cdef cmsghdr *item = CMSG_FIRSTHDR(head)
    while item != NULL:
        if item.cmsg_level == IPPROTO_IP and item.cmsg_type == IP_PKTINFO:
            memcpy(address, &(<in_pktinfo *>CMSG_DATA(item)).ipi_addr, 4)
            return 4
        if item.cmsg_level == IPPROTO_IPV6 and item.cmsg_type == IPV6_PKTINFO:
            memcpy(address, &(<in6_pktinfo *>CMSG_DATA(item)).ipi6_addr, 16)
            return 16
        item = CMSG_NXTHDR(head, item)
    return 0
