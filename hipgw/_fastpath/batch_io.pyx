"""Batches in from descriptors and out to them.

Reading: a TUN device gives one packet a call, sockets up to a batch in one recvmmsg.
Writing: packets that leave by the same socket go in one sendmmsg a run, in their order.

Patience: a descriptor that would block is waited for a few milliseconds a batch, not a packet;
then what is left of the run is dropped with its reason.  An error on one packet (no route, too
big, refused) drops that packet, and the run goes on.

The arena, the descriptors and the mailbag belong to the worker; nothing is kept between calls but
the storage.  Deliberately not checked: the octets themselves, which the classifier looks at.
"""

from libc.errno cimport EAGAIN, EINTR, ENOBUFS, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

from hipgw._fastpath.c.events cimport POLLOUT, poll, pollfd, read, write
from hipgw._fastpath.c.sockets cimport (
    AF_INET,
    AF_INET6,
    CMSG_DATA,
    CMSG_FIRSTHDR,
    CMSG_LEN,
    CMSG_NXTHDR,
    CMSG_SPACE,
    IP_PKTINFO,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPV6_PKTINFO,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    MSG_TRUNC,
    cmsghdr,
    htons,
    in6_pktinfo,
    in_pktinfo,
    msghdr,
    recvmmsg,
    sendmmsg,
    sockaddr_in,
    sockaddr_in6,
)
from hipgw._fastpath.descriptor cimport DROP, FORWARD, HEADROOM_OCTETS, TAILROOM_OCTETS
from hipgw._fastpath.reasons cimport (
    R_NONE,
    R_SEND_ERROR,
    R_SEND_FULL,
    R_TRUNCATED,
    R_TUN_FULL,
)

cdef enum:
    PATIENCE = 5                # waits a batch
    WAIT_MS = 2                 # the longest of each


cdef uint32_t slot_room(const Arena *arena) noexcept nogil:
    return arena.slot_octets - HEADROOM_OCTETS - TAILROOM_OCTETS


cdef inline void drop(PacketDesc *d, uint16_t reason) noexcept nogil:
    d.verdict = DROP
    d.reason = reason


cdef inline void fresh(PacketDesc *d, uint32_t offset, uint32_t length) noexcept nogil:
    memset(d, 0, sizeof(PacketDesc))
    d.offset = offset
    d.length = length
    d.verdict = FORWARD
    d.reason = R_NONE


cdef bint wait_for_room(int fd, int *patience) noexcept nogil:
    """Wait a little until `fd` takes more; False when the batch's patience is spent."""
    cdef pollfd asked
    if patience[0] <= 0:
        return False
    patience[0] -= 1
    asked.fd = fd
    asked.events = POLLOUT
    asked.revents = 0
    poll(&asked, 1, WAIT_MS)
    return True


cdef Py_ssize_t read_tun(
        int fd, const Arena *arena, PacketDesc *desc, Py_ssize_t first,
        bint *trouble) noexcept nogil:
    cdef uint32_t room = slot_room(arena)
    cdef Py_ssize_t n = first
    cdef uint32_t offset
    cdef ssize_t got
    while n < arena.slots:
        offset = <uint32_t>n * arena.slot_octets + HEADROOM_OCTETS
        # One octet more than fits, which the tailroom has: a longer packet is cut there, and seen.
        got = read(fd, arena.octets + offset, room + 1)
        if got > 0:
            fresh(&desc[n], offset, <uint32_t>got)
            if <uint32_t>got > room:
                drop(&desc[n], R_TRUNCATED)
            n += 1
        elif got < 0 and errno == EINTR:
            continue
        else:
            if got == 0 or errno != EAGAIN:
                trouble[0] = True
            break
    return n


cdef Py_ssize_t write_tun(
        int fd, uint8_t *arena, PacketDesc *desc, Py_ssize_t n) noexcept nogil:
    cdef int patience = PATIENCE
    cdef Py_ssize_t written = 0
    cdef Py_ssize_t i = 0
    while i < n:
        if desc[i].verdict != FORWARD:
            i += 1
            continue
        if write(fd, arena + desc[i].offset, desc[i].length) >= 0:
            written += 1
            i += 1
        elif errno == EINTR or (errno == EAGAIN and wait_for_room(fd, &patience)):
            continue
        else:
            drop(&desc[i], R_TUN_FULL)
            i += 1
    return written


cdef Py_ssize_t receive_batch(
        int fd, Mailbag *bag, const Arena *arena, PacketDesc *desc, bint *trouble) noexcept nogil:
    cdef uint32_t room = slot_room(arena)
    cdef msghdr *head
    cdef int got
    cdef Py_ssize_t i
    for i in range(arena.slots):
        bag.parts[i].iov_base = (
            arena.octets + <uint32_t>i * arena.slot_octets + HEADROOM_OCTETS)
        bag.parts[i].iov_len = room
        head = &bag.messages[i].msg_hdr
        head.msg_name = &bag.names[i]
        head.msg_namelen = sizeof(sockaddr_in6)
        head.msg_iov = &bag.parts[i]
        head.msg_iovlen = 1
        head.msg_control = &bag.controls[i]
        head.msg_controllen = sizeof(bag.controls[i])
        head.msg_flags = 0
    got = recvmmsg(fd, bag.messages, arena.slots, MSG_DONTWAIT, NULL)
    if got < 0:
        if errno != EAGAIN and errno != EINTR:
            trouble[0] = True
        return 0
    for i in range(got):
        fresh(
            &desc[i], <uint32_t>i * arena.slot_octets + HEADROOM_OCTETS, bag.messages[i].msg_len)
        if bag.messages[i].msg_hdr.msg_flags & MSG_TRUNC:
            drop(&desc[i], R_TRUNCATED)
    return got


