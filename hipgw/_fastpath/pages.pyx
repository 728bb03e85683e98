"""Memory straight from the system, for what is large and looked at here and there.

A look-up among a million SAs misses the caches and the translation buffers; pages of two megabytes
spare the second kind of miss.  What is given back goes back, whereas `free` would keep holes of
tables that were outgrown.
"""

cdef extern from *:
    """
    #include <sys/mman.h>
    """
    int MADV_HUGEPAGE, PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS
    void *MAP_FAILED
    void *mmap(void *place, size_t octets, int protection, int flags, int fd, long at) nogil
    int munmap(void *place, size_t octets) nogil
    int madvise(void *place, size_t octets, int advice) nogil


cdef size_t whole(size_t octets) noexcept nogil:
    """Large pages are taken whole, from where one is used in full."""
    if octets < LARGE_PAGE:
        return octets
    return (octets + LARGE_PAGE - 1) // LARGE_PAGE * LARGE_PAGE


cdef void *pages_take(size_t octets) noexcept nogil:
    cdef size_t wanted = whole(octets)
    cdef size_t slack = LARGE_PAGE if wanted >= LARGE_PAGE else 0
    cdef char *place = <char *>mmap(
        NULL, wanted + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    cdef size_t before
    if <void *>place == MAP_FAILED:
        return NULL
    if slack == 0:
        return place
    before = (LARGE_PAGE - <size_t>place % LARGE_PAGE) % LARGE_PAGE
    if before:
        munmap(place, before)
        place += before
    if slack > before:
        munmap(place + wanted, slack - before)
    madvise(place, wanted, MADV_HUGEPAGE)           # a wish: small pages work, too
    return place


cdef void pages_give(void *place, size_t octets) noexcept nogil:
    if place != NULL:
        munmap(place, whole(octets))
