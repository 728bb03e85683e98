"""Keyed state of AES-GCM, made when a packet needs it; see key_cache.pyx."""

from libc.stdint cimport uint8_t, uint64_t

from hipgw._fastpath.c.atomics cimport ATOMIC_RELAXED, load_u64
from hipgw._fastpath.ipsec_mb cimport GcmKernel

cdef enum:
    KEY_WAYS = 4                # slots that a key may lie in
    OWNER_NONE = 0
    OWNER_WIPER = 1             # being wiped by the control plane
    OWNER_LEAST = 2             # of real keys

cdef struct KeyCache:
    uint64_t set_mask           # sets - 1
    uint64_t *owner             # [sets * KEY_WAYS]: number of the key in the slot
    uint8_t *data               # key data of intel-ipsec-mb, `stride` octets a slot, or NULL
    uint64_t stride
    void **cipher               # EVP_CIPHER_CTX * of each slot, NULL before its first use; or NULL
    uint64_t turn               # worker: which slot of a full set goes next
    uint64_t made               # worker: keys set up; read without locks

cdef struct KeyRoom:
    # One worker's two caches, and in which direction it works.
    KeyCache direct             # intel-ipsec-mb
    KeyCache library            # libcrypto
    bint seal

# 0, or -1 without memory; `key_room_free` then still frees. Control plane only.
cdef int key_room_init(KeyRoom *room, bint seal) noexcept
cdef void key_room_free(KeyRoom *room) noexcept

# A number for a key, never given twice. Control plane only: holds the GIL.
cdef uint64_t next_key_number() noexcept

# Slots with a key in them.
cdef uint64_t slots_in_use(const KeyCache *cache) noexcept nogil

# Wipe what is kept of a key that no worker uses any more. Control plane only.
cdef void forget_key(KeyCache *cache, uint64_t number) noexcept nogil

# Set a key up in a slot of its set: the slot, or -1: library failure. Worker only.
cdef Py_ssize_t make_slot(
    KeyCache *cache, uint64_t number, const GcmKernel *kernel, const uint8_t *key,
    bint seal) noexcept nogil


cdef inline Py_ssize_t find_slot(const KeyCache *cache, uint64_t number) noexcept nogil:
    """The slot where a key is set up, or -1. Worker only."""
    cdef Py_ssize_t first = <Py_ssize_t>(number & cache.set_mask) * KEY_WAYS
    cdef Py_ssize_t i
    for i in range(first, first + KEY_WAYS):
        if load_u64(&cache.owner[i], ATOMIC_RELAXED) == number:
            return i
    return -1
