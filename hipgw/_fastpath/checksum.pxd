"""The Internet checksum (RFC 1071) and its incremental update (RFC 1624)."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t


cdef inline uint16_t fold(uint32_t total) noexcept nogil:
    """One's complement sum of the two halves of `total`: 16 bits, not inverted."""
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return <uint16_t>total


# One's complement sum of n octets as big-endian 16-bit words, added to `start`; folded to 16 bits,
# not inverted. An odd last octet counts as the high half of a word (RFC 1071 section 4.1).
cdef uint32_t ones_sum(const uint8_t *p, Py_ssize_t n, uint32_t start) noexcept nogil


cdef inline uint16_t checksum_adjust(
        uint16_t old, uint32_t sum_removed, uint32_t sum_added) noexcept nogil:
    """Checksum field after words summing to `sum_removed` gave way to words of `sum_added`.

    RFC 1624 equation 3: HC' = ~(~HC + ~m + m'). Never 0xffff unless everything is zero.
    """
    return <uint16_t>~fold(
        <uint32_t>(<uint16_t>~old) + <uint32_t>(<uint16_t>~fold(sum_removed)) + fold(sum_added))
