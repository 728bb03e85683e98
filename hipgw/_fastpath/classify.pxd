"""Which SA carries a packet, if any; see classify.pyx."""

from libc.stdint cimport uint8_t

from hipgw._fastpath.descriptor cimport PacketDesc
from hipgw._fastpath.tables cimport SaIndex

cdef enum Carrier:
    CARRIER_UDP                 # datagrams of port 10500
    CARRIER_RAW4                # protocol 50 or 139 with its IPv4 header
    CARRIER_RAW6                # either, header already off

# desc[i] (FORWARD): inner IP packet. Leaves sa_index into sa[] (filled from 0 on) and family; or
# DROP with a reason; or PUNT with reason = PUNT_NO_SA. Returns how many are FORWARD.
cdef Py_ssize_t classify_outbound_batch(
    const uint8_t *arena, PacketDesc *desc, Py_ssize_t n, SaIndex *index, void **sa) noexcept nogil

# desc[i] (FORWARD): what the carrier delivered. Leaves the ESP packet under offset/length and
# sa_index into sa[]; or DROP with a reason; or PUNT with reason = PUNT_CONTROL, offset/length on
# the HIP packet. Returns how many are FORWARD.
cdef Py_ssize_t classify_inbound_batch(
    const uint8_t *arena, PacketDesc *desc, Py_ssize_t n, Carrier carrier, SaIndex *index,
    void **sa) noexcept nogil

# desc[i] (FORWARD): what a raw socket of protocol 139 delivered. PUNT with reason = PUNT_CONTROL,
# offset/length on the HIP packet; or DROP when that has no whole header.
cdef void strip_to_control(
    const uint8_t *arena, PacketDesc *desc, Py_ssize_t n, Carrier carrier) noexcept nogil
