"""I1 to R1 without the control plane: strangers are answered in the worker that reads the socket.

Steps for each I1 of a batch:
1. Limits: per source and in total, before anything else is looked at, so that no kind of I1 gets
   past them (R_I1_RATE).
2. Is it plain? HIPv2, exactly as long as it says, right checksum over raw IP, from a HIT that is
   not ours to one that is, one DH_GROUP_LIST and nothing else; no association with the sender
   (`claims`), an R1 for it in stock. If not: it stays a punt, and the engine judges.
3. Fill in the R1 (r1_offer) in a slot of our own.
Then one sendmmsg for the batch. What the socket does not take at once is dropped: an Initiator asks
again, and nobody waits for strangers.

A reply leaves from the address that the I1 came to. The engine knows nothing of these R1s: it
recognises its puzzle in the I2 (RFC 7401 section 4.1.2).

The I1s are borrowed until the batch ends. Deliberately not checked, as in hipgw.wire: the reserved
bits of the header, Controls, and padding.
"""

from __future__ import annotations

cimport cython
from libc.errno cimport EAGAIN, EINTR, ENOBUFS, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from hipgw._fastpath.batch_io cimport drop
from hipgw._fastpath.c.atomics cimport ATOMIC_ACQUIRE, ATOMIC_RELEASE, load_pointer, store_pointer
from hipgw._fastpath.c.sockets cimport (
    AF_INET6,
    CMSG_DATA,
    CMSG_FIRSTHDR,
    CMSG_LEN,
    CMSG_SPACE,
    IP_PKTINFO,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPV6_PKTINFO,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    cmsghdr,
    in6_pktinfo,
    in_pktinfo,
    msghdr,
    sendmmsg,
    sockaddr_in,
)
from hipgw._fastpath.checksum cimport ones_sum
from hipgw._fastpath.claims cimport claims_free, claims_init, claims_set, find_claim
from hipgw._fastpath.descriptor cimport ANSWERED, PUNT
from hipgw._fastpath.octets cimport load_be16, load_be32
from hipgw._fastpath.quiet cimport reclaim, retire
from hipgw._fastpath.r1_offer cimport (
    R1_OCTETS_MOST,
    Asker,
    R1Template,
    fill_r1,
    find_r1,
    free_offer,
    new_offer,
    offers_for,
    pseudo_sum,
)
from hipgw._fastpath.reasons cimport R_I1_RATE, R_SEND_ERROR, R_SEND_FULL
from hipgw._fastpath.receive cimport destination_of
from hipgw._fastpath.rings cimport PUNT_CONTROL
from hipgw._fastpath.sources cimport source_allows, sources_free, sources_init

cdef enum:
    HIP_HEADER = 40
    HIP_VERSION = 2
    I1 = 1
    DH_GROUP_LIST = 511
    HIT_V2 = 0x2001002          # 2001:20::/28 (RFC 7343)
    MARKER = 4                  # RFC 9028 section 5.1
    REPLY_OCTETS = MARKER + R1_OCTETS_MOST
    # What becomes of an I1, where not an R1 of so many octets:
    LEFT = 0                    # to the engine
    REFUSED = -1                # by the limits


cdef bint is_i1(const uint8_t *packet) noexcept nogil:
    return packet[2] & 0x7f == I1


cdef const R1Template *r1_of_groups(
        const R1Offer *offer, const uint8_t *local_hit, const uint8_t *groups,
        uint16_t count) noexcept nogil:
    """The R1 of our most preferred group among those (RFC 7401 sections 5.2.6, 6.7), or NULL.

    Without a common one the engine answers: it may know more groups for that peer.
    """
    cdef uint8_t group = 0
    cdef uint8_t best = 0
    cdef uint8_t rank
    cdef uint16_t i
    for i in range(count):
        rank = offer.rank[groups[i]]
        if rank != 0 and (best == 0 or rank < best):
            best = rank
            group = groups[i]
    return find_r1(offer, local_hit, group) if best != 0 else NULL


