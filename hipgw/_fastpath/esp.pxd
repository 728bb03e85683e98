"""ESP in place, a batch at a time (RFC 4303, RFC 7402); see esp.pyx for the steps."""

from libc.stdint cimport uint8_t, uint64_t

from hipgw._fastpath.descriptor cimport PacketDesc
from hipgw._fastpath.esp_cipher cimport esp_cipher_init, esp_cipher_wipe
from hipgw._fastpath.esp_suites cimport suite_shape
from hipgw._fastpath.sa cimport SaIn, SaOut

# desc[i] (FORWARD): inner payload, next_header, family, sa_index into sa[]. Needs 64 octets free
# before offset and 64 after the payload. Leaves the ESP packet SPI..ICV under offset/length, or
# DROP with R_SEQUENCE_SPENT / R_CIPHER_FAILED. Updates sequence, packets, octets, last_used_ns.
# Returns how many are FORWARD.
cdef Py_ssize_t esp_seal_batch(
    uint8_t *arena, PacketDesc *desc, Py_ssize_t n, SaOut **sa, uint64_t now_ns) noexcept nogil

# desc[i] (FORWARD): ESP packet SPI..ICV, sa_index into sa[]. Leaves the inner payload under
# offset/length and next_header set, or DROP with R_RUNT / R_LENGTH_WRONG / R_REPLAYED / R_TOO_OLD /
# R_ICV_WRONG / R_PADDING_WRONG / R_DUMMY. Updates replay, packets, last_used_ns; `octets` is added
# by beet_rebuild_batch, because only there the length of the inner IP packet is known.
# Returns how many are FORWARD.
cdef Py_ssize_t esp_open_batch(
    uint8_t *arena, PacketDesc *desc, Py_ssize_t n, SaIn **sa, uint64_t now_ns) noexcept nogil
