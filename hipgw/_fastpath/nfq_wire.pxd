"""Netlink messages of a netfilter queue: packets in, verdicts out; see nfq_wire.pyx."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

cdef enum:
    VERDICT_OCTETS = 32         # one verdict without payload
    PAYLOAD_AT = 36             # from the start of a verdict with payload to the payload
    NO_PACKET = -1              # of parse_queued: a message of another kind, or a broken one
    NO_MORE = 0
    PACKET = 1

cdef struct Queued:
    # One packet that waits in a queue of the kernel for its verdict.
    uint32_t offset             # octets from the start of the datagram to its first octet
    uint32_t length             # octets that were copied
    uint32_t whole_octets       # octets that it has; more than `length`: the copy is cut off
    uint32_t id                 # ascending in one queue
    uint32_t mark
    uint32_t flags              # NFQA_SKB_*
    uint32_t verdict            # NF_DROP, NF_ACCEPT; the reader's
    uint16_t queue
    uint16_t hw_protocol        # EtherType
    uint8_t hook                # NF_INET_*
    bint is_changed             # the reader's: the packet goes back with its verdict

# The message at at[0] of a netlink datagram; moves at[0] behind it. PACKET: `q` is filled, its
# verdict NF_ACCEPT. Reads nothing outside octets[0..length].
cdef int parse_queued(
    const uint8_t *octets, uint32_t length, uint32_t *at, Queued *q) noexcept nogil

# A verdict in VERDICT_OCTETS: about this packet, or with `batch` also about all that came before
# it in its queue and have none yet.
cdef void put_verdict(uint8_t *to, const Queued *q, bint batch) noexcept nogil

# A verdict with the packet itself, which lies at to + PAYLOAD_AT; octets behind it, up to the next
# multiple of four, are cleared. Returns the octets of the message.
cdef uint32_t put_verdict_around(
    uint8_t *to, const Queued *q, uint32_t payload_octets) noexcept nogil
