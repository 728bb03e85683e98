"""HMAC (RFC 2104) and AES-CMAC (RFC 4493) under keys set up before.

HMAC: hash contexts after the two padded key blocks are kept and copied (RFC 2104 section 4).
CMAC: CBC from a zero IV over the message, the last block masked with a subkey. What CBC puts out
on the way is thrown away; the last block is the MAC.

Ownership: a LibraryState belongs to a slot of the key cache.
"""

from libc.string cimport memcpy, memset

from hipgw._fastpath.c.libcrypto cimport HASH_BLOCK_OCTETS, HashCtx
from hipgw._fastpath.key_cache cimport MacState
from hipgw._fastpath.libcrypto cimport crypto

cdef enum:
    BLOCK = 16                      # of AES
    SCRATCH = 512                   # octets of CBC output thrown away at a time
    CARRY = 0x87                    # Rb of RFC 4493 section 2.3


cdef bint hmac_half(
        MacState *half, const Hash *hash, const uint8_t *key, Py_ssize_t n,
        uint8_t mask) noexcept nogil:
    """The hash after the block `key ^ mask` (RFC 2104 section 2). n <= 64 octets."""
    cdef uint8_t block[HASH_BLOCK_OCTETS]
    cdef bint ready
    cdef Py_ssize_t i
    memset(block, mask, HASH_BLOCK_OCTETS)
    for i in range(n):
        block[i] ^= key[i]
    ready = (
        hash.init(&half.hash) == 1
        and hash.update(&half.hash, block, HASH_BLOCK_OCTETS) == 1
    )
    crypto.cleanse(block, HASH_BLOCK_OCTETS)
    return ready


cdef bint key_hmac(
        LibraryState *s, const Hash *hash, const uint8_t *key, Py_ssize_t n) noexcept nogil:
    return hmac_half(&s.inner, hash, key, n, 0x36) and hmac_half(&s.outer, hash, key, n, 0x5C)


cdef void double_block(const uint8_t *block, uint8_t *doubled) noexcept nogil:
    """Times x in GF(2^128), without a branch on secret bits."""
    cdef Py_ssize_t i
    for i in range(BLOCK - 1):
        doubled[i] = <uint8_t>((block[i] << 1) | (block[i + 1] >> 7))
    doubled[BLOCK - 1] = <uint8_t>((block[BLOCK - 1] << 1) ^ (CARRY * (block[0] >> 7)))


cdef bint key_cmac(LibraryState *s) noexcept nogil:
    """The subkeys (RFC 4493 section 2.3), by the CBC of the state, which has a zero IV."""
    cdef uint8_t block[BLOCK]
    cdef int done
    cdef bint ready
    memset(block, 0, BLOCK)
    ready = crypto.cipher_update(s.cipher, block, &done, block, BLOCK) == 1
    if ready:
        double_block(block, s.inner.subkeys)
        double_block(s.inner.subkeys, s.inner.subkeys + BLOCK)
    crypto.cleanse(block, BLOCK)
    return ready


cdef bint hmac(
        const LibraryState *s, const Hash *hash, const uint8_t *p, Py_ssize_t n,
        uint8_t *mac) noexcept nogil:
    """HMAC of n octets; as long as the digest of `hash`."""
    cdef HashCtx state
    cdef bint done
    state = s.inner.hash
    done = hash.update(&state, p, n) == 1 and hash.final(mac, &state) == 1
    state = s.outer.hash
    return (
        done
        and hash.update(&state, mac, hash.digest_octets) == 1
        and hash.final(mac, &state) == 1
    )


cdef bint cmac(
        LibraryState *s, const uint8_t *p, Py_ssize_t n, uint8_t *mac) noexcept nogil:
    """AES-CMAC of n > 0 octets (RFC 4493 section 2.4); 16 octets."""
    cdef const uint8_t *mask = s.inner.subkeys
    cdef uint8_t scratch[SCRATCH]
    cdef uint8_t last[BLOCK]
    cdef Py_ssize_t before = (n - 1) // BLOCK * BLOCK   # octets of all blocks but the last
    cdef Py_ssize_t rest = n - before, step, i
    cdef int done
    memset(last, 0, BLOCK)
    if crypto.cipher_init(s.cipher, NULL, NULL, NULL, last, -1) != 1:
        return False
    while before > 0:
        step = before if before < SCRATCH else SCRATCH
        if crypto.cipher_update(s.cipher, scratch, &done, p, <int>step) != 1:
            return False
        p += step
        before -= step
    memcpy(last, p, rest)
    if rest < BLOCK:
        last[rest] = 0x80
        mask += BLOCK
    for i in range(BLOCK):
        last[i] ^= mask[i]
    return crypto.cipher_update(s.cipher, mac, &done, last, BLOCK) == 1
