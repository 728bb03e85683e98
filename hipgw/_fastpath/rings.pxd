"""Bounded rings of records between a worker and the control plane, or between two workers: one
producer and one consumer each.

A record is a `Record` followed by its octets, padded to 8.  Records do not wrap: what is left at
the end of the ring is filled by a record of kind `KIND_SKIP`.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from hipgw._fastpath.c.atomics cimport ATOMIC_RELAXED, load_u64

cdef enum Kind:
    KIND_SKIP = 0
    PUNT_CONTROL = 1            # HIP over UDP, marker stripped
    PUNT_NO_SA = 2              # inner packet for which there is no outbound SA
    PUNT_FIRST_ESP = 3          # an inbound SA has carried its first valid packet
    PUNT_FAMILY = 4             # inner packet, rebuilt over HITs, that may belong to LSIs
    PUNT_EXPIRE = 5             # an outbound SA nears its last sequence number
    PUNT_CONTROL_RAW = 7        # HIP over IP protocol 139, IP header off
    KIND_INJECT = 6             # inner packet from the control plane
    PUNT_STRANGE = 8            # ESP with an unknown SPI came; the packet itself is dropped
    PUNT_TOO_BIG = 9            # begin of an inner packet that the path does not carry
    KIND_HANDED = 10            # packet of an SA that another worker owns

cdef struct Record:
    uint32_t total              # octets in the ring, this head included; a multiple of 8
    uint32_t kind
    uint32_t length             # octets that follow
    uint32_t spi
    uint16_t port               # source port (CONTROL, STRANGE), local port (FAMILY), MTU (TOO_BIG)
    uint8_t family              # outer family (CONTROL, CONTROL_RAW, STRANGE), class (HANDED)
    uint8_t protocol            # inner (FAMILY), outer: 50 or 17 (STRANGE), hop limit (HANDED)
    uint8_t source[16]          # 4 or 16 octets, by family
    uint8_t destination[16]

cdef struct ByteRing:
    uint8_t *octets
    uint64_t capacity           # a power of two
    uint64_t apart_0[6]
    uint64_t head               # consumer's: octets taken since the start
    uint64_t apart_1[7]
    uint64_t tail               # producer's: octets put since the start
    uint64_t apart_2[7]

# 0, or -1 without memory. `least` octets are rounded up to a power of two.
cdef int ring_init(ByteRing *ring, uint64_t least) noexcept nogil
cdef void ring_free(ByteRing *ring) noexcept nogil

# Producer: append head and octets; False when they do not fit now. Fills head.total and length.
cdef bint ring_push(
    ByteRing *ring, Record *head, const uint8_t *octets, uint32_t length) noexcept nogil

# The same with the octets in two places.
cdef bint ring_push_parts(
    ByteRing *ring, Record *head, const uint8_t *first, uint32_t first_octets,
    const uint8_t *second, uint32_t second_octets) noexcept nogil

# Consumer: the oldest record, or NULL; it stays valid until ring_pop.
cdef const Record *ring_peek(ByteRing *ring) noexcept nogil
cdef void ring_pop(ByteRing *ring) noexcept nogil


cdef inline const char *octets_of(const Record *record) noexcept nogil:
    """The octets that follow a record's head."""
    return <const char *>record + sizeof(Record)


cdef inline bint is_half_full(const ByteRing *ring) noexcept nogil:
    """Producer: whether less than half of the ring is free."""
    return 2 * (ring.tail - load_u64(<uint64_t *>&ring.head, ATOMIC_RELAXED)) > ring.capacity
