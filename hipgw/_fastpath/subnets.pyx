"""The writer's side of the table of routed prefixes; see subnets.pxd."""

from __future__ import annotations

from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

_HALF = (1 << 64) - 1


cdef int fill(Ranges *ranges, list rows, bint is_v4, uint32_t owners) except -1:
    """Copy rows (first address, owner), which begin at 0 and ascend."""
    cdef uint32_t k
    if not rows:
        return 0
    if rows[0][0] != 0 or any(a[0] >= b[0] for a, b in zip(rows, rows[1:])):
        raise ValueError("ranges of prefixes begin at 0 and ascend")
    if not all(0 <= owner <= owners for _, owner in rows):
        raise ValueError("a range of prefixes belongs to nobody that is named")
    ranges.range = <Range *>calloc(len(rows), sizeof(Range))
    if ranges.range == NULL:
        raise MemoryError
    ranges.count = <uint32_t>len(rows)
    for k, (start, owner) in enumerate(rows):
        ranges.range[k].high = start if is_v4 else start >> 64
        ranges.range[k].low = 0 if is_v4 else start & _HALF
        ranges.range[k].owner = owner
    return 0


cdef Subnets *make_subnets(
        list owners, list peers4, list peers6, list here4, list here6,
        bint clamp_mss) except NULL:
    cdef Subnets *made
    cdef bytes local_hit
    cdef bytes peer_hit
    cdef uint32_t k
    for local_hit, peer_hit in owners:
        if len(local_hit) != 16 or len(peer_hit) != 16:
            raise ValueError("expected two HITs of 16 octets an owner")
    if any(a[1] >= b[1] for a, b in zip(owners, owners[1:])):
        raise ValueError("owners are sorted by the peer's HIT, one a peer")
    made = <Subnets *>calloc(1, sizeof(Subnets))
    if made == NULL:
        raise MemoryError
    try:
        made.owner = <Owner *>calloc(max(1, len(owners)), sizeof(Owner))
        if made.owner == NULL:
            raise MemoryError
        for k, (local_hit, peer_hit) in enumerate(owners):
            memcpy(made.owner[k].local_hit, <const uint8_t *>local_hit, 16)
            memcpy(made.owner[k].peer_hit, <const uint8_t *>peer_hit, 16)
        made.owners = <uint32_t>len(owners)
        made.clamp_mss = clamp_mss
        fill(&made.peers4, peers4, True, made.owners)
        fill(&made.peers6, peers6, False, made.owners)
        fill(&made.here4, here4, True, 1)
        fill(&made.here6, here6, False, 1)
    except BaseException:
        free_subnets(made)
        raise
    return made


cdef void free_subnets(void *thing) noexcept nogil:
    cdef Subnets *subnets = <Subnets *>thing
    free(subnets.peers4.range)
    free(subnets.peers6.range)
    free(subnets.here4.range)
    free(subnets.here6.range)
    free(subnets.owner)
    free(subnets)
