"""The Internet checksum (RFC 1071): sums, and the incremental update of RFC 1624 (checksum.pxd).

One's complement addition does not care about byte order or word width, so the sum runs over
32-bit words as they lie in memory, in a 64-bit accumulator; the folded result is turned to
big-endian at the end. 2^32 words would be needed to overflow it.
"""

from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from hipgw._fastpath.c.endian cimport be16toh


cdef uint32_t ones_sum(const uint8_t *p, Py_ssize_t n, uint32_t start) noexcept nogil:
    """Sum of n octets as big-endian 16-bit words plus `start`: 16 bits, not inverted."""
    cdef uint64_t total = 0
    cdef uint32_t word
    cdef uint16_t half
    cdef Py_ssize_t i = 0
    while i + 4 <= n:
        memcpy(&word, p + i, 4)
        total += word
        i += 4
    if i + 2 <= n:
        memcpy(&half, p + i, 2)
        total += half
        i += 2
    if i < n:
        half = 0
        memcpy(&half, p + i, 1)         # first octet in memory is the high half on the wire
        total += half
    total = <uint32_t>total + (total >> 32)
    total = <uint32_t>total + (total >> 32)
    half = fold(<uint32_t>total)
    return fold(be16toh(half) + fold(start))


def internet_sum(const uint8_t[::1] octets, uint32_t start=0) -> int:
    """One's complement sum of `octets` and `start`, folded to 16 bits, not inverted."""
    cdef uint32_t total
    if octets.shape[0] == 0:
        return fold(start)
    with nogil:
        total = ones_sum(&octets[0], octets.shape[0], start)
    return total


def adjusted(uint16_t old, uint32_t sum_removed, uint32_t sum_added) -> int:
    """Checksum field `old` after words of one sum gave way to words of another (RFC 1624)."""
    return checksum_adjust(old, sum_removed, sum_added)
