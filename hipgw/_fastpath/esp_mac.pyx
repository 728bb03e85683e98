"""HMAC (RFC 2104) and AES-CMAC (RFC 4493) under keys set up once per SA.

HMAC: hash contexts after the two padded key blocks are kept and copied (RFC 2104 section 4).
CMAC: CBC from a zero IV over the message, the last block masked with a subkey. What CBC puts out
on the way is thrown away; the last block is the MAC.

Ownership: what mac_inner and mac_outer point to belongs to the EspCipher; `mac_wipe` frees it.
"""

from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from hipgw._fastpath.c.libcrypto cimport HASH_BLOCK_OCTETS, HashCtx
from hipgw._fastpath.libcrypto cimport crypto

cdef enum:
    BLOCK = 16                      # of AES
    SCRATCH = 512                   # octets of CBC output thrown away at a time
    CARRY = 0x87                    # Rb of RFC 4493 section 2.3

cdef union MacState:
    HashCtx hash
    uint8_t subkeys[2 * BLOCK]      # K1, K2


cdef MacState *hmac_half(
        const Hash *hash, const uint8_t *key, Py_ssize_t n, uint8_t mask) noexcept nogil:
    """The hash after the block `key ^ mask` (RFC 2104 section 2), or NULL. n <= 64 octets."""
    cdef uint8_t block[HASH_BLOCK_OCTETS]
    cdef MacState *half = <MacState *>calloc(1, sizeof(MacState))
    cdef Py_ssize_t i
    if half == NULL:
        return NULL
    memset(block, mask, HASH_BLOCK_OCTETS)
    for i in range(n):
        block[i] ^= key[i]
    if (
        hash.init(&half.hash) != 1
        or hash.update(&half.hash, block, HASH_BLOCK_OCTETS) != 1
    ):
        free(half)
        half = NULL
    crypto.cleanse(block, HASH_BLOCK_OCTETS)
    return half


cdef bint key_hmac(
        EspCipher *e, const Hash *hash, const uint8_t *key, Py_ssize_t n) noexcept nogil:
    e.mac_inner = hmac_half(hash, key, n, 0x36)
    e.mac_outer = hmac_half(hash, key, n, 0x5C)
    return e.mac_inner != NULL and e.mac_outer != NULL


cdef void double_block(const uint8_t *block, uint8_t *doubled) noexcept nogil:
    """Times x in GF(2^128), without a branch on secret bits."""
    cdef Py_ssize_t i
    for i in range(BLOCK - 1):
        doubled[i] = <uint8_t>((block[i] << 1) | (block[i + 1] >> 7))
    doubled[BLOCK - 1] = <uint8_t>((block[BLOCK - 1] << 1) ^ (CARRY * (block[0] >> 7)))


cdef bint key_cmac(EspCipher *e, const uint8_t *key) noexcept nogil:
    """AES-128-CBC under the key, and the subkeys (RFC 4493 section 2.3)."""
    cdef uint8_t block[BLOCK]
    cdef MacState *state = <MacState *>calloc(1, sizeof(MacState))
    cdef int done
    cdef bint ready
    memset(block, 0, BLOCK)
    e.mac_inner = state
    e.cipher = crypto.cipher_new()
    ready = (
        state != NULL
        and e.cipher != NULL
        and crypto.cipher_init(e.cipher, crypto.aes_128_cbc, NULL, key, block, 1) == 1
        and crypto.cipher_set_padding(e.cipher, 0) == 1
        and crypto.cipher_update(e.cipher, block, &done, block, BLOCK) == 1
    )
    if ready:
        double_block(block, state.subkeys)
        double_block(state.subkeys, state.subkeys + BLOCK)
    crypto.cleanse(block, BLOCK)
    return ready


cdef void mac_wipe(EspCipher *e) noexcept nogil:
    if e.mac_inner != NULL:
        crypto.cleanse(e.mac_inner, sizeof(MacState))
        free(e.mac_inner)
        e.mac_inner = NULL
    if e.mac_outer != NULL:
        crypto.cleanse(e.mac_outer, sizeof(MacState))
        free(e.mac_outer)
        e.mac_outer = NULL


cdef bint hmac(
        const EspCipher *e, const Hash *hash, const uint8_t *p, Py_ssize_t n,
        uint8_t *mac) noexcept nogil:
    """HMAC of n octets; as long as the digest of `hash`."""
    cdef HashCtx state
    cdef bint done
    memcpy(&state, e.mac_inner, sizeof(HashCtx))
    done = hash.update(&state, p, n) == 1 and hash.final(mac, &state) == 1
    memcpy(&state, e.mac_outer, sizeof(HashCtx))
    return (
        done
        and hash.update(&state, mac, hash.digest_octets) == 1
        and hash.final(mac, &state) == 1
    )


cdef bint cmac(
        const EspCipher *e, const uint8_t *p, Py_ssize_t n, uint8_t *mac) noexcept nogil:
    """AES-CMAC of n > 0 octets (RFC 4493 section 2.4); 16 octets."""
    cdef const uint8_t *mask = (<MacState *>e.mac_inner).subkeys
    cdef uint8_t scratch[SCRATCH]
    cdef uint8_t last[BLOCK]
    cdef Py_ssize_t before = (n - 1) // BLOCK * BLOCK   # octets of all blocks but the last
    cdef Py_ssize_t rest = n - before, step, i
    cdef int done
    memset(last, 0, BLOCK)
    if crypto.cipher_init(e.cipher, NULL, NULL, NULL, last, -1) != 1:
        return False
    while before > 0:
        step = before if before < SCRATCH else SCRATCH
        if crypto.cipher_update(e.cipher, scratch, &done, p, <int>step) != 1:
            return False
        p += step
        before -= step
    memcpy(last, p, rest)
    if rest < BLOCK:
        last[rest] = 0x80
        mask += BLOCK
    for i in range(BLOCK):
        last[i] ^= mask[i]
    return crypto.cipher_update(e.cipher, mac, &done, last, BLOCK) == 1
