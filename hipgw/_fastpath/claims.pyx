"""Pairs of HITs whose I1s are the engine's; the writer's side.

Steps of a change: make room (a full table is copied into a larger one, and the pointer to it
swapped); publish, or take out and retire; free what the workers have let go of. As in the SA
tables, and for the same reasons (tables.pxd).
"""

from __future__ import annotations

import os

from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from hipgw._fastpath.c.atomics cimport ATOMIC_RELEASE, store_pointer
from hipgw._fastpath.hash_table cimport (
    LEAST_BUCKETS,
    TOMBSTONE,
    buckets_wanted,
    table_copy,
    table_free,
    table_init,
    table_put,
    table_take_out,
)
from hipgw._fastpath.quiet cimport reclaim, retire

cdef struct TableRecord:
    Table table                 # first: `pairs` points at it
    Retired end


cdef Table *new_table(uint64_t buckets) noexcept:
    cdef TableRecord *record = <TableRecord *>calloc(1, sizeof(TableRecord))
    if record == NULL:
        return NULL
    if table_init(&record.table, buckets) != 0:
        free(record)
        return NULL
    return &record.table


cdef void free_table(void *thing) noexcept nogil:
    table_free(<Table *>thing)
    free(thing)


cdef void free_pair(void *thing) noexcept nogil:
    free(thing)


cdef int claims_init(Claims *claims, Marks *marks) noexcept:
    cdef bytes seed = os.urandom(sizeof(HashKey))
    memset(claims, 0, sizeof(Claims))
    memcpy(&claims.key, <const uint8_t *>seed, sizeof(HashKey))
    claims.marks = marks
    claims.pairs = new_table(LEAST_BUCKETS)
    return 0 if claims.pairs != NULL else -1


cdef void claims_free(Claims *claims) noexcept:
    cdef uint64_t i
    if claims.pairs == NULL:
        return
    reclaim(&claims.retired, claims.marks)
    for i in range(claims.pairs.mask + 1):
        if <size_t>claims.pairs.buckets[i].sa > TOMBSTONE:
            free(claims.pairs.buckets[i].sa)
    free_table(claims.pairs)
    claims.pairs = NULL


cdef int make_room(Claims *claims) noexcept:
    cdef Table *old = claims.pairs
    cdef uint64_t buckets = buckets_wanted(old)
    cdef Table *new
    if buckets == 0:
        return 0
    new = new_table(buckets)
    if new == NULL:
        return -1
    table_copy(new, old)
    store_pointer(<void **>&claims.pairs, new, ATOMIC_RELEASE)
    retire(&claims.retired, claims.marks, &(<TableRecord *>old).end, old, free_table)
    return 0


cdef int claims_set(Claims *claims, const uint8_t *hits, bint is_claimed) noexcept:
    cdef Pair *pair = find_claim(claims, hits)
    reclaim(&claims.retired, claims.marks)
    if (pair != NULL) == is_claimed:
        return 0
    if not is_claimed:
        table_take_out(claims.pairs, tag_of_hits(claims, hits), pair)
        retire(&claims.retired, claims.marks, &pair.end, pair, free_pair)
        return 0
    pair = <Pair *>calloc(1, sizeof(Pair))
    if pair == NULL or make_room(claims) != 0:
        free(pair)
        return -1
    memcpy(pair.hits, hits, 32)
    table_put(claims.pairs, tag_of_hits(claims, hits), NULL, pair)
    return 0
