"""AES-128-GCM and GMAC over runs of one SA; see esp_gcm.pyx."""

from libc.stdint cimport uint8_t

from hipgw._fastpath.descriptor cimport PacketDesc
from hipgw._fastpath.ipsec_mb cimport GcmKernel
from hipgw._fastpath.sa cimport EspCipher

# As seal_runs and open_runs of esp_cipher.pxd, for one SA.
cdef Py_ssize_t seal_gcm_run(
    const EspCipher *e, uint8_t *arena, PacketDesc *desc, Py_ssize_t n,
    const uint8_t *nonces) noexcept nogil
cdef void open_gcm_run(
    const EspCipher *e, uint8_t *arena, PacketDesc *desc, Py_ssize_t n,
    const uint8_t *nonces) noexcept nogil

# The key data of an SA, set up now or before.
cdef const void *direct_key(const EspCipher *e, const GcmKernel *gcm) noexcept nogil

# One packet SPI..ICV with n octets between IV and ICV, by a context of libcrypto under the key; the
# nonce has the upper half of the sequence number behind it where the SA has extended ones.
cdef bint gcm_seal(
    const EspCipher *e, void *cipher, uint8_t *p, int n, const uint8_t *nonce) noexcept nogil
cdef bint gcm_open(
    const EspCipher *e, void *cipher, uint8_t *p, int n, const uint8_t *nonce) noexcept nogil
