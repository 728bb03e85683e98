"""What makes an IPv6 address a HIT. The caller owns the bounds: 16 octets at `address`."""

from libc.stdint cimport uint8_t, uint32_t

from hipgw._fastpath.octets cimport load_be32


cdef inline bint is_hit(const uint8_t *address) noexcept nogil:
    """2001:20::/28 (RFC 7343) or 2001:10::/28 (RFC 4843)."""
    cdef uint32_t prefix = load_be32(address) >> 4
    return prefix == 0x2001002 or prefix == 0x2001001
