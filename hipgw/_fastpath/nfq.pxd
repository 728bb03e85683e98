"""Netfilter queues read and answered in batches; see nfq.pyx."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from hipgw._fastpath.c.sockets cimport iovec, mmsghdr
from hipgw._fastpath.nfq_wire cimport Queued

cdef enum:
    QUEUE_SLOTS = 64            # messages in one recvmmsg
    # A slot: room for what goes in front of a packet, one message, and the padding of an answer.
    # Not a multiple of a page, so that slots do not fall into the same sets of the cache.
    FRONT_OCTETS = 64
    MESSAGE_OCTETS = 66048      # 65,531 octets of packet, which is most, and the attributes
    ANSWER_OCTETS = 512         # a longer verdict with its packet is sent from where that lies
    QUEUE_SLOT_OCTETS = FRONT_OCTETS + MESSAGE_OCTETS + 64

cdef struct QueueRoom:
    # Packets of one queue between their arrival and their verdicts; a worker's own.
    uint8_t *octets             # QUEUE_SLOTS * QUEUE_SLOT_OCTETS
    int fd                      # where they came from, and where their verdicts go
    uint32_t count              # packets here, in the order of their ids
    uint32_t at                 # the reader's: the next one it looks at
    Queued queued[QUEUE_SLOTS]
    uint8_t *packet[QUEUE_SLOTS]
    mmsghdr messages[QUEUE_SLOTS]
    iovec parts[QUEUE_SLOTS]
    uint8_t answers[QUEUE_SLOTS * ANSWER_OCTETS]
    # since the start
    uint64_t received           # packets
    uint64_t whole_octets       # of them, also those that were not copied
    uint64_t overruns           # times that the kernel said ENOBUFS: it had lost packets
    uint64_t broken             # messages that were no packets: refusals of verdicts, and cut ones
    uint64_t unanswered         # packets whose verdict the kernel did not take

# 0, or -1 without memory.
cdef int queue_room_init(QueueRoom *room) noexcept
# Packets have passed through it: it is cleared first.
cdef void queue_room_free(QueueRoom *room) noexcept

# One recvmmsg from an empty room. Returns the packets; each has FRONT_OCTETS of room in front.
# trouble[0] = 1 after an error that may last.
cdef Py_ssize_t receive_queued(QueueRoom *room, int fd, bint *trouble) noexcept nogil

# One send with the verdicts of all packets, in their order, one message for each run of equal ones
# of a queue; the room is empty then.
cdef void settle_queued(QueueRoom *room) noexcept nogil

# One send with a verdict for each packet, and with those that were changed where they lie.
cdef void settle_rewritten(QueueRoom *room) noexcept nogil

# Where the transport header of an IP packet begins, and its protocol; 0 when it has none that can
# be found.
cdef uint32_t transport_at(
    const uint8_t *packet, uint32_t length, uint8_t *protocol) noexcept nogil
