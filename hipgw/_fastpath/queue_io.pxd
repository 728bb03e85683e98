"""Packets to HITs and LSIs, taken from netfilter queues; see queue_io.pyx."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from hipgw._fastpath.batch_io cimport Arena
from hipgw._fastpath.descriptor cimport PacketDesc
from hipgw._fastpath.nfq cimport QueueRoom
from hipgw._fastpath.nfq_wire cimport Queued
from hipgw._fastpath.segment cimport Super
from hipgw._fastpath.tables cimport SaIndex
from hipgw._fastpath.vnet cimport VnetHeader

cdef enum:
    QUEUES_MOST = 17            # 16, and one for packets to routed prefixes

cdef struct QueueSource:
    # The queues of one worker.
    QueueRoom room
    Super whole                 # the packet that is being cut; its octets lie in the room
    SaIndex *index              # to know what paths carry
    bint is_leaving             # a packet of the room was left: so is what comes behind it
    uint64_t mtu_lsi            # octets of the longest packet; written by the control plane
    uint64_t mtu_hit
    # since the start
    uint64_t taken              # packets, super-packets among them
    uint64_t left               # packets that may pass, on to the interface
    uint64_t supers

# What the kernel does not say about a packet: `vnet` as a TUN device would have it, with segments
# of a super-packet no longer than `path_mtu`. False: the interface had better have it whole,
# because only the kernel can cut it, to `mtu`.
cdef bint describe_queued(
    const uint8_t *packet, const Queued *q, uint32_t mtu, uint32_t path_mtu,
    VnetHeader *vnet) noexcept nogil

# Whether packets are here that have no descriptors yet.
cdef bint has_queued(const QueueSource *source) noexcept nogil

# Receive from one queue, unless has_queued.
cdef void fetch_queued(QueueSource *source, int fd, bint *trouble) noexcept nogil

# Fill descriptors from 0 on until the room is empty, when the verdicts go back, or the batch full.
# Returns the number of descriptors filled.
cdef Py_ssize_t read_queued(
    QueueSource *source, const Arena *arena, PacketDesc *desc) noexcept nogil
