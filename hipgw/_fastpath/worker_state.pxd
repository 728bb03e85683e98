"""Everything one worker needs in its life: made before its thread starts, freed after it ended."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from hipgw._fastpath.batch_io cimport SOCKETS, Arena, Mailbag
from hipgw._fastpath.descriptor cimport BATCH_MOST, PacketDesc
from hipgw._fastpath.flows cimport Flows
from hipgw._fastpath.reasons cimport R_COUNT
from hipgw._fastpath.rings cimport ByteRing, Record
from hipgw._fastpath.tables cimport SaIndex

cdef enum:
    # Path counters: packets that were not dropped, by where they passed; names in worker_state.pyx.
    P_TUN_RX                    # read from the TUN device or injected
    P_ESP_TX                    # sent as ESP
    P_NET_RX                    # received from the sockets, of whatever kind
    P_ESP_RX                    # of them, ESP that names an inbound SA
    P_TUN_TX                    # written to the TUN device
    P_PUNT_CONTROL              # handed to the control plane, by kind
    P_PUNT_NO_SA
    P_PUNT_FAMILY
    P_TROUBLE                   # reads that failed for another reason than "nothing there"
    P_COUNT

cdef enum:
    BACK_OFF_MS = 100           # after a read error that may last, such as a deleted device

cdef struct WorkerState:
    # made by the control plane
    SaIndex *index
    Flows *flows
    Arena arena
    int tun_fd
    int sockets[SOCKETS]        # -1: none
    int epoll_fd
    int wake_fd                 # eventfd: stop, or records in `inject`
    int punt_fd                 # eventfd of the data path: records in a punt ring
    ByteRing punts              # produced here
    ByteRing inject             # consumed here; outbound worker only
    uint64_t stop               # written by the control plane
    # worker
    uint64_t reasons[R_COUNT]   # read by the control plane without locks
    uint64_t path[P_COUNT]
    bint has_punted             # in this batch: punt_fd wants a word
    bint trouble                # in this round
    PacketDesc desc[BATCH_MOST]
    void *sa[BATCH_MOST]        # SaOut * or SaIn *
    Mailbag bag

# A worker without descriptors to wait on, or NULL; `ring_octets` a ring, `injects`: it has one.
cdef WorkerState *new_worker(
    SaIndex *index, Flows *flows, uint32_t slot_octets, uint32_t slots, uint64_t ring_octets,
    bint injects) noexcept
cdef void free_worker(WorkerState *w) noexcept

# Wait on `fd` as well; 0 or -1 with errno.
cdef int watch(WorkerState *w, int fd) noexcept nogil

# Read an eventfd empty; write it readable.
cdef void quench(int event_fd) noexcept nogil
cdef void signal_event(int event_fd) noexcept nogil

# Push a record; False, and nothing is counted, when the ring is full.
cdef bint push_punt(
    WorkerState *w, Record *head, const uint8_t *octets, uint32_t length) noexcept nogil

# Count each DROP of the batch; tell the control plane about punts.
cdef void settle_batch(WorkerState *w, Py_ssize_t n) noexcept nogil

# Sleep BACK_OFF_MS, or until woken.
cdef void back_off(WorkerState *w) noexcept nogil

cdef uint64_t now_ns() noexcept nogil
