"""HMAC and CMAC under keys set up before; see esp_mac.pyx."""

from libc.stdint cimport uint8_t

from hipgw._fastpath.key_cache cimport LibraryState
from hipgw._fastpath.libcrypto cimport Hash

cdef enum:
    MAC_MOST_OCTETS = 32            # room that hmac and cmac need behind `mac`

# Set up the MAC of a state; for CMAC its cipher is AES-128-CBC under the key, with a zero IV.
# False: library failure.
cdef bint key_hmac(
    LibraryState *s, const Hash *hash, const uint8_t *key, Py_ssize_t n) noexcept nogil
cdef bint key_cmac(LibraryState *s) noexcept nogil

# MAC of n octets at p into mac[MAC_MOST_OCTETS]; the ICV is its first octets.
cdef bint hmac(
    const LibraryState *s, const Hash *hash, const uint8_t *p, Py_ssize_t n,
    uint8_t *mac) noexcept nogil
cdef bint cmac(
    LibraryState *s, const uint8_t *p, Py_ssize_t n, uint8_t *mac) noexcept nogil