cdef int destination_of(Mailbag *bag, Py_ssize_t i, uint8_t *address) noexcept nogil:
    cdef msghdr *head = &bag.messages[i].msg_hdr
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


cdef void address_v4(Mailbag *bag, Py_ssize_t m, const SaOut *sa) noexcept nogil:
    """Destination and source of message `m`, IPv4."""
    cdef sockaddr_in *name = <sockaddr_in *>&bag.names[m]
    cdef msghdr *head = &bag.messages[m].msg_hdr
    cdef cmsghdr *item
    cdef in_pktinfo *source
    memset(name, 0, sizeof(sockaddr_in))
    name.sin_family = AF_INET
    name.sin_port = htons(sa.destination_port) if sa.udp else 0
    memcpy(&name.sin_addr, sa.destination, 4)
    head.msg_namelen = sizeof(sockaddr_in)
    head.msg_controllen = CMSG_SPACE(sizeof(in_pktinfo))
    item = CMSG_FIRSTHDR(head)
    item.cmsg_level = IPPROTO_IP
    item.cmsg_type = IP_PKTINFO
    item.cmsg_len = CMSG_LEN(sizeof(in_pktinfo))
    source = <in_pktinfo *>CMSG_DATA(item)
    memset(source, 0, sizeof(in_pktinfo))
    memcpy(&source.ipi_spec_dst, sa.source, 4)


cdef void address_v6(Mailbag *bag, Py_ssize_t m, const SaOut *sa) noexcept nogil:
    """Destination and source of message `m`, IPv6."""
    cdef sockaddr_in6 *name = &bag.names[m]
    cdef msghdr *head = &bag.messages[m].msg_hdr
    cdef cmsghdr *item
    cdef in6_pktinfo *source
    memset(name, 0, sizeof(sockaddr_in6))
    name.sin6_family = AF_INET6
    name.sin6_port = htons(sa.destination_port) if sa.udp else 0
    memcpy(&name.sin6_addr, sa.destination, 16)
    head.msg_namelen = sizeof(sockaddr_in6)
    head.msg_controllen = CMSG_SPACE(sizeof(in6_pktinfo))
    item = CMSG_FIRSTHDR(head)
    item.cmsg_level = IPPROTO_IPV6
    item.cmsg_type = IPV6_PKTINFO
    item.cmsg_len = CMSG_LEN(sizeof(in6_pktinfo))
    source = <in6_pktinfo *>CMSG_DATA(item)
    memset(source, 0, sizeof(in6_pktinfo))
    memcpy(&source.ipi6_addr, sa.source, 16)


cdef Py_ssize_t send_run(
        int fd, Mailbag *bag, PacketDesc *desc, Py_ssize_t start, Py_ssize_t stop,
        int *patience) noexcept nogil:
    """Send messages start..stop through one socket; returns how many went."""
    cdef Py_ssize_t went = 0
    cdef Py_ssize_t i = start
    cdef int sent
    while i < stop:
        sent = sendmmsg(
            fd, &bag.messages[i], <unsigned int>(stop - i), MSG_DONTWAIT | MSG_NOSIGNAL)
        if sent > 0:
            went += sent
            i += sent
        elif errno == EINTR:
            continue
        elif errno == EAGAIN:
            if not wait_for_room(fd, patience):
                while i < stop:
                    drop(&desc[bag.packet[i]], R_SEND_FULL)
                    i += 1
        else:
            drop(&desc[bag.packet[i]], R_SEND_FULL if errno == ENOBUFS else R_SEND_ERROR)
            i += 1
    return went


cdef Py_ssize_t send_batch(
        const int *sockets, Mailbag *bag, uint8_t *arena, PacketDesc *desc, Py_ssize_t n,
        SaOut **sa) noexcept nogil:
    cdef int patience = PATIENCE
    cdef Py_ssize_t messages = 0
    cdef Py_ssize_t went = 0
    cdef Py_ssize_t start = 0
    cdef Py_ssize_t i, stop
    cdef msghdr *head
    cdef const SaOut *out
    for i in range(n):
        if desc[i].verdict != FORWARD:
            continue
        out = sa[desc[i].sa_index]
        bag.packet[messages] = <uint32_t>i
        bag.socket[messages] = (UDP4 if out.udp else RAW4) + (1 if out.outer_family == 6 else 0)
        bag.parts[messages].iov_base = arena + desc[i].offset
        bag.parts[messages].iov_len = desc[i].length
        head = &bag.messages[messages].msg_hdr
        head.msg_name = &bag.names[messages]
        head.msg_iov = &bag.parts[messages]
        head.msg_iovlen = 1
        head.msg_control = &bag.controls[messages]
        head.msg_flags = 0
        if out.outer_family == 6:
            address_v6(bag, messages, out)
        else:
            address_v4(bag, messages, out)
        messages += 1
    while start < messages:
        stop = start + 1
        while stop < messages and bag.socket[stop] == bag.socket[start]:
            stop += 1
        went += send_run(sockets[bag.socket[start]], bag, desc, start, stop, &patience)
        start = stop
    return went
