"""Packets that go on in another worker.

With several pairs of workers each SA belongs to one of them, which alone draws its sequence
numbers, looks at its replay window and uses its keyed state, as if there were no others.  The
kernel is asked to bring packets to the owner.  What it brings elsewhere the worker passes on, as it
came, through a ring that only it fills and only the owner empties: packets of a flow come by the
same way, and so stay in order.

An owner that does not keep up is waited for a little, then packets are dropped, as from a queue of
the kernel that is full.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from hipgw._fastpath.batch_io cimport PATIENCE, drop, fresh, slot_room
from hipgw._fastpath.c.events cimport poll
from hipgw._fastpath.descriptor cimport FORWARD, HANDED, HEADROOM_OCTETS, PacketDesc
from hipgw._fastpath.reasons cimport R_HANDOVER_FULL, R_TRUNCATED
from hipgw._fastpath.rings cimport (
    KIND_HANDED,
    ByteRing,
    Record,
    octets_of,
    ring_peek,
    ring_pop,
    ring_push,
)
from hipgw._fastpath.sa cimport SaIn, SaOut
from hipgw._fastpath.worker_state cimport P_HANDED, signal_event

cdef enum:
    WAIT_MS = 1


cdef void tell_owners(WorkerState *w) noexcept nogil:
    """Wake those who got something."""
    cdef uint32_t pair = 0
    while w.handed_to:
        if w.handed_to & 1:
            signal_event(w.equals[pair].wake_fd)
        w.handed_to >>= 1
        pair += 1


cdef bint push_handed(
        WorkerState *w, uint16_t pair, const PacketDesc *d, const uint8_t *octets,
        int *patience) noexcept nogil:
    """False when the ring stays full."""
    cdef ByteRing *ring = &w.equals[pair].handed[w.pair]
    cdef Record head
    memset(&head, 0, sizeof(Record))
    head.kind = KIND_HANDED
    head.family = d.traffic_class
    head.protocol = d.hop_limit
    while not ring_push(ring, &head, octets, d.length):
        if patience[0] == 0:
            return False
        patience[0] -= 1
        tell_owners(w)
        poll(NULL, 0, WAIT_MS)
    w.handed_to |= <uint64_t>1 << pair
    return True


cdef void hand_over_batch(
        WorkerState *w, const uint8_t *arena, Py_ssize_t n, bint is_inbound) noexcept nogil:
    cdef uint32_t room = slot_room(&w.arena)
    cdef int patience = PATIENCE
    cdef PacketDesc *d
    cdef uint16_t pair
    cdef void *sa
    cdef Py_ssize_t i
    for i in range(n):
        d = &w.desc[i]
        if d.verdict != FORWARD:
            continue
        sa = w.sa[d.sa_index]
        pair = (<SaIn *>sa).pair if is_inbound else (<SaOut *>sa).pair
        if pair == w.pair:
            continue
        if d.length > room:             # a lone datagram of almost 64 KiB
            drop(d, R_TRUNCATED)
        elif push_handed(w, pair, d, arena + d.offset, &patience):
            d.verdict = HANDED
            w.path[P_HANDED] += 1
        else:
            drop(d, R_HANDOVER_FULL)
    tell_owners(w)


cdef Py_ssize_t take_handed(WorkerState *w, Py_ssize_t first) noexcept nogil:
    cdef Py_ssize_t most = first + (w.arena.slots - first + 1) // 2
    cdef Py_ssize_t n = first
    cdef const Record *record
    cdef ByteRing *ring
    cdef uint32_t offset, k
    for k in range(w.pairs):
        ring = &w.handed[(w.hand_turn + k) % w.pairs]
        while n < most and ring.octets != NULL:         # there is none from itself
            record = ring_peek(ring)
            if record == NULL:
                break
            offset = <uint32_t>n * w.arena.slot_octets + HEADROOM_OCTETS
            fresh(&w.desc[n], offset, record.length)
            w.desc[n].traffic_class = record.family
            w.desc[n].hop_limit = record.protocol
            memcpy(w.arena.octets + offset, octets_of(record), record.length)
            ring_pop(ring)
            n += 1
    w.hand_turn += 1
    if n == most:                       # there may be more: come back
        signal_event(w.wake_fd)
    return n
