"""Everything one worker needs in its life: made before its thread starts, freed after it ended."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from hipgw._fastpath.answer_i1 cimport Answerer
from hipgw._fastpath.batch_io cimport SOCKETS, Arena, Mailbag
from hipgw._fastpath.c.events cimport epoll_event
from hipgw._fastpath.coalesce cimport Bundles
from hipgw._fastpath.descriptor cimport BATCH_MOST, PacketDesc
from hipgw._fastpath.flows cimport Flows
from hipgw._fastpath.queue_io cimport QueueSource
from hipgw._fastpath.reasons cimport R_COUNT
from hipgw._fastpath.rings cimport ByteRing, Record
from hipgw._fastpath.segment cimport Super
from hipgw._fastpath.tables cimport SaIndex
from hipgw._fastpath.tun_io cimport TunWriter

cdef enum:
    # Path counters: packets that were not dropped, by where they passed; names in worker_state.pyx.
    P_TUN_RX                    # read from the TUN device, taken from queues, or injected
    P_ESP_TX                    # sent as ESP
    P_NET_RX                    # received from the sockets, of whatever kind
    P_ESP_RX                    # of them, ESP that names an inbound SA
    P_TUN_TX                    # written to the TUN device
    P_PUNT_CONTROL              # handed to the control plane, by kind
    P_PUNT_NO_SA
    P_PUNT_FAMILY
    # Offloads: super-packets and trains, not packets.
    P_TSO_IN                    # super-packets read from the TUN device
    P_GSO_OUT                   # trains sent
    P_GRO_IN                    # trains received
    P_COALESCED_OUT             # super-packets written to the TUN device
    P_GSO_REFUSED               # either, when the kernel did not take it: went packet by packet
    P_I1_RX                     # I1s that came to their end here: answered, refused, not sent
    P_R1_TX                     # R1s sent
    P_TROUBLE                   # reads that failed for another reason than "nothing there"
    # Netfilter queues: packets and super-packets alike.
    P_QUEUE_RX                  # taken
    P_QUEUE_LEFT                # let pass to the TUN device, where only the kernel can cut them
    P_QUEUE_SUPERS              # of those taken, super-packets
    P_QUEUE_OVERRUN             # times that the kernel said ENOBUFS
    P_QUEUE_BROKEN              # messages that were no packets, and verdicts not taken
    # Past the kernel's IP output: see link.pyx.
    P_LINK_TX                   # of P_ESP_TX, sent to a next hop
    P_LINK_REFUSED              # refused there, and tried by the socket
    P_HANDED                    # passed on to the worker that owns their SA
    P_GAVE_WAY                  # times that an inbound worker offered its processor
    P_COUNT

cdef enum:
    BACK_OFF_MS = 100           # after a read error that may last, such as a deleted device
    TRAIN_SLOTS = 16            # trains in one recvmmsg
    TRAIN_OCTETS = 65536        # more than a UDP datagram can have
    STRANGERS = 64              # buckets of sources of unknown SPIs
    STRANGE_MS = 1000           # between two words about the same bucket

cdef struct WorkerState:
    # made by the control plane
    int number                  # twice its pair's, and OUTBOUND or INBOUND
    uint16_t pair
    uint32_t pairs
    SaIndex *index
    Flows *flows
    Answerer *answerer          # inbound worker
    Arena arena
    Arena trains                # inbound worker with UDP_GRO, else without slots
    Super whole                 # outbound worker with vnet headers, else without octets
    QueueSource *queues         # outbound worker that takes packets from queues, else NULL
    int tun_fd
    int sockets[SOCKETS]        # -1: none
    int hip[2]                  # raw sockets of protocol 139, IPv4 and IPv6; -1: none
    int epoll_fd
    int wake_fd                 # eventfd: stop, or records in `inject`
    int punt_fd                 # eventfd of the data path: records in a punt ring
    ByteRing punts              # produced here
    ByteRing inject             # consumed here; outbound worker only
    ByteRing *handed            # [pairs]: consumed here, each filled by another worker; or NULL
    WorkerState **equals        # [pairs]: the workers of this direction; or NULL
    uint64_t spin_ns            # how long to look for packets before sleeping
    uint64_t stop               # written by the control plane
    # worker
    uint64_t reasons[R_COUNT]   # read by the control plane without locks
    uint64_t path[P_COUNT]
    uint64_t strange_ns[STRANGERS]  # when the control plane last heard of a bucket
    bint has_punted             # in this batch: punt_fd wants a word
    bint trouble                # in this round
    uint64_t handed_to          # pairs that want a word, a bit each
    uint32_t hand_turn          # whose ring is looked at first
    uint64_t too_big_ns         # outbound worker: last PUNT_TOO_BIG
    PacketDesc desc[BATCH_MOST]
    void *sa[BATCH_MOST]        # SaOut * or SaIn *
    Mailbag bag
    TunWriter writer            # inbound worker
    Bundles bundles

# A worker without descriptors to wait on, or NULL; `ring_octets` a ring.
cdef WorkerState *new_worker(
    int number, SaIndex *index, Flows *flows, uint32_t slot_octets, uint32_t slots,
    uint64_t ring_octets) noexcept
# What only one of the two has: an inject ring, and room for super-packets when it reads them; room
# for trains when it receives them. 0, or -1 without memory.
cdef int make_outbound(WorkerState *w, uint64_t ring_octets, bint has_vnet) noexcept
cdef int make_queues(WorkerState *w) noexcept
cdef int make_inbound(WorkerState *w, bint has_gro) noexcept
# Rings from all workers of its direction, which `equals` names, to this one; 0 or -1.
cdef int make_equal(WorkerState *w, WorkerState **equals, uint64_t ring_octets) noexcept
cdef void free_worker(WorkerState *w) noexcept

# Wait on `fd` as well; 0 or -1 with errno.
cdef int watch(WorkerState *w, int fd) noexcept nogil

# Wait for something to read; `is_idle` False: only look. As epoll_wait.
cdef int await_events(
    WorkerState *w, epoll_event *events, int most, bint is_idle) noexcept nogil

# Read an eventfd empty; write it readable.
cdef void quench(int event_fd) noexcept nogil
cdef void signal_event(int event_fd) noexcept nogil

# Push a record; False, and nothing is counted, when the ring is full.
cdef bint push_punt(
    WorkerState *w, Record *head, const uint8_t *octets, uint32_t length) noexcept nogil

# The same with the octets in two places.
cdef bint push_punt_parts(
    WorkerState *w, Record *head, const uint8_t *first, uint32_t first_octets,
    const uint8_t *second, uint32_t second_octets) noexcept nogil

# Count each DROP of the batch; tell the control plane about punts.
cdef void settle_batch(WorkerState *w, Py_ssize_t n) noexcept nogil

# Sleep BACK_OFF_MS, or until woken.
cdef void back_off(WorkerState *w) noexcept nogil

cdef uint64_t now_ns() noexcept nogil
