"""The inbound worker: sockets to TUN device.

A round: wait; for each socket with something to read, receive up to one batch and run it through
the nodes
    classify -> esp_open -> choose_family -> beet_rebuild -> write
Control packets are punted as they are, and so are payloads of which nobody knows yet whether the
local socket speaks HIT or LSI (then rebuilt over HITs).  The arena is the worker's own; a packet
ends written, punted or dropped, and adds one to exactly one counter.

An offload has its place between `receive_batch` and `classify` (trains) and before `write_tun`.
"""

from libc.errno cimport EINTR, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

from hipgw._fastpath.batch_io cimport (
    RAW4,
    RAW6,
    destination_of,
    receive_batch,
    write_tun,
)
from hipgw._fastpath.beet cimport beet_rebuild, beet_rebuild_batch
from hipgw._fastpath.c.atomics cimport ATOMIC_ACQUIRE, load_u64
from hipgw._fastpath.c.events cimport epoll_event, epoll_wait
from hipgw._fastpath.c.sockets cimport AF_INET6, ntohs, sockaddr_in, sockaddr_in6
from hipgw._fastpath.classify cimport (
    CARRIER_RAW4,
    CARRIER_RAW6,
    CARRIER_UDP,
    Carrier,
    classify_inbound_batch,
)
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
from hipgw._fastpath.octets cimport load_be16
from hipgw._fastpath.quiet cimport INBOUND, enter_batch, leave_batch
from hipgw._fastpath.reasons cimport R_PUNT_FULL
from hipgw._fastpath.rings cimport PUNT_CONTROL, PUNT_FAMILY, PUNT_FIRST_ESP, Record
from hipgw._fastpath.sa cimport SaIn
from hipgw._fastpath.worker_state cimport (
    P_ESP_RX,
    P_NET_RX,
    P_PUNT_CONTROL,
    P_PUNT_FAMILY,
    P_TROUBLE,
    P_TUN_TX,
    WorkerState,
    back_off,
    now_ns,
    push_punt,
    quench,
    settle_batch,
)

cdef enum:
    EVENTS = 8
    ICMPV4 = 1


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


cdef void punt_family(WorkerState *w, PacketDesc *d, SaIn *sa) noexcept nogil:
    """Rebuild over HITs, and ask the control plane who listens on the port."""
    cdef Record head
    cdef int reason
    memset(&head, 0, sizeof(Record))
    head.kind = PUNT_FAMILY
    head.spi = sa.spi
    head.protocol = d.next_header
    head.port = load_be16(w.arena.octets + d.offset + 2)
    reason = beet_rebuild(
        w.arena.octets, d, sa, FAMILY_HIT, HOP_LIMIT, TRAFFIC_CLASS)
    if reason:
        d.verdict = DROP
        d.reason = <uint16_t>reason
        return
    sa.octets += d.length
    if push_punt(w, &head, w.arena.octets + d.offset, d.length):
        d.verdict = PUNT
        d.reason = PUNT_FAMILY
        w.path[P_PUNT_FAMILY] += 1
    else:
        drop_unpunted(d)


cdef void choose_family(WorkerState *w, Py_ssize_t n) noexcept nogil:
    """Set the family of each opened packet, or punt it; tell of first packets."""
    cdef SaIn *sa
    cdef PacketDesc *d
    cdef Record head
    cdef Py_ssize_t i
    for i in range(n):
        d = &w.desc[i]
        if d.verdict != FORWARD:
            continue
        sa = <SaIn *>w.sa[d.sa_index]
        if not sa.first_told:
            memset(&head, 0, sizeof(Record))
            head.kind = PUNT_FIRST_ESP
            head.spi = sa.spi
            sa.first_told = push_punt(w, &head, NULL, 0)
        d.family = family_of(w, sa, d.next_header, w.arena.octets + d.offset, d.length)
        if d.family == FAMILY_UNKNOWN:
            punt_family(w, d, sa)


cdef void punt_control(WorkerState *w, Py_ssize_t n) noexcept nogil:
    """Hand HIP control packets on, with where they came from and went to."""
    cdef Record head
    cdef PacketDesc *d
    cdef sockaddr_in6 *name
    cdef Py_ssize_t i
    for i in range(n):
        d = &w.desc[i]
        if d.verdict != PUNT or d.reason != PUNT_CONTROL:
            continue
        memset(&head, 0, sizeof(Record))
        head.kind = PUNT_CONTROL
        name = &w.bag.names[i]
        if name.sin6_family == AF_INET6:
            head.family = 6
            head.port = ntohs(name.sin6_port)
            memcpy(head.source, &name.sin6_addr, 16)
        else:
            head.family = 4
            head.port = ntohs((<sockaddr_in *>name).sin_port)
            memcpy(head.source, &(<sockaddr_in *>name).sin_addr, 4)
        destination_of(&w.bag, i, head.destination)
        if push_punt(w, &head, w.arena.octets + d.offset, d.length):
            w.path[P_PUNT_CONTROL] += 1
        else:
            drop_unpunted(d)


cdef void inbound_batch(WorkerState *w, Py_ssize_t n, Carrier carrier) noexcept nogil:
    """The nodes, over descriptors 0..n."""
    cdef uint8_t *arena = w.arena.octets
    cdef SaIn **sa = <SaIn **>w.sa
    cdef Py_ssize_t esp = classify_inbound_batch(arena, w.desc, n, carrier, w.index, w.sa)
    w.path[P_NET_RX] += n
    w.path[P_ESP_RX] += esp
    if esp:
        if esp_open_batch(arena, w.desc, n, sa, now_ns()):
            choose_family(w, n)
            beet_rebuild_batch(arena, w.desc, n, sa, HOP_LIMIT, TRAFFIC_CLASS)
            w.path[P_TUN_TX] += write_tun(w.tun_fd, arena, w.desc, n)
    punt_control(w, n)
    settle_batch(w, n)


cdef void receive(WorkerState *w, int fd) noexcept nogil:
    """One batch from one socket."""
    cdef Carrier carrier = CARRIER_UDP
    cdef Py_ssize_t n
    if fd == w.sockets[RAW4]:
        carrier = CARRIER_RAW4
    elif fd == w.sockets[RAW6]:
        carrier = CARRIER_RAW6
    n = receive_batch(fd, &w.bag, &w.arena, w.desc, &w.trouble)
    if n:
        enter_batch(&w.index.marks, INBOUND)
        inbound_batch(w, n, carrier)
        leave_batch(&w.index.marks, INBOUND)


cdef void inbound_loop(WorkerState *w) noexcept nogil:
    cdef epoll_event events[EVENTS]
    cdef int ready, i
    while not load_u64(&w.stop, ATOMIC_ACQUIRE):
        ready = epoll_wait(w.epoll_fd, events, EVENTS, -1)
        w.trouble = ready < 0 and errno != EINTR
        for i in range(ready):
            if events[i].data.fd == w.wake_fd:
                quench(w.wake_fd)
            else:
                receive(w, events[i].data.fd)
        if w.trouble:
            w.path[P_TROUBLE] += 1
            back_off(w)
