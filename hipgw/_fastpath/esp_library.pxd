"""Every ESP suite by libcrypto; see esp_library.pyx."""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

from hipgw._fastpath.descriptor cimport PacketDesc
from hipgw._fastpath.key_cache cimport KeyRoom, LibraryState
from hipgw._fastpath.sa cimport (
    SUITE_AES_CMAC_96,
    SUITE_AES_GMAC,
    SUITE_V1_3DES_CBC_MD5,
    SUITE_V1_3DES_CBC_SHA1,
    EspCipher,
)

cdef enum:
    ESP_HEADER = 8                  # SPI and sequence number
    AES_BLOCK = 16                  # also the longest IV
    COUNTER_IV = 8                  # of GCM, CCM and GMAC
    HIGH_OCTETS = 4                 # upper half of an extended sequence number, not sent
    NONCE_STRIDE = 16               # 12 octets of a nonce, and 4 for HIGH_OCTETS
    HIGH_AT = 12                    # of them
    AAD_OCTETS = 12                 # SPI and extended sequence number


cdef inline bint is_chained(const EspCipher *e) noexcept nogil:
    """Whether the suite encrypts with CBC."""
    return (
        e.shape.iv_octets == AES_BLOCK
        or e.suite == SUITE_V1_3DES_CBC_SHA1
        or e.suite == SUITE_V1_3DES_CBC_MD5
    )


cdef inline void store_aad(uint8_t *aad, const uint8_t *p, const uint8_t *high) noexcept nogil:
    """SPI | upper half | lower half (RFC 4106 section 5, RFC 4309 section 5): AAD_OCTETS."""
    memcpy(aad, p, 4)
    memcpy(aad + 4, high, HIGH_OCTETS)
    memcpy(aad + 8, p + 4, 4)


cdef inline bint has_hmac(const EspCipher *e) noexcept nogil:
    return is_chained(e) or (e.shape.iv_octets == 0 and e.suite != SUITE_AES_CMAC_96)


# The keyed state of an SA, set up now or before, or NULL: library failure. Worker only.
cdef LibraryState *library_state(const EspCipher *e) noexcept nogil

# n random blocks R for CBC, AES_BLOCK octets each.
cdef bint draw_blocks(KeyRoom *room, uint8_t *blocks, Py_ssize_t n) noexcept nogil

# Cipher and ICV over one packet SPI..ICV of checked length, of a suite that is not GCM or GMAC:
# whether all went well. The IV field holds what esp_library.pyx says; `high`, HIGH_OCTETS, is for
# SAs with extended sequence numbers alone.
cdef bint seal_packet(
    const EspCipher *e, LibraryState *s, uint8_t *p, uint32_t length,
    const uint8_t *high) noexcept nogil
cdef bint open_packet(
    const EspCipher *e, LibraryState *s, uint8_t *p, uint32_t length,
    const uint8_t *high) noexcept nogil

# The same over a run of one SA, n <= BATCH_MOST; `nonces` as in esp_cipher.pxd. Packets that fail
# are dropped; seal_library_run returns how many stay FORWARD.
cdef Py_ssize_t seal_library_run(
    const EspCipher *e, uint8_t *arena, PacketDesc *desc, Py_ssize_t n,
    const uint8_t *nonces) noexcept nogil
cdef void open_library_run(
    const EspCipher *e, uint8_t *arena, PacketDesc *desc, Py_ssize_t n,
    const uint8_t *nonces) noexcept nogil
