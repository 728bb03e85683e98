"""Keyed state of SAs, made when a packet needs it; see key_cache.pyx."""

from libc.stdint cimport uint8_t, uint64_t

from hipgw._fastpath.c.atomics cimport ATOMIC_RELAXED, ATOMIC_RELEASE, load_u64, store_u64
from hipgw._fastpath.c.libcrypto cimport HashCtx

cdef enum:
    KEY_WAYS = 4                # slots that a key may lie in
    OWNER_NONE = 0
    OWNER_WIPER = 1             # being wiped by the control plane
    OWNER_LEAST = 2             # of real keys
    MANAGERS = 4                # at least as many as variants in bursts.pxd

cdef union MacState:
    HashCtx hash
    uint8_t subkeys[32]         # K1, K2 of CMAC

cdef struct LibraryState:
    # of libcrypto
    void *cipher                # EVP_CIPHER_CTX *, or NULL
    uint64_t suite              # that `cipher` was made for
    MacState inner              # HMAC after its inner block, or CMAC's subkeys
    MacState outer              # HMAC after its outer block

cdef struct BurstKeys:
    # of intel-ipsec-mb; whole lines, so that round keys lie on 16 octets
    uint8_t rounds[240]
    uint8_t inner[32]
    uint8_t outer[32]
    uint8_t unused[16]

ctypedef void (*ClearSlot)(void *state, uint64_t octets) noexcept nogil

cdef struct KeyCache:
    uint64_t set_mask           # sets - 1
    uint64_t *owner             # [sets * KEY_WAYS]: number of the key in the slot; NULL: no cache
    uint8_t *data               # `stride` octets a slot
    uint64_t stride
    ClearSlot clear
    uint64_t turn               # worker: which slot of a full set goes next
    uint64_t *pinned            # [sets * KEY_WAYS]: the burst that uses the slot; or NULL
    uint64_t burst              # worker: number of the burst that is being gathered
    uint64_t made               # worker: keys set up; read without locks

cdef struct KeyRoom:
    # What one worker has keyed, and in which direction it works.
    KeyCache direct             # GCM by intel-ipsec-mb
    KeyCache library            # LibraryState
    KeyCache bursts             # BurstKeys
    void *managers[MANAGERS]    # of bursts, by backend; NULL before its first SA
    uint8_t *jobs               # of bursts
    uint64_t last_number        # given to a key
    void *iv_cipher             # EVP_CIPHER_CTX * that makes the IVs of CBC; sealing worker only
    bint seal

# 0, or -1 without memory; `key_room_free` then still frees. Control plane only.
cdef int key_room_init(KeyRoom *room, bint seal) noexcept
cdef void key_room_free(KeyRoom *room) noexcept

# Whether the room has the manager of a backend of bursts.pxd, made now or before. Control plane
# only, before an SA that needs it is published.
cdef bint has_manager(KeyRoom *room, int backend) noexcept

# A number for a key, never given twice by this room. Control plane only.
cdef uint64_t next_key_number(KeyRoom *room) noexcept

# Slots with a key in them, and keys set up so far, of all three.
cdef uint64_t slots_in_use(const KeyRoom *room) noexcept nogil
cdef uint64_t keys_made(const KeyRoom *room) noexcept nogil

# Wipe what is kept of a key that no worker uses any more. Control plane only.
cdef void forget_key(KeyRoom *room, uint64_t number) noexcept nogil

# A slot for the key, that nobody else touches until `publish_slot`; -1: the burst that is being
# gathered uses all that there are. Worker only.
cdef Py_ssize_t claim_slot(KeyCache *cache, uint64_t number) noexcept nogil


cdef inline Py_ssize_t find_slot(const KeyCache *cache, uint64_t number) noexcept nogil:
    """The slot where a key is set up, or -1. Worker only."""
    cdef Py_ssize_t first = <Py_ssize_t>(number & cache.set_mask) * KEY_WAYS
    cdef Py_ssize_t i
    for i in range(first, first + KEY_WAYS):
        if load_u64(&cache.owner[i], ATOMIC_RELAXED) == number:
            return i
    return -1


cdef inline void publish_slot(KeyCache *cache, Py_ssize_t slot, uint64_t number) noexcept nogil:
    """The key is set up in a slot that was claimed. Worker only."""
    store_u64(&cache.made, load_u64(&cache.made, ATOMIC_RELAXED) + 1, ATOMIC_RELAXED)
    store_u64(&cache.owner[slot], number, ATOMIC_RELEASE)
