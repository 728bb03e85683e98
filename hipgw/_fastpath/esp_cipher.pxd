"""The keys of one SA, and cipher and ICV over packets; see esp_cipher.pyx."""

from libc.stdint cimport uint8_t, uint16_t

from hipgw._fastpath.descriptor cimport PacketDesc
from hipgw._fastpath.key_cache cimport KeyRoom
from hipgw._fastpath.sa cimport SUITE_AES_GCM_8, SUITE_AES_GCM_16, EspCipher


cdef inline bint is_gcm(int suite) noexcept nogil:
    return suite == SUITE_AES_GCM_16 or suite == SUITE_AES_GCM_8


# Key `e` (whose old content is not looked at) for the worker of `room`, which outlives it; with or
# without extended sequence numbers. 0, or -1: unknown suite, wrong key length, no memory; then
# nothing needs wiping. Control plane only: allocates.
cdef int esp_cipher_init(
    EspCipher *e, int suite, const uint8_t *enc_key, Py_ssize_t n_enc,
    const uint8_t *auth_key, Py_ssize_t n_auth, bint extended, KeyRoom *room) noexcept

# Clear everything that esp_cipher_init and the worker made; harmless twice, and on an all-zero
# struct. No worker may use `e` any more.
cdef void esp_cipher_wipe(EspCipher *e) noexcept nogil

# Cipher and ICV over n <= BATCH_MOST packets, each FORWARD one framed and of checked length;
# sa[sa_index] begins with an EspCipher; nonces[NONCE_STRIDE * i] is that of packet i, for GCM and
# GMAC, and for an SA with extended sequence numbers the upper half of the packet's. Packets that
# fail are dropped; seal_runs returns how many stay FORWARD.
cdef Py_ssize_t seal_runs(
    uint8_t *arena, PacketDesc *desc, Py_ssize_t n, void **sa,
    const uint8_t *nonces) noexcept nogil
cdef void open_runs(
    uint8_t *arena, PacketDesc *desc, Py_ssize_t n, void **sa,
    const uint8_t *nonces) noexcept nogil
