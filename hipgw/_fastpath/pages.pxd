"""Memory straight from the system; see pages.pyx."""

cdef enum:
    LARGE_PAGE = 1 << 21            # octets

# Zeroed octets, on large pages if they fill some, or NULL. pages_give takes the same number.
cdef void *pages_take(size_t octets) noexcept nogil
cdef void pages_give(void *place, size_t octets) noexcept nogil
