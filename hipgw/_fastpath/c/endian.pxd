"""<endian.h>: byte order of integers."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t

cdef extern from "<endian.h>" nogil:
    uint16_t be16toh(uint16_t big)
    uint32_t be32toh(uint32_t big)
    uint64_t be64toh(uint64_t big)
    uint16_t htobe16(uint16_t host)
    uint32_t htobe32(uint32_t host)
    uint64_t htobe64(uint64_t host)
