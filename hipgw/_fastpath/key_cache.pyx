"""Keyed state of AES-GCM, made when a packet needs it.

Key data of intel-ipsec-mb and contexts of libcrypto take about a kilobyte each, and setting a key
up takes about as long as sealing a packet.  So an SA holds its key of 16 octets alone, and each
worker has room for the keyed state of some SAs.  What is not there is set up again in the place of
another: the cost of a packet stays about the same with however many SAs.

A key has a number that is never given twice, so a slot is right when its number is.  Only the
worker puts numbers in, in a batch.  The control plane wipes the slot of a key at the quiet point
where its SA is freed: no worker asks for that number again, but it may be about to take the slot
for another key, so whoever changes a slot claims it first by exchanging its number.

A key that gives way is overwritten by the next one's, which is as long.
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset
from posix.stdlib cimport posix_memalign

from hipgw._fastpath.c.atomics cimport (
    ATOMIC_ACQUIRE,
    ATOMIC_RELAXED,
    ATOMIC_RELEASE,
    exchange_u64_if,
    load_u64,
    store_u64,
)
from hipgw._fastpath.c.ipsec_mb cimport GCM_KEY_DATA_ALIGN
from hipgw._fastpath.ipsec_mb cimport GcmKernel, key_octets_most
from hipgw._fastpath.libcrypto cimport crypto

cdef enum:
    DIRECT_SETS = 128           # half a megabyte: stays in a core's own cache
    LIBRARY_SETS = 256

cdef uint64_t last_number = OWNER_LEAST


cdef uint64_t next_key_number() noexcept:
    global last_number
    last_number += 1
    return last_number


cdef int init_cache(KeyCache *cache, uint64_t sets, size_t stride) noexcept:
    """`stride` 0: contexts of libcrypto."""
    memset(cache, 0, sizeof(KeyCache))
    cache.set_mask = sets - 1
    cache.stride = stride
    cache.owner = <uint64_t *>calloc(sets * KEY_WAYS, sizeof(uint64_t))
    if cache.owner == NULL:
        return -1
    if stride == 0:
        cache.cipher = <void **>calloc(sets * KEY_WAYS, sizeof(void *))
        return 0 if cache.cipher != NULL else -1
    if posix_memalign(<void **>&cache.data, GCM_KEY_DATA_ALIGN, sets * KEY_WAYS * stride) != 0:
        cache.data = NULL
        return -1
    return 0


cdef void free_cache(KeyCache *cache) noexcept:
    cdef uint64_t i
    cdef uint64_t slots = (cache.set_mask + 1) * KEY_WAYS
    if cache.owner == NULL:
        return
    for i in range(slots):
        if cache.data != NULL and cache.owner[i] != OWNER_NONE:
            crypto.cleanse(cache.data + i * cache.stride, cache.stride)
        if cache.cipher != NULL:
            crypto.cipher_free(cache.cipher[i])     # clears its key, and accepts NULL
    free(cache.data)
    free(cache.cipher)
    free(cache.owner)
    memset(cache, 0, sizeof(KeyCache))


cdef int key_room_init(KeyRoom *room, bint seal) noexcept:
    memset(room, 0, sizeof(KeyRoom))
    room.seal = seal
    if key_octets_most() and init_cache(&room.direct, DIRECT_SETS, key_octets_most()) != 0:
        return -1
    return init_cache(&room.library, LIBRARY_SETS, 0)


cdef void key_room_free(KeyRoom *room) noexcept:
    free_cache(&room.direct)
    free_cache(&room.library)


cdef uint64_t slots_in_use(const KeyCache *cache) noexcept nogil:
    cdef uint64_t i
    cdef uint64_t count = 0
    for i in range((cache.set_mask + 1) * KEY_WAYS if cache.owner != NULL else 0):
        count += load_u64(&cache.owner[i], ATOMIC_RELAXED) >= OWNER_LEAST
    return count


cdef void forget_key(KeyCache *cache, uint64_t number) noexcept nogil:
    cdef Py_ssize_t i = find_slot(cache, number)
    if i < 0 or not exchange_u64_if(&cache.owner[i], number, OWNER_WIPER):
        return
    if cache.data != NULL:
        crypto.cleanse(cache.data + i * cache.stride, cache.stride)
    else:
        crypto.cipher_free(cache.cipher[i])
        cache.cipher[i] = NULL
    store_u64(&cache.owner[i], OWNER_NONE, ATOMIC_RELEASE)


cdef Py_ssize_t claim_slot(KeyCache *cache, uint64_t number) noexcept nogil:
    """An empty slot of the key's set, or another key's, by turns; nobody else touches it now.

    The control plane wipes one slot at a time, so a claim fails now and then, never for long.
    """
    cdef Py_ssize_t first = <Py_ssize_t>(number & cache.set_mask) * KEY_WAYS
    cdef Py_ssize_t i
    cdef uint64_t owner
    for i in range(first, first + KEY_WAYS):
        if load_u64(&cache.owner[i], ATOMIC_ACQUIRE) == OWNER_NONE:
            return i                                # the control plane leaves these alone
    while True:
        i = first + <Py_ssize_t>(cache.turn % KEY_WAYS)
        cache.turn += 1
        owner = load_u64(&cache.owner[i], ATOMIC_ACQUIRE)
        if owner == OWNER_NONE or (
                owner >= OWNER_LEAST and exchange_u64_if(&cache.owner[i], owner, OWNER_NONE)):
            return i


cdef Py_ssize_t make_slot(
        KeyCache *cache, uint64_t number, const GcmKernel *kernel, const uint8_t *key,
        bint seal) noexcept nogil:
    cdef Py_ssize_t i = claim_slot(cache, number)
    cdef bint ready = True
    if cache.data != NULL:
        kernel.pre(key, cache.data + i * cache.stride)
    elif cache.cipher[i] != NULL:
        ready = crypto.cipher_init(cache.cipher[i], NULL, NULL, key, NULL, -1) == 1
    else:
        cache.cipher[i] = crypto.cipher_new()
        ready = cache.cipher[i] != NULL and crypto.cipher_init(
            cache.cipher[i], crypto.aes_128_gcm, NULL, key, NULL, seal) == 1
    if not ready:
        crypto.cipher_free(cache.cipher[i])
        cache.cipher[i] = NULL
        return -1
    store_u64(&cache.made, load_u64(&cache.made, ATOMIC_RELAXED) + 1, ATOMIC_RELAXED)
    store_u64(&cache.owner[i], number, ATOMIC_RELEASE)
    return i
