"""Big-endian integers at any address; the only way the data path reads and writes them.

`memcpy` of a constant size and the byte-order call become one load or store with a byte swap.
The caller owns the bounds: 2, 4 or 8 octets at `p` must lie inside its buffer.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from hipgw._fastpath.c.endian cimport be16toh, be32toh, be64toh, htobe16, htobe32, htobe64


cdef inline uint16_t load_be16(const uint8_t *p) noexcept nogil:
    cdef uint16_t word
    memcpy(&word, p, 2)
    return be16toh(word)


cdef inline uint32_t load_be32(const uint8_t *p) noexcept nogil:
    cdef uint32_t word
    memcpy(&word, p, 4)
    return be32toh(word)


cdef inline uint64_t load_be64(const uint8_t *p) noexcept nogil:
    cdef uint64_t word
    memcpy(&word, p, 8)
    return be64toh(word)


cdef inline void store_be16(uint8_t *p, uint16_t value) noexcept nogil:
    cdef uint16_t word = htobe16(value)
    memcpy(p, &word, 2)


cdef inline void store_be32(uint8_t *p, uint32_t value) noexcept nogil:
    cdef uint32_t word = htobe32(value)
    memcpy(p, &word, 4)


cdef inline void store_be64(uint8_t *p, uint64_t value) noexcept nogil:
    cdef uint64_t word = htobe64(value)
    memcpy(p, &word, 8)