cdef const R1Template *plain_i1(
        const R1Offer *offer, Claims *claims, const uint8_t *p, uint32_t length, bint is_raw,
        const Asker *asker) noexcept nogil:
    """The R1 that answers an I1, or NULL: that is for the engine to say."""
    cdef uint8_t[32] hits
    cdef uint16_t list_octets
    if length < HIP_HEADER + 8 or (<uint32_t>p[1] + 1) * 8 != length or p[3] >> 4 != HIP_VERSION:
        return NULL
    if load_be32(p + 8) >> 4 != HIT_V2 or offers_for(offer, p + 8):
        return NULL
    list_octets = load_be16(p + HIP_HEADER + 2)
    if (load_be16(p + HIP_HEADER) != DH_GROUP_LIST
            or 11 + <uint32_t>list_octets - ((list_octets + 3) & 7) != length - HIP_HEADER):
        return NULL
    if is_raw and ones_sum(p, length, pseudo_sum(asker, length)) != 0xffff:
        return NULL
    memcpy(hits, p + 24, 16)
    memcpy(hits + 16, p + 8, 16)
    if find_claim(claims, hits) != NULL:
        return NULL
    return r1_of_groups(offer, p + 24, p + HIP_HEADER + 4, list_octets)


cdef void address_reply(
        Replies *replies, int m, const void *name, uint32_t name_octets,
        const Asker *asker) noexcept nogil:
    """Message `m`: back to where the I1 came from, out of the address it came to."""
    cdef msghdr *head = &replies.messages[m].msg_hdr
    cdef cmsghdr *item
    memcpy(&replies.names[m], name, name_octets)
    head.msg_name = &replies.names[m]
    head.msg_namelen = name_octets
    head.msg_iov = &replies.parts[m]
    head.msg_iovlen = 1
    head.msg_control = &replies.controls[m]
    head.msg_controllen = sizeof(ControlArea)
    head.msg_flags = 0
    memset(&replies.controls[m], 0, sizeof(ControlArea))
    item = CMSG_FIRSTHDR(head)
    if asker.address_octets == 4:
        item.cmsg_level = IPPROTO_IP
        item.cmsg_type = IP_PKTINFO
        item.cmsg_len = CMSG_LEN(sizeof(in_pktinfo))
        memcpy(&(<in_pktinfo *>CMSG_DATA(item)).ipi_spec_dst, asker.local, 4)
        head.msg_controllen = CMSG_SPACE(sizeof(in_pktinfo))
    else:
        item.cmsg_level = IPPROTO_IPV6
        item.cmsg_type = IPV6_PKTINFO
        item.cmsg_len = CMSG_LEN(sizeof(in6_pktinfo))
        memcpy(&(<in6_pktinfo *>CMSG_DATA(item)).ipi6_addr, asker.local, 16)
        head.msg_controllen = CMSG_SPACE(sizeof(in6_pktinfo))


cdef void send_replies(Answerer *answerer, int fd, PacketDesc *desc) noexcept nogil:
    cdef Replies *replies = &answerer.replies
    cdef int m = 0
    cdef int sent
    cdef int reason
    while m < replies.count:
        sent = sendmmsg(
            fd, &replies.messages[m], <unsigned int>(replies.count - m),
            MSG_DONTWAIT | MSG_NOSIGNAL)
        if sent > 0:
            answerer.sent += <uint64_t>sent
            m += sent
        elif errno != EINTR:
            reason = R_SEND_FULL if errno == EAGAIN or errno == ENOBUFS else R_SEND_ERROR
            drop(&desc[replies.packet[m]], reason)
            m += 1
    replies.count = 0


