"""ESP packets out through the sockets.

Neighbours of one SA, traffic class and hop limit go in one message, a train (UDP_SEGMENT of
udp(7)): all of the first one's length, but the last may be shorter; at most 64 packets and 65,000
octets.
Messages that leave by the same socket go in one sendmmsg, in their order; raw sockets know no
trains.  The packets stay where they are: a message names its parts.

A train that the kernel refuses (a segment beyond the path's MTU, a device without checksums) goes
again as single datagrams, and so does everything of that SA for a while; then trains are tried
again.  An error on one packet (no route, too big, refused) drops that packet, and the run goes on.

Packets of protocol 50 whose next hop is known go to it (link.pyx), behind an IP header written in
their headroom; what a device refuses goes by the raw socket.

The arena, the descriptors and the mailbag belong to the worker; nothing is kept between calls but
the storage and the refusals.
"""

from libc.errno cimport EAGAIN, EINTR, EINVAL, EIO, EMSGSIZE, ENOBUFS, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from hipgw._fastpath.batch_io cimport (
    PATIENCE,
    LINK,
    RAW4,
    REFUSALS,
    UDP4,
    UDP_SEGMENT,
    Refusal,
    drop,
    wait_for_room,
)
from hipgw._fastpath.beet cimport HOP_LIMIT, hop_limit_of
from hipgw._fastpath.c.atomics cimport ATOMIC_RELAXED, load_u64, store_u64
from hipgw._fastpath.c.sockets cimport (
    AF_INET,
    AF_INET6,
    CMSG_DATA,
    CMSG_FIRSTHDR,
    CMSG_LEN,
    CMSG_SPACE,
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
    MSG_NOSIGNAL,
    cmsghdr,
    htons,
    in6_pktinfo,
    in_pktinfo,
    msghdr,
    sendmmsg,
    sendmsg,
    sockaddr_in,
    sockaddr_in6,
)
from hipgw._fastpath.descriptor cimport FORWARD
from hipgw._fastpath.link cimport address_link, outer_header
from hipgw._fastpath.reasons cimport R_SEND_ERROR, R_SEND_FULL

cdef enum:
    TRAIN_PACKETS = 64          # UDP_MAX_SEGMENTS of the kernels that have fewest
    TRAIN_OCTETS = 65000        # of 65,535 with IP and UDP header
    PAUSE_S = 10                # after a refusal
    BY_SOCKET_MS = 1000         # at least one packet of a busy SA in that time


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


cdef void begin_message(
        Mailbag *bag, Py_ssize_t m, Py_ssize_t part, const SaOut *sa,
        uint8_t traffic_class, uint8_t hop_limit, uint64_t link) noexcept nogil:
    """Message `m`, to one peer, with one part so far."""
    cdef bint is_v6 = sa.outer_family == 6
    cdef int level = IPPROTO_IPV6 if is_v6 else IPPROTO_IP
    cdef msghdr *head = &bag.messages[m].msg_hdr
    bag.first[m] = <uint16_t>part
    if link:
        bag.socket[m] = LINK
        head.msg_name = &bag.names[m]
        head.msg_iov = &bag.parts[part]
        head.msg_iovlen = 1
        head.msg_flags = 0
        address_link(head, &bag.names[m], link, is_v6)
        return
    bag.socket[m] = (UDP4 if sa.udp else RAW4) + (1 if is_v6 else 0)
    head.msg_name = &bag.names[m]
    head.msg_iov = &bag.parts[part]
    head.msg_iovlen = 1
    head.msg_control = &bag.controls[m]
    head.msg_flags = 0
    if is_v6:
        address_v6(bag, m, sa)
    else:
        address_v4(bag, m, sa)
    # Zero, and HOP_LIMIT, are what a socket of ours sends unasked.
    if traffic_class:
        append_int(head, level, IPV6_TCLASS if is_v6 else IP_TOS, traffic_class)
    if hop_limit != HOP_LIMIT:
        append_int(head, level, IPV6_HOPLIMIT if is_v6 else IP_TTL, hop_limit)


cdef void append_int(msghdr *head, int level, int kind, int value) noexcept nogil:
    """Append ancillary data of one int: a field of the outer header."""
    cdef cmsghdr *item = <cmsghdr *>(<uint8_t *>head.msg_control + head.msg_controllen)
    head.msg_controllen += CMSG_SPACE(sizeof(int))
    item.cmsg_level = level
    item.cmsg_type = kind
    item.cmsg_len = CMSG_LEN(sizeof(int))
    memcpy(CMSG_DATA(item), &value, sizeof(int))


