"""AES-128-GCM and GMAC over runs of one SA; see esp_gcm.pyx."""

from libc.stdint cimport uint8_t

from hipgw._fastpath.descriptor cimport PacketDesc
from hipgw._fastpath.ipsec_mb cimport GcmKernel
from hipgw._fastpath.key_cache cimport KeyRoom
from hipgw._fastpath.sa cimport EspCipher

# Keep the 16 octets of the key, and the 4 of salt behind it; gcm NULL: libcrypto.
cdef void key_gcm(
    EspCipher *e, const uint8_t *key, KeyRoom *room, const GcmKernel *gcm) noexcept

# As seal_run and open_run of esp_cipher.pxd.
cdef Py_ssize_t seal_gcm_run(
    const EspCipher *e, uint8_t *arena, PacketDesc *desc, Py_ssize_t n,
    const uint8_t *nonces) noexcept nogil
cdef void open_gcm_run(
    const EspCipher *e, uint8_t *arena, PacketDesc *desc, Py_ssize_t n,
    const uint8_t *nonces) noexcept nogil
