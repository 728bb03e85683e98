"""An outbound worker: TUN device, or netfilter queues, to sockets.

A round: wait; take what the control plane injected and other workers handed over, then what the TUN
device holds, up to one batch; then what a netfilter queue holds, up to another one; run each
through the nodes
    segment -> classify (-> hand over) -> beet_strip -> note_flow -> esp_seal -> send
and punt what has no SA.  All packets stay in their slots of the arena, which is the worker's own;
headers are taken off and put on in the headroom and tailroom.  A packet ends sent, punted or
dropped, and adds one to exactly one counter.

Super-packets are cut while they are read, and what is left of one when the batch is full begins the
next batch.  `send` makes trains of neighbours again.
"""

from libc.errno cimport EINTR, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from hipgw._fastpath.batch_io cimport slot_room
from hipgw._fastpath.beet cimport beet_strip_batch
from hipgw._fastpath.c.atomics cimport ATOMIC_ACQUIRE, ATOMIC_RELAXED, load_pointer, load_u64
from hipgw._fastpath.c.events cimport epoll_event
from hipgw._fastpath.classify cimport classify_outbound_batch
from hipgw._fastpath.descriptor cimport DROP, FORWARD, HEADROOM_OCTETS, PUNT, PacketDesc
from hipgw._fastpath.esp cimport esp_seal_batch
from hipgw._fastpath.flows cimport PROTOCOL_TCP, PROTOCOL_UDP, note_flow
from hipgw._fastpath.handover cimport hand_over_batch, take_handed
from hipgw._fastpath.queue_io cimport fetch_queued, has_queued, read_queued
from hipgw._fastpath.quiet cimport enter_batch, leave_batch
from hipgw._fastpath.reasons cimport R_PUNT_FULL, R_TOO_BIG
from hipgw._fastpath.rings cimport (
    PUNT_EXPIRE,
    PUNT_NO_SA,
    PUNT_TOO_BIG,
    Record,
    octets_of,
    ring_peek,
    ring_pop,
)
from hipgw._fastpath.sa cimport SaOut
from hipgw._fastpath.segment cimport Super
from hipgw._fastpath.send cimport send_batch
from hipgw._fastpath.subnets cimport Subnets
from hipgw._fastpath.tun_io cimport read_tun
from hipgw._fastpath.worker_state cimport (
    P_ESP_TX,
    P_GSO_OUT,
    P_GSO_REFUSED,
    P_LINK_REFUSED,
    P_LINK_TX,
    P_PUNT_NO_SA,
    P_QUEUE_BROKEN,
    P_QUEUE_LEFT,
    P_QUEUE_OVERRUN,
    P_QUEUE_RX,
    P_QUEUE_SUPERS,
    P_TROUBLE,
    P_TSO_IN,
    P_TUN_RX,
    WorkerState,
    await_events,
    back_off,
    now_ns,
    push_punt,
    quench,
    settle_batch,
    signal_event,
)

cdef enum:
    EVENTS = 20                 # all that are waited on: a queue must not starve another
    # Sequence number at which the control plane is asked for a rekey: 1/16 of the space is left.
    SOFT_LIMIT = 0xf0000000
    EXTENDED_BITS = 32          # more of them with extended sequence numbers
    TOO_BIG_PAUSE_NS = 1000000  # between two answers to packets that are too big
    TOO_BIG_OCTETS = 1280       # of such a packet that the control plane sees


cdef inline bint has_lsis(const SaOut *sa) noexcept nogil:
    return (sa.peer_lsi[0] | sa.peer_lsi[1] | sa.peer_lsi[2] | sa.peer_lsi[3]) != 0


cdef Py_ssize_t take_injected(WorkerState *w) noexcept nogil:
    """Copy injected packets to the first slots; returns how many."""
    cdef Py_ssize_t n = 0
    cdef const Record *record
    cdef PacketDesc *d
    while n < w.arena.slots:
        record = ring_peek(&w.inject)
        if record == NULL:
            return n
        d = &w.desc[n]
        memset(d, 0, sizeof(PacketDesc))
        d.offset = <uint32_t>n * w.arena.slot_octets + HEADROOM_OCTETS
        d.length = min(record.length, slot_room(&w.arena))      # `inject` takes no longer ones
        d.verdict = FORWARD
        memcpy(w.arena.octets + d.offset, octets_of(record), d.length)
        ring_pop(&w.inject)
        n += 1
    if ring_peek(&w.inject) != NULL:
        signal_event(w.wake_fd)
    return n


