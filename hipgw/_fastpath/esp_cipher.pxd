"""The keyed state of one SA, and its cipher and ICV over one packet; see esp_cipher.pyx."""

from libc.stdint cimport uint8_t, uint32_t

from hipgw._fastpath.descriptor cimport PacketDesc
from hipgw._fastpath.key_cache cimport KeyRoom
from hipgw._fastpath.sa cimport EspCipher, SuiteShape

cdef enum:
    ESP_HEADER = 8                  # SPI and sequence number
    AES_BLOCK = 16                  # also the longest IV
    NONCE_STRIDE = 16               # 12 octets of a nonce, and 4 of nothing

# Sizes of a suite (SUITE_* of sa.pxd); all zero for a suite that hipgw does not carry.
cdef SuiteShape suite_shape(int suite) noexcept nogil

# Key `e` (whose old content is not looked at) for the worker of `room`, which outlives it. 0, or
# -1: unknown suite, wrong key length, library failure; then nothing needs wiping. Control plane
# only: allocates.
cdef int esp_cipher_init(
    EspCipher *e, int suite, const uint8_t *enc_key, Py_ssize_t n_enc,
    const uint8_t *auth_key, Py_ssize_t n_auth, KeyRoom *room) noexcept

# Free and clear everything that esp_cipher_init and the worker made; harmless twice, and on an
# all-zero struct. No worker may use `e` any more.
cdef void esp_cipher_wipe(EspCipher *e) noexcept nogil

# Cipher and ICV over one packet SPI..ICV of checked length, for suites without `keys`: whether all
# went well. The IV field holds what esp_cipher.pyx says.
cdef bint seal_packet(const EspCipher *e, uint8_t *p, uint32_t length) noexcept nogil
cdef bint open_packet(const EspCipher *e, uint8_t *p, uint32_t length) noexcept nogil

# Cipher and ICV over a run of one SA, n <= BATCH_MOST, each FORWARD packet framed and of checked
# length; nonces[NONCE_STRIDE * i] is that of packet i, for suites with `keys`. Packets that fail
# are dropped; seal_run returns how many stay FORWARD.
cdef Py_ssize_t seal_run(
    const EspCipher *e, uint8_t *arena, PacketDesc *desc, Py_ssize_t n,
    const uint8_t *nonces) noexcept nogil
cdef void open_run(
    const EspCipher *e, uint8_t *arena, PacketDesc *desc, Py_ssize_t n,
    const uint8_t *nonces) noexcept nogil
