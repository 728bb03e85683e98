"""ESP packets out through the sockets, in trains where they can be; see send.pyx."""

from libc.stdint cimport uint8_t, uint64_t

from hipgw._fastpath.batch_io cimport Mailbag
from hipgw._fastpath.descriptor cimport PacketDesc
from hipgw._fastpath.sa cimport SaOut

# Send each FORWARD packet the way its SA says; what goes wrong becomes DROP with R_SEND_FULL or
# R_SEND_ERROR. Returns the packets sent.
cdef Py_ssize_t send_batch(
    const int *sockets, Mailbag *bag, uint8_t *arena, PacketDesc *desc, Py_ssize_t n,
    SaOut **sa, uint64_t now_ns) noexcept nogil
