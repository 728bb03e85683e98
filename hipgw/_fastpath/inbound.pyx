"""An inbound worker: sockets to TUN device.

A round: wait; for each socket with something to read, receive once, and run what came, a batch at
a time, through the nodes
    classify (-> hand over) -> esp_open -> choose_family (or unwrap_routed) -> coalesce -> write
Trains are opened where they lie; `write` rebuilds the inner headers beside them.  I1s of strangers
are answered (answer_i1); other control packets are punted as they are, and so are payloads of which
nobody knows yet whether the local socket speaks HIT or LSI (then rebuilt over HITs).  The arenas
are the worker's own; a packet ends written, answered, punted or dropped, and adds one to exactly
one counter.
"""

from libc.errno cimport EINTR, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from hipgw._fastpath.answer_i1 cimport answer_i1_batch, is_i1
from hipgw._fastpath.batch_io cimport RAW4, RAW6, Arena, slot_room
from hipgw._fastpath.beet cimport IP_HEADER_MOST, beet_header
from hipgw._fastpath.c.atomics cimport ATOMIC_ACQUIRE, load_u64
from hipgw._fastpath.c.events cimport epoll_event
from hipgw._fastpath.c.sockets cimport AF_INET6, ntohs, sockaddr_in, sockaddr_in6
from hipgw._fastpath.classify cimport (
    CARRIER_RAW4,
    CARRIER_RAW6,
    CARRIER_UDP,
    Carrier,
    classify_inbound_batch,
    strip_to_control,
)
from hipgw._fastpath.coalesce cimport gather_batch
from hipgw._fastpath.descriptor cimport DROP, FORWARD, PUNT, PacketDesc
from hipgw._fastpath.esp cimport esp_open_batch
from hipgw._fastpath.flows cimport (
    FAMILY_HIT,
    FAMILY_LSI,
    FAMILY_UNKNOWN,
    PROTOCOL_TCP,
    PROTOCOL_UDP,
    family_of_flow,
)
from hipgw._fastpath.handover cimport hand_over_batch, take_handed
from hipgw._fastpath.octets cimport load_be16, load_be32
from hipgw._fastpath.quiet cimport enter_batch, leave_batch
from hipgw._fastpath.reasons cimport R_PUNT_FULL, R_SPI_UNKNOWN
from hipgw._fastpath.receive cimport (
    Received,
    destination_of,
    next_datagrams,
    receive_messages,
)
from hipgw._fastpath.rings cimport (
    PUNT_CONTROL,
    PUNT_CONTROL_RAW,
    PUNT_FAMILY,
    PUNT_FIRST_ESP,
    PUNT_STRANGE,
    Record,
    is_half_full,
)
from hipgw._fastpath.routed cimport NOT_ROUTED, may_be_routed, unwrap_routed
from hipgw._fastpath.sa cimport SaIn
from hipgw._fastpath.tun_io cimport write_bundles
from hipgw._fastpath.worker_state cimport (
    P_COALESCED_OUT,
    P_ESP_RX,
    P_GAVE_WAY,
    P_GRO_IN,
    P_GSO_REFUSED,
    P_I1_RX,
    P_NET_RX,
    P_PUNT_CONTROL,
    P_PUNT_FAMILY,
    P_R1_TX,
    P_TROUBLE,
    P_TUN_TX,
    STRANGE_MS,
    STRANGERS,
    TRAIN_OCTETS,
    WorkerState,
    await_events,
    back_off,
    now_ns,
    push_punt,
    push_punt_parts,
    quench,
    settle_batch,
)

cdef enum:
    EVENTS = 8
    ICMPV4 = 1
    ESP = 50


cdef inline bint has_lsis(const SaIn *sa) noexcept nogil:
    """Whether both ends have one; otherwise every payload is for the HIT."""
    return (
        (sa.peer_lsi[0] | sa.peer_lsi[1] | sa.peer_lsi[2] | sa.peer_lsi[3]) != 0
        and (sa.local_lsi[0] | sa.local_lsi[1] | sa.local_lsi[2] | sa.local_lsi[3]) != 0)


cdef uint8_t family_of(
        WorkerState *w, const SaIn *sa, uint8_t protocol, const uint8_t *payload,
        uint32_t length) noexcept nogil:
    """Family that the local host expects this payload in, or FAMILY_UNKNOWN."""
    if protocol == ICMPV4:
        return FAMILY_LSI
    if (protocol != PROTOCOL_TCP and protocol != PROTOCOL_UDP) or length < 4 or not has_lsis(sa):
        return FAMILY_HIT
    return family_of_flow(w.flows, sa.local_hit, sa.peer_hit, protocol, payload)


cdef void drop_unpunted(PacketDesc *d) noexcept nogil:
    d.verdict = DROP
    d.reason = R_PUNT_FULL


