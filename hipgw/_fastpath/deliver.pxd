"""Inner packets of the control plane, written to the TUN device; see deliver.pyx."""

from libc.stdint cimport uint8_t, uint32_t

from hipgw._fastpath.sa cimport SaIn
from hipgw._fastpath.tun_io cimport TunWriter

# Write a payload over the HITs of `sa` (NULL: it is gone), as PUNT_FAMILY brought it, as HITs or
# LSIs; 0 or a Reason. `slot` has `room` octets between its headroom and its tailroom.
cdef int deliver_payload(
    const TunWriter *writer, uint8_t *slot, uint32_t room, const uint8_t *packet, uint32_t length,
    uint8_t family, const SaIn *sa) noexcept nogil
