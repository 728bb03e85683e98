"""What all workers share: their state, how they wait, punt and count."""

from __future__ import annotations

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from hipgw._fastpath.batch_io cimport SOCKETS, arena_free, arena_init
from hipgw._fastpath.c.events cimport (
    CLOCK_MONOTONIC,
    EFD_CLOEXEC,
    EFD_NONBLOCK,
    EPOLL_CLOEXEC,
    EPOLL_CTL_ADD,
    EPOLLIN,
    POLLIN,
    clock_gettime,
    close,
    epoll_create1,
    epoll_ctl,
    epoll_event,
    epoll_wait,
    eventfd,
    poll,
    pollfd,
    read,
    timespec,
    write,
)
from hipgw._fastpath.descriptor cimport DROP
from hipgw._fastpath.nfq cimport queue_room_free, queue_room_init
from hipgw._fastpath.rings cimport ring_free, ring_init, ring_push_parts
from hipgw._fastpath.segment cimport SUPER_OCTETS

PATH_NAMES = (
    "tun_rx",
    "esp_tx",
    "net_rx",
    "esp_rx",
    "tun_tx",
    "punt_control",
    "punt_no_sa",
    "punt_family",
    "tso_in",
    "gso_out",
    "gro_in",
    "coalesced_out",
    "gso_refused",
    "i1_received",
    "r1_sent",
    "read_trouble",
    "queue_rx",
    "queue_left",
    "queue_supers",
    "queue_overrun",
    "queue_broken",
    "link_tx",
    "link_refused",
    "handed_over",
    "gave_way",
)
if len(PATH_NAMES) != P_COUNT:
    raise ImportError("worker_state.pyx and worker_state.pxd differ: one name a path counter")


cdef WorkerState *new_worker(
        int number, SaIndex *index, Flows *flows, uint32_t slot_octets, uint32_t slots,
        uint64_t ring_octets) noexcept:
    cdef WorkerState *w = <WorkerState *>calloc(1, sizeof(WorkerState))
    if w == NULL:
        return NULL
    w.number = number
    w.pair = <uint16_t>(number // 2)
    w.pairs = index.pairs
    w.index = index
    w.flows = flows
    w.tun_fd = w.punt_fd = -1
    for i in range(SOCKETS):
        w.sockets[i] = -1
    w.hip[0] = w.hip[1] = -1
    w.writer.fd = -1
    w.epoll_fd = epoll_create1(EPOLL_CLOEXEC)
    w.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
    if (w.epoll_fd < 0 or w.wake_fd < 0
            or arena_init(&w.arena, slot_octets, slots) != 0
            or ring_init(&w.punts, ring_octets) != 0
            or watch(w, w.wake_fd) != 0):
        free_worker(w)
        return NULL
    return w


cdef int make_outbound(WorkerState *w, uint64_t ring_octets, bint has_vnet) noexcept:
    if has_vnet:
        w.whole.octets = <uint8_t *>calloc(1, SUPER_OCTETS)
        if w.whole.octets == NULL:
            return -1
    return ring_init(&w.inject, ring_octets)


cdef int make_queues(WorkerState *w) noexcept:
    w.queues = <QueueSource *>calloc(1, sizeof(QueueSource))
    if w.queues == NULL:
        return -1
    w.queues.index = w.index
    return queue_room_init(&w.queues.room)


cdef int make_inbound(WorkerState *w, bint has_gro) noexcept:
    return arena_init(&w.trains, TRAIN_OCTETS, TRAIN_SLOTS) if has_gro else 0


cdef int make_equal(WorkerState *w, WorkerState **equals, uint64_t ring_octets) noexcept:
    cdef uint32_t k
    w.equals = equals
    w.handed = <ByteRing *>calloc(w.pairs, sizeof(ByteRing))
    if w.handed == NULL:
        return -1
    for k in range(w.pairs):
        if k != w.pair and ring_init(&w.handed[k], ring_octets) != 0:
            return -1
    return 0


cdef void free_worker(WorkerState *w) noexcept:
    cdef uint32_t k
    if w == NULL:
        return
    if w.epoll_fd >= 0:
        close(w.epoll_fd)
    if w.wake_fd >= 0:
        close(w.wake_fd)
    ring_free(&w.punts)
    ring_free(&w.inject)
    if w.handed != NULL:
        for k in range(w.pairs):
            ring_free(&w.handed[k])
    free(w.handed)
    arena_free(&w.arena)
    arena_free(&w.trains)
    if w.whole.octets != NULL:
        memset(w.whole.octets, 0, SUPER_OCTETS)
    free(w.whole.octets)
    if w.queues != NULL:
        queue_room_free(&w.queues.room)
    free(w.queues)
    free(w)


cdef int watch(WorkerState *w, int fd) noexcept nogil:
    cdef epoll_event event
    memset(&event, 0, sizeof(epoll_event))
    event.events = EPOLLIN
    event.data.fd = fd
    return epoll_ctl(w.epoll_fd, EPOLL_CTL_ADD, fd, &event)


cdef int await_events(
        WorkerState *w, epoll_event *events, int most, bint is_idle) noexcept nogil:
    cdef uint64_t until
    cdef int ready
    if not is_idle or w.spin_ns == 0:
        return epoll_wait(w.epoll_fd, events, most, -1 if is_idle else 0)
    until = now_ns() + w.spin_ns
    while True:
        ready = epoll_wait(w.epoll_fd, events, most, 0)
        if ready != 0:
            return ready
        if now_ns() >= until:
            return epoll_wait(w.epoll_fd, events, most, -1)


cdef void quench(int event_fd) noexcept nogil:
    cdef uint64_t count
    read(event_fd, &count, 8)


cdef void signal_event(int event_fd) noexcept nogil:
    cdef uint64_t one = 1
    write(event_fd, &one, 8)        # fails only when it is readable already


cdef bint push_punt(
        WorkerState *w, Record *head, const uint8_t *octets, uint32_t length) noexcept nogil:
    return push_punt_parts(w, head, octets, length, NULL, 0)


cdef bint push_punt_parts(
        WorkerState *w, Record *head, const uint8_t *first, uint32_t first_octets,
        const uint8_t *second, uint32_t second_octets) noexcept nogil:
    if not ring_push_parts(&w.punts, head, first, first_octets, second, second_octets):
        return False
    w.has_punted = True
    return True


cdef void settle_batch(WorkerState *w, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        if w.desc[i].verdict == DROP:
            w.reasons[w.desc[i].reason] += 1
    if w.has_punted:
        w.has_punted = False
        signal_event(w.punt_fd)


cdef void back_off(WorkerState *w) noexcept nogil:
    cdef pollfd asked
    asked.fd = w.wake_fd
    asked.events = POLLIN
    asked.revents = 0
    poll(&asked, 1, BACK_OFF_MS)


cdef uint64_t now_ns() noexcept nogil:
    """CLOCK_MONOTONIC, once a batch."""
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <uint64_t>now.tv_sec * 1000000000 + <uint64_t>now.tv_nsec