cdef inline bint is_same_flow(
        const uint8_t *arena, const PacketDesc *a, const PacketDesc *b) noexcept nogil:
    return (
        a.sa_index == b.sa_index and a.next_header == b.next_header and a.family == b.family
        and memcmp(arena + a.offset, arena + b.offset, 4) == 0)


cdef void note_flows(WorkerState *w, Py_ssize_t n) noexcept nogil:
    """Remember which family each TCP or UDP flow of an association with LSIs belongs to."""
    cdef const PacketDesc *before = NULL
    cdef const PacketDesc *d
    cdef const SaOut *sa
    cdef Py_ssize_t i
    for i in range(n):
        d = &w.desc[i]
        if (d.verdict != FORWARD or d.length < 4
                or (d.next_header != PROTOCOL_TCP and d.next_header != PROTOCOL_UDP)):
            continue
        if before != NULL and is_same_flow(w.arena.octets, before, d):
            continue
        before = d
        sa = <const SaOut *>w.sa[d.sa_index]
        if has_lsis(sa):
            note_flow(
                w.flows, sa.local_hit, sa.peer_hit, d.next_header, w.arena.octets + d.offset,
                d.family)


cdef void punt_strangers(WorkerState *w, Py_ssize_t n) noexcept nogil:
    """Hand packets without an SA to the control plane."""
    cdef Record head
    cdef PacketDesc *d
    cdef Py_ssize_t i
    for i in range(n):
        d = &w.desc[i]
        if d.verdict != PUNT:
            continue
        memset(&head, 0, sizeof(Record))
        head.kind = PUNT_NO_SA
        if push_punt(w, &head, w.arena.octets + d.offset, d.length):
            w.path[P_PUNT_NO_SA] += 1
        else:
            d.verdict = DROP
            d.reason = R_PUNT_FULL


cdef void tell_expiry(WorkerState *w, Py_ssize_t n) noexcept nogil:
    """Say once for each SA that its sequence numbers run out; again if the ring was full."""
    cdef SaOut *before = NULL
    cdef SaOut *sa
    cdef Record head
    cdef uint64_t limit
    cdef uint8_t hits[32]
    cdef Py_ssize_t i
    for i in range(n):
        if w.desc[i].verdict == PUNT:
            continue
        sa = <SaOut *>w.sa[w.desc[i].sa_index]
        if sa == before or sa == NULL or sa.pair != w.pair:
            continue
        before = sa
        limit = <uint64_t>SOFT_LIMIT
        if sa.esp.extended:
            limit <<= EXTENDED_BITS
        if sa.sequence < limit or sa.expire_told:
            continue
        memset(&head, 0, sizeof(Record))
        head.kind = PUNT_EXPIRE
        head.spi = sa.spi
        memcpy(&hits[0], sa.local_hit, 16)
        memcpy(&hits[16], sa.peer_hit, 16)
        sa.expire_told = push_punt(w, &head, hits, 32)


cdef void tell_too_big(WorkerState *w, Py_ssize_t n, uint64_t now) noexcept nogil:
    """Let the control plane answer packets that the path does not carry, not too often."""
    cdef const PacketDesc *d
    cdef Record head
    cdef uint64_t most
    cdef Py_ssize_t i
    for i in range(n):
        d = &w.desc[i]
        if d.verdict != DROP or d.reason != R_TOO_BIG or now - w.too_big_ns < TOO_BIG_PAUSE_NS:
            continue
        w.too_big_ns = now
        most = load_u64(&(<SaOut *>w.sa[d.sa_index]).payload_most, ATOMIC_RELAXED)
        if not d.next_header:
            most += 40 if w.arena.octets[d.offset] >> 4 == 6 else 20
        memset(&head, 0, sizeof(Record))
        head.kind = PUNT_TOO_BIG
        head.port = <uint16_t>min(most, <uint64_t>65535)
        push_punt(w, &head, w.arena.octets + d.offset, min(d.length, <uint32_t>TOO_BIG_OCTETS))


