"""Single-producer, single-consumer rings; see rings.pxd for the layout.

The producer writes the record, then publishes `tail` (release); the consumer reads `tail`
(acquire), then the record, then publishes `head` (release).  Nothing else is shared.
"""

from __future__ import annotations

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from hipgw._fastpath.c.atomics cimport ATOMIC_ACQUIRE, ATOMIC_RELEASE, load_u64, store_u64


cdef int ring_init(ByteRing *ring, uint64_t least) noexcept nogil:
    memset(ring, 0, sizeof(ByteRing))
    ring.capacity = 4096
    while ring.capacity < least:
        ring.capacity *= 2
    ring.octets = <uint8_t *>malloc(ring.capacity)
    return 0 if ring.octets != NULL else -1


cdef void ring_free(ByteRing *ring) noexcept nogil:
    free(ring.octets)
    ring.octets = NULL


cdef bint ring_push(
        ByteRing *ring, Record *head, const uint8_t *octets, uint32_t length) noexcept nogil:
    return ring_push_parts(ring, head, octets, length, NULL, 0)


cdef bint ring_push_parts(
        ByteRing *ring, Record *head, const uint8_t *first, uint32_t first_octets,
        const uint8_t *second, uint32_t second_octets) noexcept nogil:
    cdef uint32_t length = first_octets + second_octets
    cdef uint8_t *to
    cdef uint64_t tail = ring.tail
    cdef uint64_t room = ring.capacity - (tail - load_u64(&ring.head, ATOMIC_ACQUIRE))
    cdef uint64_t place = tail & (ring.capacity - 1)
    cdef uint64_t total = (sizeof(Record) + <uint64_t>length + 7) & ~<uint64_t>7
    cdef uint64_t rest = ring.capacity - place
    cdef uint32_t skip[2]
    if rest < total:
        if room < rest + total:
            return False
        skip[0] = <uint32_t>rest
        skip[1] = KIND_SKIP
        memcpy(ring.octets + place, skip, 8)
        tail += rest
        place = 0
    elif room < total:
        return False
    head.total = <uint32_t>total
    head.length = length
    memcpy(ring.octets + place, head, sizeof(Record))
    to = ring.octets + place + sizeof(Record)
    if first_octets:
        memcpy(to, first, first_octets)
    if second_octets:
        memcpy(to + first_octets, second, second_octets)
    store_u64(&ring.tail, tail + total, ATOMIC_RELEASE)
    return True


cdef const Record *ring_peek(ByteRing *ring) noexcept nogil:
    cdef const Record *record
    while load_u64(&ring.tail, ATOMIC_ACQUIRE) != ring.head:
        record = <const Record *>(ring.octets + (ring.head & (ring.capacity - 1)))
        if record.kind != KIND_SKIP:
            return record
        store_u64(&ring.head, ring.head + record.total, ATOMIC_RELEASE)
    return NULL


cdef void ring_pop(ByteRing *ring) noexcept nogil:
    """Give the octets of the record that ring_peek returned back to the producer."""
    cdef const Record *record = <const Record *>(
        ring.octets + (ring.head & (ring.capacity - 1)))
    store_u64(&ring.head, ring.head + record.total, ATOMIC_RELEASE)


cdef class RecordRing:
    """One ring, both ends in Python: for tests."""

    cdef ByteRing ring

    def __cinit__(self, uint64_t least_octets):
        if ring_init(&self.ring, least_octets) != 0:
            raise MemoryError

    def __dealloc__(self):
        ring_free(&self.ring)

    @property
    def capacity(self) -> int:
        """Octets in the ring, record heads included."""
        return self.ring.capacity

    def push(self, uint32_t kind, bytes octets) -> bool:
        """Append a record; False when it does not fit now."""
        cdef Record head
        if kind == KIND_SKIP:
            raise ValueError("kind 0 marks the end of the ring: expected another kind")
        memset(&head, 0, sizeof(Record))
        head.kind = kind
        return ring_push(&self.ring, &head, octets, <uint32_t>len(octets))

    def pop(self) -> tuple[int, bytes] | None:
        """Take the oldest record: kind and octets."""
        cdef const Record *record = ring_peek(&self.ring)
        cdef tuple taken            # left to inference, Cython 3.3.1 does not come back
        if record == NULL:
            return None
        taken = (record.kind, PyBytes_FromStringAndSize(octets_of(record), record.length))
        ring_pop(&self.ring)
        return taken
