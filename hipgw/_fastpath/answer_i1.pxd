"""The node that answers I1s; see answer_i1.pyx."""

from libc.stdint cimport uint8_t, uint16_t, uint64_t

from hipgw._fastpath.batch_io cimport BATCH_MOST, ControlArea, Mailbag
from hipgw._fastpath.c.sockets cimport iovec, mmsghdr, sockaddr_in6
from hipgw._fastpath.claims cimport Claims
from hipgw._fastpath.descriptor cimport PacketDesc
from hipgw._fastpath.quiet cimport Marks, Retired, RetiredList
from hipgw._fastpath.r1_offer cimport R1Offer
from hipgw._fastpath.sources cimport Sources
from hipgw._fastpath.tables cimport SaTables

cdef struct Replies:
    # What one sendmmsg needs; the worker's.
    uint8_t *slots              # BATCH_MOST of REPLY_OCTETS each
    mmsghdr messages[BATCH_MOST]
    iovec parts[BATCH_MOST]
    sockaddr_in6 names[BATCH_MOST]
    ControlArea controls[BATCH_MOST]
    uint16_t packet[BATCH_MOST]     # descriptor of the I1 that each answers
    int count

cdef struct Answerer:
    R1Offer *offer              # swapped by the control plane; NULL: nothing is answered here
    Claims claims
    # worker
    uint64_t last_us            # stamp of the last R1, on the clock
    uint64_t received           # I1s that ended here
    uint64_t sent               # R1s
    Replies replies

# Among desc[0..n] (verdict PUNT, reason PUNT_CONTROL: HIP packets as bag.message says they came),
# answer each plain I1, all in one sendmmsg through `fd`; the others stay punts. An I1 that ends
# here has verdict ANSWERED, or DROP with its reason.
cdef void answer_i1_batch(
    Answerer *answerer, int fd, bint is_raw, Mailbag *bag, const uint8_t *arena, PacketDesc *desc,
    Py_ssize_t n, uint64_t now) noexcept nogil

# Whether a HIP packet (40 octets at least) says that it is an I1.
cdef bint is_i1(const uint8_t *packet) noexcept nogil

cdef struct SourcesRecord:
    Sources sources             # first: offers point at it
    Retired end

cdef class I1Desk:
    cdef Answerer *answerer
    cdef SaTables tables        # theirs are the marks
    cdef Marks *marks
    cdef RetiredList retired
    cdef SourcesRecord *sources
    cdef tuple limits

    cdef void free_retired(self) noexcept