cdef void outbound_batch(WorkerState *w, Py_ssize_t n, Py_ssize_t handed) noexcept nogil:
    """The nodes, over descriptors 0..n; `handed` of them came from other workers."""
    cdef uint8_t *arena = w.arena.octets
    cdef SaOut **sa = <SaOut **>w.sa
    cdef uint64_t now = now_ns()
    cdef const Subnets *subnets
    w.path[P_TUN_RX] += n - handed
    w.sa[0] = NULL
    if classify_outbound_batch(arena, w.desc, n, w.index, w.sa):
        if w.equals != NULL:
            hand_over_batch(w, arena, n, False)
        subnets = <const Subnets *>load_pointer(<void **>&w.index.subnets, ATOMIC_ACQUIRE)
        beet_strip_batch(arena, w.desc, n, sa, subnets != NULL and subnets.clamp_mss)
        tell_too_big(w, n, now)
        note_flows(w, n)
        esp_seal_batch(arena, w.desc, n, sa, now)
        w.path[P_ESP_TX] += send_batch(w.sockets, &w.bag, arena, w.desc, n, sa, now)
        w.path[P_GSO_OUT] = w.bag.trains
        w.path[P_GSO_REFUSED] = w.bag.refused
        w.path[P_LINK_TX] = w.bag.linked
        w.path[P_LINK_REFUSED] = w.bag.link_refused
        tell_expiry(w, n)
    punt_strangers(w, n)
    settle_batch(w, n)


cdef void queued_batch(WorkerState *w) noexcept nogil:
    """A batch from what one netfilter queue gave."""
    cdef Py_ssize_t n = read_queued(w.queues, &w.arena, w.desc)
    w.path[P_QUEUE_RX] = w.queues.taken
    w.path[P_QUEUE_LEFT] = w.queues.left
    w.path[P_QUEUE_SUPERS] = w.queues.supers
    w.path[P_QUEUE_OVERRUN] = w.queues.room.overruns
    w.path[P_QUEUE_BROKEN] = w.queues.room.broken + w.queues.room.unanswered
    if n:
        outbound_batch(w, n, 0)


cdef void outbound_loop(WorkerState *w) noexcept nogil:
    cdef Super *whole = &w.whole if w.whole.octets != NULL else NULL
    cdef epoll_event events[EVENTS]
    cdef bint has_tun, has_rest, is_more
    cdef Py_ssize_t n, handed
    cdef int ready, i
    while not load_u64(&w.stop, ATOMIC_ACQUIRE):
        has_tun = w.whole.left > 0
        has_rest = has_queued(w.queues)
        ready = await_events(w, events, EVENTS, not (has_tun or has_rest))
        w.trouble = ready < 0 and errno != EINTR
        n = handed = 0
        enter_batch(&w.index.marks, w.number)
        for i in range(ready):
            if events[i].data.fd == w.wake_fd:
                quench(w.wake_fd)
                n = take_injected(w)
                if w.handed != NULL:
                    handed = take_handed(w, n) - n
                    n += handed
            elif events[i].data.fd == w.tun_fd:
                has_tun = True
            else:
                fetch_queued(w.queues, events[i].data.fd, &w.trouble)
        if has_tun:
            n = read_tun(
                w.tun_fd, &w.arena, whole, w.desc, n, &w.path[P_TSO_IN], &w.trouble)
        # What a queue left is in the TUN device by now, and goes before what the queue holds.
        is_more = has_tun and n == w.arena.slots
        if n:
            outbound_batch(w, n, handed)
        if w.queues != NULL and not is_more:
            queued_batch(w)
        leave_batch(&w.index.marks, w.number)
        if w.trouble:
            w.path[P_TROUBLE] += 1
            back_off(w)