cdef int judge(
        Answerer *answerer, const R1Offer *offer, const uint8_t *p, uint32_t length, bint is_raw,
        const Asker *asker, uint64_t now, uint8_t *out) noexcept nogil:
    """Limit, look, and fill in the R1 for the I1 at `p`: its octets; or LEFT, or REFUSED."""
    cdef const R1Template *template
    if not source_allows(offer.sources, asker.peer, asker.address_octets, now):
        return REFUSED
    template = plain_i1(offer, &answerer.claims, p, length, is_raw, asker)
    if template == NULL:
        return LEFT
    # Never the same twice, and never before the generation began.
    answerer.last_us = max(answerer.last_us + 1, max(now // 1000, offer.began_us))
    return <int>fill_r1(offer, template, asker, answerer.last_us - offer.began_us, is_raw, out)


cdef void answer_one(
        Answerer *answerer, const R1Offer *offer, bint is_raw, Mailbag *bag, const uint8_t *p,
        PacketDesc *desc, Py_ssize_t i, uint64_t now) noexcept nogil:
    """Bring one I1 to its end, or leave it a punt."""
    cdef Replies *replies = &answerer.replies
    cdef int m = replies.count
    cdef uint8_t *slot = replies.slots + m * REPLY_OCTETS
    cdef int marker = 0 if is_raw else MARKER
    cdef sockaddr_in6 *name = &bag.names[bag.message[i]]
    cdef bint is_v6 = name.sin6_family == AF_INET6
    cdef uint8_t[16] local
    cdef Asker asker
    cdef int octets
    asker.sender = p + 8
    asker.local = local
    asker.address_octets = 16 if is_v6 else 4
    asker.peer = <const uint8_t *>&(<sockaddr_in *>name).sin_addr
    if is_v6:
        asker.peer = <const uint8_t *>&name.sin6_addr
    # Both families have their port at the same place.
    if (destination_of(bag, bag.message[i], local) != asker.address_octets
            or (not is_raw and name.sin6_port == 0)):
        return
    octets = judge(answerer, offer, p, desc[i].length, is_raw, &asker, now, slot + marker)
    if octets == LEFT:
        return
    answerer.received += 1
    if octets == REFUSED:
        drop(&desc[i], R_I1_RATE)
        return
    desc[i].verdict = ANSWERED
    memset(slot, 0, marker)
    replies.parts[m].iov_base = slot
    replies.parts[m].iov_len = marker + octets
    address_reply(
        replies, m, name, sizeof(sockaddr_in6) if is_v6 else sizeof(sockaddr_in), &asker)
    replies.packet[m] = <uint16_t>i
    replies.count += 1


cdef void answer_i1_batch(
        Answerer *answerer, int fd, bint is_raw, Mailbag *bag, const uint8_t *arena,
        PacketDesc *desc, Py_ssize_t n, uint64_t now) noexcept nogil:
    cdef R1Offer *offer = <R1Offer *>load_pointer(<void **>&answerer.offer, ATOMIC_ACQUIRE)
    cdef Py_ssize_t i
    if offer == NULL:
        return
    for i in range(n):
        if (desc[i].verdict == PUNT and desc[i].reason == PUNT_CONTROL
                and is_i1(arena + desc[i].offset)):
            answer_one(answerer, offer, is_raw, bag, arena + desc[i].offset, desc, i, now)
    if answerer.replies.count:
        send_replies(answerer, fd, desc)


cdef void free_sources(void *thing) noexcept nogil:
    sources_free(&(<SourcesRecord *>thing).sources)
    free(thing)


@cython.no_gc_clear             # __dealloc__ needs the marks of `tables`
cdef class I1Desk:
    """The control plane's side: what is answered with, and what is left to the engine.

    One writer, with the GIL; one worker at most. Whoever runs it holds a reference.
    """

    def __cinit__(self, SaTables tables not None):
        self.tables = tables
        self.marks = &tables.index.marks
        self.answerer = <Answerer *>calloc(1, sizeof(Answerer))
        if self.answerer == NULL:
            raise MemoryError
        self.answerer.replies.slots = <uint8_t *>calloc(BATCH_MOST, REPLY_OCTETS)
        if (self.answerer.replies.slots == NULL
                or claims_init(&self.answerer.claims, self.marks) != 0):
            raise MemoryError

    def __dealloc__(self):
        if self.answerer == NULL:
            return
        self.free_retired()
        claims_free(&self.answerer.claims)
        free_offer(self.answerer.offer)
        if self.sources != NULL:
            free_sources(self.sources)
        free(self.answerer.replies.slots)
        free(self.answerer)

    cdef void free_retired(self) noexcept:
        reclaim(&self.retired, self.marks)

    def publish(
            self, *, bytes opaque, bytes secret, uint64_t began_us, bint binds_addresses,
            bytes groups, list r1s, double rate, double burst, double source_rate,
            double source_burst, uint64_t sources_most) -> None:
        """Answer with these R1s from now on, in place of those before.

        Args:
            opaque: 2 octets for the PUZZLE.
            secret: 32 octets that I is made with.
            began_us: microseconds of CLOCK_MONOTONIC from which stamps count.
            binds_addresses: whether I depends on both addresses.
            groups: our Diffie-Hellman groups, one octet each, most preferred first.
            r1s: (local HIT, group, signed R1, offset of its opaque field, octets of I).
            rate, burst: R1s a second and at once, to all.
            source_rate, source_burst: to one source.
            sources_most: sources remembered, rounded up to a power of two.

        Raises:
            ValueError: octets that do not fit together.
        """
        cdef R1Offer *offer = new_offer(opaque, secret, began_us, binds_addresses, groups, r1s)
        cdef R1Offer *before = self.answerer.offer
        cdef tuple limits = (rate, burst, source_rate, source_burst, sources_most)
        cdef SourcesRecord *sources = NULL
        if self.sources == NULL or limits != self.limits:
            sources = <SourcesRecord *>calloc(1, sizeof(SourcesRecord))
            if sources == NULL or sources_init(
                    &sources.sources, rate, burst, source_rate, source_burst, sources_most) != 0:
                free(sources)
                free_offer(offer)
                raise MemoryError
        offer.sources = &sources.sources if sources != NULL else &self.sources.sources
        store_pointer(<void **>&self.answerer.offer, offer, ATOMIC_RELEASE)
        if before != NULL:
            retire(&self.retired, self.marks, &before.end, before, free_offer)
        if sources != NULL:
            if self.sources != NULL:
                retire(
                    &self.retired, self.marks, &self.sources.end, self.sources, free_sources)
            self.sources = sources
            self.limits = limits
        self.free_retired()

    def claim(self, bytes local_hit, bytes peer_hit, bint is_claimed) -> None:
        """Leave I1s of a pair to the engine, or no longer.

        Raises:
            ValueError: HITs that do not have 16 octets.
        """
        cdef bytes hits = local_hit + peer_hit
        if len(local_hit) != 16 or len(peer_hit) != 16:
            raise ValueError(
                f"HITs of {len(local_hit)} and {len(peer_hit)} octets: expected 16 and 16")
        if claims_set(&self.answerer.claims, hits, is_claimed) != 0:
            raise MemoryError

    def answer(
            self, bytes packet, bytes peer, bytes local, bint is_raw,
            uint64_t now_ns) -> bytes | None:
        """What the worker would do with one HIP packet; for tests, while no worker runs.

        Args:
            packet: without marker.
            peer, local: addresses that it came from and to, of 4 or 16 octets.
            is_raw: over IP protocol 139.
            now_ns: CLOCK_MONOTONIC.

        Returns:
            The R1; empty: refused by the limits; None: left to the engine.
        """
        cdef uint32_t length = <uint32_t>len(packet)
        cdef uint8_t *octets
        cdef uint8_t *reply
        cdef Asker asker
        cdef int made
        if len(peer) != len(local) or len(peer) not in (4, 16):
            raise ValueError("addresses have 4 or 16 octets, both alike")
        if length < HIP_HEADER or not is_i1(packet) or self.answerer.offer == NULL:
            return None
        octets = <uint8_t *>malloc(length)      # exactly as long: a sanitizer sees its end
        reply = <uint8_t *>malloc(R1_OCTETS_MOST)
        if octets == NULL or reply == NULL:
            free(octets)
            free(reply)
            raise MemoryError
        memcpy(octets, <const uint8_t *>packet, length)
        asker.sender = octets + 8
        asker.peer = peer
        asker.local = local
        asker.address_octets = <int>len(peer)
        with nogil:
            made = judge(
                self.answerer, self.answerer.offer, octets, length, is_raw, &asker, now_ns, reply)
        try:
            if made == LEFT:
                return None
            return b"" if made == REFUSED else reply[:made]
        finally:
            free(octets)
            free(reply)
