"""The keyed state of one SA, and its cipher and ICV over one packet; see esp_cipher.pyx."""

from libc.stdint cimport uint8_t, uint32_t

from hipgw._fastpath.sa cimport EspCipher, SuiteShape

cdef enum:
    ESP_HEADER = 8                  # SPI and sequence number
    AES_BLOCK = 16                  # also the longest IV

# Sizes of a suite (SUITE_* of sa.pxd); all zero for a suite that hipgw does not carry.
cdef SuiteShape suite_shape(int suite) noexcept nogil

# Key `e` (whose old content is not looked at). 0, or -1: unknown suite, wrong key length, library
# failure; then nothing needs wiping. Control plane only: allocates.
cdef int esp_cipher_init(
    EspCipher *e, int suite, const uint8_t *enc_key, Py_ssize_t n_enc,
    const uint8_t *auth_key, Py_ssize_t n_auth, bint seal) noexcept nogil

# Free and clear everything that esp_cipher_init made; harmless twice, and on an all-zero struct.
cdef void esp_cipher_wipe(EspCipher *e) noexcept nogil

cdef bint seal_packet(const EspCipher *e, uint8_t *p, uint32_t length) noexcept nogil
cdef bint open_packet(const EspCipher *e, uint8_t *p, uint32_t length) noexcept nogil

# n blocks of AES_BLOCK octets, of which a packet takes the first iv_octets.
cdef bint draw_blocks(const EspCipher *e, uint8_t *blocks, Py_ssize_t n) noexcept nogil