cdef void name_segment_size(msghdr *head) noexcept nogil:
    """Append the ancillary data that makes a message a train."""
    cdef uint16_t octets = <uint16_t>head.msg_iov.iov_len
    cdef cmsghdr *item = <cmsghdr *>(<uint8_t *>head.msg_control + head.msg_controllen)
    head.msg_controllen += CMSG_SPACE(sizeof(uint16_t))
    item.cmsg_level = IPPROTO_UDP
    item.cmsg_type = UDP_SEGMENT
    item.cmsg_len = CMSG_LEN(sizeof(uint16_t))
    memcpy(CMSG_DATA(item), &octets, sizeof(uint16_t))


cdef inline uint64_t link_of(const Mailbag *bag, SaOut *sa, uint64_t now_ns) noexcept nogil:
    """Next hop of the next packet of an SA, or 0 when the socket's route is to be asked.

    One packet in a while goes by the socket: it keeps the kernel's neighbour entry and connection
    tracking alive, and finds out whether the kernel would still send.
    """
    cdef uint64_t link
    if sa.udp or not bag.has_link:
        return 0
    link = load_u64(&sa.link, ATOMIC_RELAXED)
    if link and now_ns - sa.socket_ns >= <uint64_t>BY_SOCKET_MS * 1000000:
        sa.socket_ns = now_ns
        return 0
    return link


cdef Py_ssize_t make_messages(
        Mailbag *bag, uint8_t *arena, const PacketDesc *desc, Py_ssize_t n, SaOut **sa,
        uint64_t now_ns) noexcept nogil:
    """Name every FORWARD packet as a part of a message; returns the messages."""
    cdef Py_ssize_t messages = 0
    cdef Py_ssize_t parts = 0
    cdef const SaOut *before = NULL         # NULL: the last message takes no more
    cdef uint32_t whole = 0                 # octets of the last message
    cdef uint32_t longest = 0               # of each of its parts
    cdef SaOut *out
    cdef const Refusal *refusal
    cdef uint32_t length
    cdef uint8_t traffic_class, hop_limit
    cdef uint8_t class_before = 0
    cdef uint8_t limit_before = 0
    cdef uint64_t link
    cdef uint32_t header
    cdef Py_ssize_t i
    for i in range(n):
        if desc[i].verdict != FORWARD:
            continue
        out = sa[desc[i].sa_index]
        length = desc[i].length
        traffic_class = desc[i].traffic_class & bag.class_mask
        hop_limit = hop_limit_of(&desc[i])
        bag.parts[parts].iov_base = arena + desc[i].offset
        bag.parts[parts].iov_len = length
        bag.packet[parts] = <uint16_t>i
        if (out == before and traffic_class == class_before and hop_limit == limit_before
                and length <= longest and whole + length <= TRAIN_OCTETS
                and bag.messages[messages - 1].msg_hdr.msg_iovlen < TRAIN_PACKETS):
            bag.messages[messages - 1].msg_hdr.msg_iovlen += 1
            whole += length
            if length < longest:
                before = NULL
        else:
            link = link_of(bag, out, now_ns)
            if link:
                header = outer_header(arena, &desc[i], out, traffic_class, hop_limit)
                bag.parts[parts].iov_base = arena + desc[i].offset - header
                bag.parts[parts].iov_len = length + header
            begin_message(bag, messages, parts, out, traffic_class, hop_limit, link)
            class_before = traffic_class
            limit_before = hop_limit
            messages += 1
            whole = longest = length
            refusal = &bag.refusals[out.spi & (REFUSALS - 1)]
            before = NULL
            if bag.has_gso and out.udp and (
                    refusal.spi != out.spi or now_ns >= refusal.until_ns):
                before = out
        parts += 1
    for i in range(messages):
        if bag.messages[i].msg_hdr.msg_iovlen > 1:
            name_segment_size(&bag.messages[i].msg_hdr)
    return messages


cdef void drop_parts(
        Mailbag *bag, PacketDesc *desc, Py_ssize_t m, int reason) noexcept nogil:
    cdef size_t k
    for k in range(bag.messages[m].msg_hdr.msg_iovlen):
        drop(&desc[bag.packet[bag.first[m] + k]], reason)


cdef bint send_one(
        int fd, const msghdr *one, PacketDesc *d, int *patience) noexcept nogil:
    """Send one packet; False, with its reason, when it did not go."""
    while sendmsg(fd, one, MSG_DONTWAIT | MSG_NOSIGNAL) < 0:
        if errno == EINTR or (errno == EAGAIN and wait_for_room(fd, patience)):
            continue
        drop(d, R_SEND_FULL if errno == ENOBUFS or errno == EAGAIN else R_SEND_ERROR)
        return False
    return True


