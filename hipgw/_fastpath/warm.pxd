"""Brings what a batch will look up near, before it is looked up; see warm.pyx."""

from libc.stdint cimport uint8_t, uint32_t

from hipgw._fastpath.descriptor cimport PacketDesc
from hipgw._fastpath.tables cimport SaIndex

# For descriptors as classify_outbound_batch takes them, n <= BATCH_MOST.
cdef void warm_outbound(
    const uint8_t *arena, const PacketDesc *desc, Py_ssize_t n, SaIndex *index) noexcept nogil

# For descriptors that begin with an ESP header `skip` octets after offset, n <= BATCH_MOST.
cdef void warm_inbound(
    const uint8_t *arena, const PacketDesc *desc, Py_ssize_t n, uint32_t skip,
    SaIndex *index) noexcept nogil
