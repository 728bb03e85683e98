"""Keyed state of SAs, made when a packet needs it.

Key data of intel-ipsec-mb and contexts of libcrypto take up to a kilobyte each, and setting a key
up takes about as long as sealing a packet.  So an SA holds its keys alone, and each worker has room
for the keyed state of some SAs.  What is not there is set up again in the place of another: the
cost of a packet stays about the same with however many SAs.

A key has a number that its room never gives twice, so a slot is right when its number is.  Only the
worker puts numbers in, in a batch.  The control plane wipes the slots of a key at the quiet point
where its SA is freed: no worker asks for that number again, but it may be about to take the slot
for another key, so whoever changes a slot claims it first by exchanging its number.

A key that gives way is overwritten by the next one's.  A burst of jobs names many slots before it
is done: these are pinned to its number, and do not give way to the jobs behind them.
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset
from posix.stdlib cimport posix_memalign

from hipgw._fastpath.bursts cimport free_manager, has_bursts, new_manager
from hipgw._fastpath.c.atomics cimport (
    ATOMIC_ACQUIRE,
    ATOMIC_RELAXED,
    ATOMIC_RELEASE,
    exchange_u64_if,
    load_u64,
    store_u64,
)
from hipgw._fastpath.c.ipsec_mb cimport GCM_KEY_DATA_ALIGN, IMB_BURST_MOST, IMB_JOB_MOST
from hipgw._fastpath.ipsec_mb cimport key_octets_most
from hipgw._fastpath.libcrypto cimport crypto

cdef enum:
    DIRECT_SETS = 128           # half a megabyte: stays in a core's own cache
    LIBRARY_SETS = 256
    BURST_SETS = 256
    IV_SECRET = 32              # key and first counter of AES-128-CTR


cdef uint64_t next_key_number(KeyRoom *room) noexcept:
    room.last_number += 1
    return room.last_number


cdef void clear_octets(void *state, uint64_t octets) noexcept nogil:
    crypto.cleanse(state, octets)


cdef void clear_library(void *state, uint64_t octets) noexcept nogil:
    """EVP_CIPHER_CTX_free clears its key schedule and accepts NULL."""
    crypto.cipher_free((<LibraryState *>state).cipher)
    crypto.cleanse(state, octets)


cdef int init_cache(
        KeyCache *cache, uint64_t sets, uint64_t stride, ClearSlot clear, bint has_pins) noexcept:
    """Slots that were never used are all zero where `clear` looks at them."""
    cdef uint64_t slots = sets * KEY_WAYS
    cache.set_mask = sets - 1
    cache.stride = stride
    cache.clear = clear
    cache.owner = <uint64_t *>calloc(slots, sizeof(uint64_t))
    if has_pins:
        cache.pinned = <uint64_t *>calloc(slots, sizeof(uint64_t))
    if clear == clear_library:
        cache.data = <uint8_t *>calloc(slots, stride)
    elif posix_memalign(<void **>&cache.data, GCM_KEY_DATA_ALIGN, slots * stride) != 0:
        cache.data = NULL
    if cache.owner == NULL or cache.data == NULL or (has_pins and cache.pinned == NULL):
        return -1
    return 0


cdef bint was_used(const KeyCache *cache, uint64_t slot) noexcept:
    """A context stays in a slot that its owner has lost."""
    if cache.clear == clear_library:
        return (<const LibraryState *>(cache.data + slot * cache.stride)).cipher != NULL or (
            cache.owner[slot] != OWNER_NONE)
    return cache.owner[slot] != OWNER_NONE


cdef void free_cache(KeyCache *cache) noexcept:
    cdef uint64_t i
    for i in range((cache.set_mask + 1) * KEY_WAYS if cache.owner != NULL else 0):
        if cache.data != NULL and was_used(cache, i):
            cache.clear(cache.data + i * cache.stride, cache.stride)
    free(cache.data)
    free(cache.pinned)
    free(cache.owner)
    memset(cache, 0, sizeof(KeyCache))


cdef bint key_iv_source(KeyRoom *room) noexcept:
    """AES-CTR under a fresh random key, from a random counter (esp_cipher.pyx says what for)."""
    cdef uint8_t secret[IV_SECRET]
    cdef bint ready
    room.iv_cipher = crypto.cipher_new()
    ready = (
        room.iv_cipher != NULL
        and crypto.rand_bytes(secret, IV_SECRET) == 1
        and crypto.cipher_init(
            room.iv_cipher, crypto.aes_128_ctr, NULL, secret, secret + 16, 1) == 1
    )
    crypto.cleanse(secret, IV_SECRET)
    return ready


cdef int key_room_init(KeyRoom *room, bint seal) noexcept:
    memset(room, 0, sizeof(KeyRoom))
    room.seal = seal
    room.last_number = OWNER_LEAST
    if init_cache(&room.library, LIBRARY_SETS, sizeof(LibraryState), clear_library, False) != 0:
        return -1
    if key_octets_most() and init_cache(
            &room.direct, DIRECT_SETS, key_octets_most(), clear_octets, False) != 0:
        return -1
    if has_bursts() and init_cache(
            &room.bursts, BURST_SETS, sizeof(BurstKeys), clear_octets, True) != 0:
        return -1
    return 0 if not seal or key_iv_source(room) else -1


cdef void key_room_free(KeyRoom *room) noexcept:
    """A manager keeps nothing of a job that is done (bursts.pyx)."""
    cdef int i
    free_cache(&room.direct)
    free_cache(&room.library)
    free_cache(&room.bursts)
    for i in range(MANAGERS):
        free_manager(room.managers[i])
        room.managers[i] = NULL
    free(room.jobs)
    room.jobs = NULL
    crypto.cipher_free(room.iv_cipher)
    room.iv_cipher = NULL


cdef bint has_manager(KeyRoom *room, int backend) noexcept:
    if room.jobs == NULL:
        room.jobs = <uint8_t *>calloc(IMB_BURST_MOST, IMB_JOB_MOST)
    if room.managers[backend] == NULL:
        room.managers[backend] = new_manager(backend)
    return room.jobs != NULL and room.managers[backend] != NULL


cdef uint64_t in_use(const KeyCache *cache) noexcept nogil:
    cdef uint64_t i
    cdef uint64_t count = 0
    for i in range((cache.set_mask + 1) * KEY_WAYS if cache.owner != NULL else 0):
        count += load_u64(&cache.owner[i], ATOMIC_RELAXED) >= OWNER_LEAST
    return count


cdef uint64_t slots_in_use(const KeyRoom *room) noexcept nogil:
    return in_use(&room.direct) + in_use(&room.library) + in_use(&room.bursts)


cdef uint64_t keys_made(const KeyRoom *room) noexcept nogil:
    return (
        load_u64(&room.direct.made, ATOMIC_RELAXED)
        + load_u64(&room.library.made, ATOMIC_RELAXED)
        + load_u64(&room.bursts.made, ATOMIC_RELAXED))


cdef void forget(KeyCache *cache, uint64_t number) noexcept nogil:
    cdef Py_ssize_t i = find_slot(cache, number) if cache.owner != NULL else -1
    if i < 0 or not exchange_u64_if(&cache.owner[i], number, OWNER_WIPER):
        return
    cache.clear(cache.data + i * cache.stride, cache.stride)
    store_u64(&cache.owner[i], OWNER_NONE, ATOMIC_RELEASE)


cdef void forget_key(KeyRoom *room, uint64_t number) noexcept nogil:
    forget(&room.direct, number)
    forget(&room.library, number)
    forget(&room.bursts, number)


cdef bint is_pinned(const KeyCache *cache, Py_ssize_t slot) noexcept nogil:
    return cache.pinned != NULL and cache.pinned[slot] == cache.burst


cdef Py_ssize_t claim_slot(KeyCache *cache, uint64_t number) noexcept nogil:
    """An empty slot of the key's set, or another key's, by turns.

    The control plane wipes one slot at a time, so a claim fails now and then, never for long.
    """
    cdef Py_ssize_t first = <Py_ssize_t>(number & cache.set_mask) * KEY_WAYS
    cdef Py_ssize_t i
    cdef int pins = 0
    cdef uint64_t owner
    for i in range(first, first + KEY_WAYS):
        if load_u64(&cache.owner[i], ATOMIC_ACQUIRE) == OWNER_NONE:
            return i                                # the control plane leaves these alone
        pins += is_pinned(cache, i)
    while pins < KEY_WAYS:
        i = first + <Py_ssize_t>(cache.turn % KEY_WAYS)
        cache.turn += 1
        if is_pinned(cache, i):
            continue
        owner = load_u64(&cache.owner[i], ATOMIC_ACQUIRE)
        if owner == OWNER_NONE or (
                owner >= OWNER_LEAST and exchange_u64_if(&cache.owner[i], owner, OWNER_NONE)):
            return i
    return -1
