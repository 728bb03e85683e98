"""Whose a routed address is: prefixes as sorted ranges; see subnets.pyx.

Nested prefixes are flattened before they come here: each range begins where the longest matching
prefix changes, so a look-up is one binary search over starts, whatever the prefixes' lengths.
An IPv4 address is the upper half of a key, its lower half is 0.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from hipgw._fastpath.octets cimport load_be32, load_be64
from hipgw._fastpath.quiet cimport Retired

cdef struct Range:
    uint64_t high               # first address
    uint64_t low
    uint32_t owner              # 0: nobody; else number of the owner, from 1 on

cdef struct Ranges:
    Range *range                # sorted; the first one begins at 0
    uint32_t count

cdef struct Owner:
    uint8_t local_hit[16]       # the SA that carries it is between these
    uint8_t peer_hit[16]

cdef struct Subnets:
    # Never changes once it is published: the writer makes another one.
    Ranges peers4
    Ranges peers6
    Ranges here4                # owner 1: ours; empty: everything that is no peer's
    Ranges here6
    Owner *owner                # sorted by peer_hit
    uint32_t owners
    bint clamp_mss
    Retired end


cdef inline uint32_t owner_at(const Ranges *ranges, uint64_t high, uint64_t low) noexcept nogil:
    """Owner of the range that holds an address."""
    cdef uint32_t first = 0
    cdef uint32_t last = ranges.count
    cdef uint32_t middle
    cdef const Range *range
    if last == 0:
        return 0
    while last - first > 1:
        middle = (first + last) // 2
        range = &ranges.range[middle]
        if range.high < high or (range.high == high and range.low <= low):
            first = middle
        else:
            last = middle
    return ranges.range[first].owner


cdef inline uint32_t peer_owner_v4(const Subnets *subnets, const uint8_t *address) noexcept nogil:
    return owner_at(&subnets.peers4, load_be32(address), 0)


cdef inline uint32_t peer_owner_v6(const Subnets *subnets, const uint8_t *address) noexcept nogil:
    return owner_at(&subnets.peers6, load_be64(address), load_be64(address + 8))


cdef inline bint has_subnets(const Subnets *subnets, const uint8_t *peer_hit) noexcept nogil:
    """Whether some prefix is this peer's."""
    cdef uint32_t first = 0
    cdef uint32_t last = subnets.owners
    cdef uint32_t middle
    cdef int order
    while first < last:
        middle = (first + last) // 2
        order = memcmp(subnets.owner[middle].peer_hit, peer_hit, 16)
        if order == 0:
            return True
        if order < 0:
            first = middle + 1
        else:
            last = middle
    return False


# A table of its own memory from Python values; MemoryError, ValueError. See SaTables.set_subnets.
cdef Subnets *make_subnets(
    list owners, list peers4, list peers6, list here4, list here6, bint clamp_mss) except NULL

# `thing` is a Subnets; a Release of quiet.pxd.
cdef void free_subnets(void *thing) noexcept nogil