cdef Py_ssize_t send_singles(
        int fd, Mailbag *bag, PacketDesc *desc, Py_ssize_t m, int *patience) noexcept nogil:
    """Send the parts of message `m` as datagrams of their own; returns how many went."""
    cdef msghdr one = bag.messages[m].msg_hdr
    cdef size_t parts = one.msg_iovlen
    cdef Py_ssize_t went = 0
    cdef size_t k
    one.msg_iovlen = 1
    one.msg_controllen -= CMSG_SPACE(sizeof(uint16_t))
    for k in range(parts):
        one.msg_iov = &bag.parts[bag.first[m] + k]
        went += send_one(fd, &one, &desc[bag.packet[bag.first[m] + k]], patience)
    return went


cdef bint send_unlinked(
        const int *sockets, Mailbag *bag, PacketDesc *desc, SaOut **sa, Py_ssize_t m,
        int *patience) noexcept nogil:
    """Send by the socket what the device refused with `errno`, and leave the next hop alone.

    A packet that is too long for the device says nothing about the next hop.
    """
    cdef Py_ssize_t part = bag.first[m]
    cdef PacketDesc *d = &desc[bag.packet[part]]
    cdef SaOut *out = sa[d.sa_index]
    cdef size_t header = bag.parts[part].iov_len - d.length
    bag.link_refused += 1
    if errno != EMSGSIZE:
        store_u64(&out.link, 0, ATOMIC_RELAXED)
    bag.parts[part].iov_base = <uint8_t *>bag.parts[part].iov_base + header
    bag.parts[part].iov_len = d.length
    begin_message(bag, m, part, out, d.traffic_class & bag.class_mask, hop_limit_of(d), 0)
    return send_one(sockets[bag.socket[m]], &bag.messages[m].msg_hdr, d, patience)


cdef bint is_refusal(int error) noexcept nogil:
    """Whether this error may be about the train, and its packets could still go alone."""
    return error == EINVAL or error == EIO or error == EMSGSIZE


cdef Py_ssize_t send_run(
        const int *sockets, Mailbag *bag, PacketDesc *desc, SaOut **sa, Py_ssize_t start,
        Py_ssize_t stop, int *patience, uint64_t now_ns) noexcept nogil:
    """Send messages start..stop through one socket; returns how many packets went."""
    cdef int fd = sockets[bag.socket[start]]
    cdef Py_ssize_t went = 0
    cdef Py_ssize_t m = start
    cdef Refusal *refusal
    cdef size_t parts
    cdef uint32_t spi
    cdef int sent
    while m < stop:
        sent = sendmmsg(
            fd, &bag.messages[m], <unsigned int>(stop - m), MSG_DONTWAIT | MSG_NOSIGNAL)
        if sent > 0:
            for _ in range(sent):
                parts = bag.messages[m].msg_hdr.msg_iovlen
                went += parts
                bag.trains += parts > 1
                bag.linked += bag.socket[m] == LINK
                m += 1
        elif errno == EINTR:
            continue
        elif errno == EAGAIN:
            if not wait_for_room(fd, patience):
                while m < stop:
                    drop_parts(bag, desc, m, R_SEND_FULL)
                    m += 1
        elif bag.messages[m].msg_hdr.msg_iovlen > 1 and is_refusal(errno):
            spi = sa[desc[bag.packet[bag.first[m]]].sa_index].spi
            refusal = &bag.refusals[spi & (REFUSALS - 1)]
            refusal.spi = spi
            refusal.until_ns = now_ns + <uint64_t>PAUSE_S * 1000000000
            bag.refused += 1
            went += send_singles(fd, bag, desc, m, patience)
            m += 1
        elif bag.socket[m] == LINK and errno != ENOBUFS:
            went += send_unlinked(sockets, bag, desc, sa, m, patience)
            m += 1
        else:
            drop_parts(bag, desc, m, R_SEND_FULL if errno == ENOBUFS else R_SEND_ERROR)
            m += 1
    return went


cdef Py_ssize_t send_batch(
        const int *sockets, Mailbag *bag, uint8_t *arena, PacketDesc *desc, Py_ssize_t n,
        SaOut **sa, uint64_t now_ns) noexcept nogil:
    cdef Py_ssize_t messages = make_messages(bag, arena, desc, n, sa, now_ns)
    cdef int patience = PATIENCE
    cdef Py_ssize_t went = 0
    cdef Py_ssize_t start = 0
    cdef Py_ssize_t stop
    while start < messages:
        stop = start + 1
        while stop < messages and bag.socket[stop] == bag.socket[start]:
            stop += 1
        went += send_run(sockets, bag, desc, sa, start, stop, &patience, now_ns)
        start = stop
    return went
