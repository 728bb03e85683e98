"""HMAC and CMAC under keys set up once; see esp_mac.pyx."""

from libc.stdint cimport uint8_t

from hipgw._fastpath.libcrypto cimport Hash
from hipgw._fastpath.sa cimport EspCipher

cdef enum:
    MAC_MOST_OCTETS = 32            # room that hmac and cmac need behind `mac`

# Key the MAC of `e`, all of whose pointers are NULL. False: library failure; mac_wipe still frees.
cdef bint key_hmac(
    EspCipher *e, const Hash *hash, const uint8_t *key, Py_ssize_t n) noexcept nogil
cdef bint key_cmac(EspCipher *e, const uint8_t *key) noexcept nogil

# Free and clear e.mac_inner and e.mac_outer; harmless when they are NULL.
cdef void mac_wipe(EspCipher *e) noexcept nogil

# MAC of n octets at p into mac[MAC_MOST_OCTETS]; the ICV is its first octets.
cdef bint hmac(
    const EspCipher *e, const Hash *hash, const uint8_t *p, Py_ssize_t n,
    uint8_t *mac) noexcept nogil
cdef bint cmac(
    const EspCipher *e, const uint8_t *p, Py_ssize_t n, uint8_t *mac) noexcept nogil
