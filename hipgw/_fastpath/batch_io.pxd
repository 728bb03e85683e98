"""What batches in and out have in common: the arena, the mailbag, patience; see batch_io.pyx."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from hipgw._fastpath.c.sockets cimport iovec, mmsghdr, sockaddr_in6
from hipgw._fastpath.descriptor cimport BATCH_MOST, DROP, FORWARD, PacketDesc

cdef enum:
    # Ancillary data of one message: packet information, traffic class and hop limit of either
    # family, a segment size.
    CONTROL_WORDS = 14
    REFUSALS = 64               # a power of two
    # The sockets of a data path, as indexes.
    UDP4 = 0
    UDP6 = 1
    RAW4 = 2
    RAW6 = 3
    LINK = 4                    # not of a family: AF_PACKET, frames to a next hop
    SOCKETS = 5
    PATIENCE = 5                # waits a batch
    # Options of level IPPROTO_UDP (linux/udp.h), and their ancillary data.
    UDP_SEGMENT = 103
    UDP_GRO = 104

cdef struct ControlArea:
    uint64_t words[CONTROL_WORDS]       # aligned for struct cmsghdr

cdef struct Refusal:
    # An outbound SA whose trains the kernel refused: its datagrams go one by one for a while.
    uint32_t spi
    uint64_t until_ns

cdef struct Mailbag:
    # What one recvmmsg or sendmmsg needs beside the arena: written and read by one worker.
    mmsghdr messages[BATCH_MOST]
    iovec parts[BATCH_MOST]
    sockaddr_in6 names[BATCH_MOST]      # or sockaddr_in
    ControlArea controls[BATCH_MOST]
    uint16_t message[BATCH_MOST]        # receiving: message of each descriptor
    uint16_t packet[BATCH_MOST]         # sending: descriptor of each part
    uint16_t first[BATCH_MOST]          # sending: first part of each message
    uint8_t socket[BATCH_MOST]          # sending: UDP4 .. RAW6
    const void *ready_arena             # receiving: whose slots the messages name
    uint32_t ready_room
    uint32_t stale                      # receiving: messages that the last call has written to
    bint has_gso                        # sending: trains may be tried
    uint8_t class_mask                  # bits of the traffic class that pass in and out
    Refusal refusals[REFUSALS]          # sending: by the low bits of the SPI
    uint64_t trains                     # sent, or received, since the start
    uint64_t refused                    # trains that the kernel did not take
    bint has_link                       # sending: next hops may be used
    uint64_t linked                     # packets that went to a next hop
    uint64_t link_refused               # packets that the device did not take so

cdef struct Arena:
    # Equal slots: one packet each, or what one recvmmsg brings for one message.
    uint8_t *octets
    uint32_t slot_octets
    uint32_t slots                      # at most BATCH_MOST


cdef inline void drop(PacketDesc *d, int reason) noexcept nogil:
    d.verdict = DROP
    d.reason = <uint16_t>reason


cdef inline void fresh(PacketDesc *d, uint32_t offset, uint32_t length) noexcept nogil:
    d.offset = offset
    d.length = length
    d.sa_index = 0
    d.verdict = FORWARD
    d.hop_limit = 0
    d.reason = 0
    d.network_octets = 0
    d.traffic_class = 0
    d.next_header = 0
    d.family = 0


# 0, or -1 without memory. The octets are zero until the first packet.
cdef int arena_init(Arena *arena, uint32_t slot_octets, uint32_t slots) noexcept
# Inner packets have passed through it: it is cleared first.
cdef void arena_free(Arena *arena) noexcept

# Most octets that a slot takes between its headroom and its tailroom.
cdef uint32_t slot_room(const Arena *arena) noexcept nogil

# Wait a little until `fd` takes more; False when the batch's patience, PATIENCE at first, is spent.
cdef bint wait_for_room(int fd, int *patience) noexcept nogil