cdef void punt_family(
        WorkerState *w, uint8_t *arena, PacketDesc *d, SaIn *sa) noexcept nogil:
    """Rebuild over HITs, and ask the control plane who listens on the port."""
    cdef uint8_t header[IP_HEADER_MOST]
    cdef uint32_t octets = 0
    cdef Record head
    cdef int reason
    memset(&head, 0, sizeof(Record))
    head.kind = PUNT_FAMILY
    head.spi = sa.spi
    head.protocol = d.next_header
    head.port = load_be16(arena + d.offset + 2)
    reason = beet_header(header, arena, d, sa, FAMILY_HIT, &octets)
    if reason:
        d.verdict = DROP
        d.reason = <uint16_t>reason
        return
    sa.octets += octets + d.length
    if push_punt_parts(w, &head, header, octets, arena + d.offset, d.length):
        d.verdict = PUNT
        d.reason = PUNT_FAMILY
        w.path[P_PUNT_FAMILY] += 1
    else:
        drop_unpunted(d)


cdef void choose_family(WorkerState *w, uint8_t *arena, Py_ssize_t n) noexcept nogil:
    """Set the family of each opened packet, or punt it; tell of first packets."""
    cdef const PacketDesc *before = NULL        # whose family is that of its whole flow
    cdef SaIn *sa
    cdef PacketDesc *d
    cdef Record head
    cdef Py_ssize_t i
    cdef int reason
    for i in range(n):
        d = &w.desc[i]
        if d.verdict != FORWARD:
            continue
        sa = <SaIn *>w.sa[d.sa_index]
        d.traffic_class &= w.bag.class_mask
        if not sa.first_told:
            memset(&head, 0, sizeof(Record))
            head.kind = PUNT_FIRST_ESP
            head.spi = sa.spi
            sa.first_told = push_punt(w, &head, NULL, 0)
        if may_be_routed(d.next_header):
            reason = unwrap_routed(arena, d, sa, w.index)
            if reason != NOT_ROUTED:
                if reason:
                    d.verdict = DROP
                    d.reason = <uint16_t>reason
                continue
        if (before != NULL and before.sa_index == d.sa_index and d.length >= 4
                and before.next_header == d.next_header
                and memcmp(arena + before.offset, arena + d.offset, 4) == 0):
            d.family = before.family
            continue
        d.family = family_of(w, sa, d.next_header, arena + d.offset, d.length)
        if d.family == FAMILY_UNKNOWN:
            punt_family(w, arena, d, sa)
        elif d.length >= 4:
            before = d


cdef void name_source(WorkerState *w, Py_ssize_t i, Record *head) noexcept nogil:
    """Where packet i came from."""
    cdef sockaddr_in6 *name = &w.bag.names[w.bag.message[i]]
    if name.sin6_family == AF_INET6:
        head.family = 6
        head.port = ntohs(name.sin6_port)
        memcpy(head.source, &name.sin6_addr, 16)
    else:
        head.family = 4
        head.port = ntohs((<sockaddr_in *>name).sin_port)
        memcpy(head.source, &(<sockaddr_in *>name).sin_addr, 4)


cdef void tell_strange(
        WorkerState *w, const uint8_t *arena, Py_ssize_t n, Carrier carrier) noexcept nogil:
    """Tell of ESP with an unknown SPI (RFC 7402 section 5.4.1), now and then for each source.

    A source has one of a few buckets, each heard of once a second: what a flood can cost is
    bounded, and a flood from few sources leaves the other buckets alone.
    """
    cdef Record head
    cdef PacketDesc *d
    cdef uint32_t bucket
    cdef uint64_t now = 0
    cdef Py_ssize_t i
    for i in range(n):
        d = &w.desc[i]
        if d.verdict != DROP or d.reason != R_SPI_UNKNOWN:
            continue
        if now == 0:
            now = now_ns()
        memset(&head, 0, sizeof(Record))
        name_source(w, i, &head)
        bucket = (load_be32(head.source) ^ load_be32(head.source + 4)
                  ^ load_be32(head.source + 8) ^ load_be32(head.source + 12))
        bucket = (bucket * <uint32_t>0x9e3779b1 >> 16) % STRANGERS
        if w.strange_ns[bucket] and now - w.strange_ns[bucket] < STRANGE_MS * <uint64_t>1000000:
            continue
        head.kind = PUNT_STRANGE
        head.protocol = PROTOCOL_UDP if carrier == CARRIER_UDP else ESP
        head.spi = load_be32(arena + d.offset)
        if push_punt(w, &head, NULL, 0):
            w.strange_ns[bucket] = now


cdef void punt_control(
        WorkerState *w, const uint8_t *arena, Py_ssize_t n, bint is_raw) noexcept nogil:
    """Hand HIP control packets on, with where they came from and went to.

    Half of the ring is for packets that are no I1s: those may belong to exchanges under way.
    """
    cdef Record head
    cdef PacketDesc *d
    cdef Py_ssize_t i
    for i in range(n):
        d = &w.desc[i]
        if d.verdict != PUNT or d.reason != PUNT_CONTROL:
            continue
        if is_i1(arena + d.offset) and is_half_full(&w.punts):
            drop_unpunted(d)
            continue
        memset(&head, 0, sizeof(Record))
        head.kind = PUNT_CONTROL_RAW if is_raw else PUNT_CONTROL
        name_source(w, i, &head)
        if is_raw:
            head.port = 0
        destination_of(&w.bag, w.bag.message[i], head.destination)
        if push_punt(w, &head, arena + d.offset, d.length):
            w.path[P_PUNT_CONTROL] += 1
        else:
            drop_unpunted(d)


