"""The hash table under the SA tables, writer's side; see hash_table.pxd."""

from __future__ import annotations

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy, memset

from hipgw._fastpath.c.atomics cimport ATOMIC_RELAXED, ATOMIC_RELEASE, store_pointer, store_u64
from hipgw._fastpath.pages cimport pages_give, pages_take
from hipgw._fastpath.keyed_hash cimport HashKey, hash_words


cdef int table_init(Table *table, uint64_t buckets) noexcept:
    memset(table, 0, sizeof(Table))
    table.buckets = <Bucket *>pages_take(buckets * sizeof(Bucket))
    table.mask = buckets - 1
    return 0 if table.buckets != NULL else -1


cdef void table_free(Table *table) noexcept nogil:
    pages_give(table.buckets, (table.mask + 1) * sizeof(Bucket))
    table.buckets = NULL


cdef uint64_t buckets_wanted(const Table *table) noexcept:
    cdef uint64_t buckets = LEAST_BUCKETS
    if (table.taken + 1) * 2 <= table.mask + 1:
        return 0
    while buckets < (table.used + 1) * 3:
        buckets *= 2
    return buckets


cdef void table_copy(Table *new, const Table *old) noexcept:
    cdef uint64_t i
    for i in range(old.mask + 1):
        if <size_t>old.buckets[i].sa > TOMBSTONE:
            table_put(new, old.buckets[i].tag, NULL, old.buckets[i].sa)


cdef void table_put(Table *table, uint64_t tag, void *old, void *sa) noexcept:
    """Publish `sa`: in the bucket of `old` if that is not NULL, else in the first free one."""
    cdef uint64_t i = tag & table.mask
    cdef Bucket *found = NULL
    cdef Bucket *bucket
    while True:
        bucket = &table.buckets[i]
        if bucket.sa == NULL or (old != NULL and bucket.sa == old):
            break
        if bucket.sa == <void *>TOMBSTONE and found == NULL:
            found = bucket
        i = (i + 1) & table.mask
    if bucket.sa == NULL:
        table.used += 1
        if found != NULL:
            bucket = found
        else:
            table.taken += 1
    store_u64(&bucket.tag, tag, ATOMIC_RELAXED)
    store_pointer(&bucket.sa, sa, ATOMIC_RELEASE)


cdef void table_take_out(Table *table, uint64_t tag, void *sa) noexcept:
    """Take `sa` out of the table; nothing happens when it is not there."""
    cdef uint64_t i = tag & table.mask
    while table.buckets[i].sa != NULL:
        if table.buckets[i].sa == sa:
            store_pointer(&table.buckets[i].sa, <void *>TOMBSTONE, ATOMIC_RELEASE)
            table.used -= 1
            return
        i = (i + 1) & table.mask


def keyed_hash(const uint64_t[::1] words, bytes key) -> int:
    """SipHash-1-3 of some words under a key of 16 octets: keyed_hash.pxd, for tests."""
    cdef HashKey both
    if len(key) != sizeof(HashKey):
        raise ValueError(f"key of {len(key)} octets: expected {sizeof(HashKey)}")
    memcpy(&both, <const uint8_t *>key, sizeof(HashKey))
    return hash_words(&both, &words[0] if words.shape[0] else NULL, <int>words.shape[0])