cdef void control_batch(
        WorkerState *w, int fd, const uint8_t *arena, Py_ssize_t n, bint is_raw) noexcept nogil:
    """HIP packets: I1s of strangers are answered here, the rest is the control plane's."""
    if w.answerer != NULL:
        answer_i1_batch(w.answerer, fd, is_raw, &w.bag, arena, w.desc, n, now_ns())
        w.path[P_I1_RX] = w.answerer.received
        w.path[P_R1_TX] = w.answerer.sent
    punt_control(w, arena, n, is_raw)


cdef void carry_inward(WorkerState *w, uint8_t *arena, Py_ssize_t n) noexcept nogil:
    """The nodes behind `classify`."""
    cdef SaIn **sa = <SaIn **>w.sa
    if esp_open_batch(arena, w.desc, n, sa, now_ns()):
        choose_family(w, arena, n)
        gather_batch(
            arena, w.desc, n, sa, &w.bundles, w.writer.takes_tcp, w.writer.takes_udp)
        w.path[P_TUN_TX] += write_bundles(&w.writer, arena, w.desc, &w.bundles, sa)
        w.path[P_COALESCED_OUT] = w.writer.supers
        w.path[P_GSO_REFUSED] = w.writer.refused
        w.path[P_GAVE_WAY] = w.writer.gave_way


cdef void carry_handed(WorkerState *w) noexcept nogil:
    """What other workers received and counted, ESP of SAs that this one owns."""
    cdef Py_ssize_t n = take_handed(w, 0)
    if n == 0:
        return
    enter_batch(&w.index.marks, w.number)
    if classify_inbound_batch(w.arena.octets, w.desc, n, CARRIER_RAW6, w.index, w.sa):
        carry_inward(w, w.arena.octets, n)
    settle_batch(w, n)
    leave_batch(&w.index.marks, w.number)


cdef void inbound_batch(
        WorkerState *w, int fd, uint8_t *arena, Py_ssize_t n, Carrier carrier) noexcept nogil:
    """The nodes, over descriptors 0..n."""
    cdef Py_ssize_t esp = classify_inbound_batch(arena, w.desc, n, carrier, w.index, w.sa)
    w.path[P_NET_RX] += n
    w.path[P_ESP_RX] += esp
    if esp:
        if w.equals != NULL:
            hand_over_batch(w, arena, n, True)
        carry_inward(w, arena, n)
    if esp < n:
        tell_strange(w, arena, n, carrier)
        control_batch(w, fd, arena, n, False)
    settle_batch(w, n)


cdef void raw_control_batch(
        WorkerState *w, int fd, const uint8_t *arena, Py_ssize_t n, Carrier carrier) noexcept nogil:
    """The same for what a raw HIP socket gave: IPv4 with its header, IPv6 without."""
    strip_to_control(arena, w.desc, n, carrier)
    w.path[P_NET_RX] += n
    control_batch(w, fd, arena, n, True)
    settle_batch(w, n)


cdef void receive(WorkerState *w, int fd) noexcept nogil:
    """What one socket gives at once, in batches."""
    cdef Carrier carrier = CARRIER_UDP
    cdef bint is_hip = fd == w.hip[0] or fd == w.hip[1]
    cdef Arena *arena = &w.arena
    cdef uint32_t room = slot_room(arena)
    cdef Received received
    cdef Py_ssize_t n
    if fd == w.sockets[RAW4] or fd == w.hip[0]:
        carrier = CARRIER_RAW4
    elif fd == w.sockets[RAW6] or fd == w.hip[1]:
        carrier = CARRIER_RAW6
    elif w.trains.slots:
        arena = &w.trains
        room = TRAIN_OCTETS
    if receive_messages(fd, &w.bag, arena, room, &received, &w.trouble) == 0:
        return
    while True:
        n = next_datagrams(&w.bag, arena, &received, w.desc)
        if n == 0:
            break
        enter_batch(&w.index.marks, w.number)
        if is_hip:
            raw_control_batch(w, fd, arena.octets, n, carrier)
        else:
            inbound_batch(w, fd, arena.octets, n, carrier)
        leave_batch(&w.index.marks, w.number)
    w.path[P_GRO_IN] = w.bag.trains


cdef void inbound_loop(WorkerState *w) noexcept nogil:
    cdef epoll_event events[EVENTS]
    cdef int ready, i
    while not load_u64(&w.stop, ATOMIC_ACQUIRE):
        ready = await_events(w, events, EVENTS, True)
        w.trouble = ready < 0 and errno != EINTR
        for i in range(ready):
            if events[i].data.fd == w.wake_fd:
                quench(w.wake_fd)
                if w.handed != NULL:
                    carry_handed(w)
            else:
                receive(w, events[i].data.fd)
        if w.trouble:
            w.path[P_TROUBLE] += 1
            back_off(w)
