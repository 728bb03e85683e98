"""Hashes, HMAC, HKDF and AES-CBC for the control plane (RFC 7401 sections 5.2.18, 6.4.1, 6.5).

One call each, without the objects that Python's libraries make around them. HMAC stands on the SHA
functions below EVP, as the puzzle does: its two keyed states are made once and copied for each
block of a stream. AES goes through EVP, which alone has the processor's AES instructions.

A hash is named by the octets of its digest: 20 SHA-1, 32 SHA-256, 48 SHA-384. States and blocks lie
on the stack of the caller and are wiped, since they tell as much as the key. The GIL is kept: all
of it takes a microsecond or two.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t
from libc.string cimport memcpy, memset

from hipgw._fastpath.c.sha cimport ShaState
from hipgw._fastpath.hashes cimport Hash, hash_of
from hipgw._fastpath.libcrypto cimport crypto

cdef enum:
    BLOCK_MOST = 128                # of SHA-384
    DIGEST_MOST = 64                # SHA512_Final writes what the context asks for, at most this
    INNER_PAD = 0x36                # RFC 2104 section 2
    OUTER_PAD = 0x5c
    STREAM_BLOCKS_MOST = 255        # RFC 5869 section 2.3
    AES_BLOCK = 16

cdef struct Hmac:
    const Hash *hash
    ShaState inner                  # after the key and the pad, both of one block
    ShaState outer


cdef int _start(Hmac *mac, int digest_octets, bytes key) except -1:
    """Key both states (RFC 2104 section 2); `_wipe` ends their use."""
    cdef const Hash *hash = hash_of(digest_octets)
    cdef uint8_t[BLOCK_MOST] block
    cdef const uint8_t *octets = key
    cdef size_t length = len(key)
    cdef int at
    if hash == NULL:
        raise ValueError(f"no hash with a digest of {digest_octets} octets: expected 20, 32 or 48")
    mac.hash = hash
    memset(block, 0, sizeof(block))
    if length > <size_t>hash.block_octets:
        hash.init(&mac.inner)
        hash.update(&mac.inner, octets, length)
        hash.final(block, &mac.inner)
    else:
        memcpy(block, octets, length)
    for at in range(hash.block_octets):
        block[at] ^= INNER_PAD
    hash.init(&mac.inner)
    hash.update(&mac.inner, block, hash.block_octets)
    for at in range(hash.block_octets):
        block[at] ^= INNER_PAD ^ OUTER_PAD
    hash.init(&mac.outer)
    hash.update(&mac.outer, block, hash.block_octets)
    crypto.cleanse(block, sizeof(block))
    return 0


cdef void _finish(const Hmac *mac, ShaState *inner, uint8_t *into) noexcept nogil:
    """The MAC from an inner state that has taken the message; DIGEST_MOST octets of room."""
    cdef ShaState outer = mac.outer
    mac.hash.final(into, inner)
    mac.hash.update(&outer, into, mac.hash.digest_octets)
    mac.hash.final(into, &outer)
    crypto.cleanse(&outer, sizeof(outer))


cdef void _wipe(Hmac *mac) noexcept nogil:
    crypto.cleanse(mac, sizeof(Hmac))


cdef void _compute(
        const Hmac *mac, const uint8_t *data, size_t length, uint8_t *into) noexcept nogil:
    cdef ShaState inner = mac.inner
    mac.hash.update(&inner, data, length)
    _finish(mac, &inner, into)


def digest(int digest_octets, bytes data not None) -> bytes:
    """The hash of `data`."""
    cdef const Hash *hash = hash_of(digest_octets)
    cdef ShaState state
    cdef uint8_t[DIGEST_MOST] found
    if hash == NULL:
        raise ValueError(f"no hash with a digest of {digest_octets} octets: expected 20, 32 or 48")
    hash.init(&state)
    hash.update(&state, <const uint8_t *>data, len(data))
    hash.final(found, &state)
    crypto.cleanse(&state, sizeof(state))   # some messages begin with a secret
    return found[:digest_octets]


def hmac(int digest_octets, bytes key not None, bytes data not None) -> bytes:
    """HMAC of `data`, as long as the digest (RFC 2104); a key of any length."""
    cdef Hmac mac
    cdef uint8_t[DIGEST_MOST] found
    _start(&mac, digest_octets, key)
    _compute(&mac, data, len(data), found)
    _wipe(&mac)
    return found[:digest_octets]


def hmac_is_right(
    int digest_octets, bytes key not None, bytes data not None, bytes expected not None
) -> bool:
    """Whether `expected` is the HMAC of `data`, in time that does not depend on where it differs.

    False for any other length.
    """
    cdef Hmac mac
    cdef uint8_t[DIGEST_MOST] found
    cdef bint is_right
    _start(&mac, digest_octets, key)
    _compute(&mac, data, len(data), found)
    _wipe(&mac)
    is_right = len(expected) == digest_octets and crypto.memcmp(
        found, <const uint8_t *>expected, digest_octets) == 0
    crypto.cleanse(found, sizeof(found))    # the right MAC of a packet that nobody has sent
    return is_right


def hkdf_expand(int digest_octets, bytes key not None, bytes info not None, int length) -> bytes:
    """The first `length` octets of the stream of RFC 5869 section 2.3; ValueError past its end."""
    cdef Hmac mac
    cdef ShaState inner
    cdef uint8_t[DIGEST_MOST] block
    cdef const uint8_t *text = info
    cdef size_t text_octets = len(info)
    cdef bytes stream
    cdef uint8_t *into
    cdef int at = 0
    cdef int part
    cdef uint8_t number = 0
    if not 0 <= length <= STREAM_BLOCKS_MOST * digest_octets:
        raise ValueError(f"{length} octets of a stream of {STREAM_BLOCKS_MOST} digests")
    _start(&mac, digest_octets, key)
    stream = PyBytes_FromStringAndSize(NULL, length)
    into = <uint8_t *>PyBytes_AS_STRING(stream)
    while at < length:
        inner = mac.inner
        if number:
            mac.hash.update(&inner, block, digest_octets)
        number += 1
        mac.hash.update(&inner, text, text_octets)
        mac.hash.update(&inner, &number, 1)
        _finish(&mac, &inner, block)
        part = min(digest_octets, length - at)
        memcpy(into + at, block, part)
        at += part
    _wipe(&mac)
    crypto.cleanse(&inner, sizeof(inner))
    crypto.cleanse(block, sizeof(block))
    return stream


cdef bint _run_cbc(
        void *cipher, const uint8_t *key, const uint8_t *iv, const uint8_t *text, int length,
        uint8_t *into, int encrypts) noexcept nogil:
    """Whole blocks through AES-CBC; the context and the key in it are wiped."""
    cdef void *context = crypto.cipher_new()
    cdef int done = 0
    cdef bint is_done = (
        context != NULL
        and crypto.cipher_init(context, cipher, NULL, key, iv, encrypts) == 1
        and crypto.cipher_set_padding(context, 0) == 1
        and crypto.cipher_update(context, into, &done, text, length) == 1
        and done == length
    )
    crypto.cipher_free(context)
    return is_done


def aes_cbc(bytes key not None, bytes iv not None, bytes text not None, *, bint encrypts) -> bytes:
    """Encrypt or decrypt whole blocks, without padding.

    Raises ValueError for a key of other than 16 or 32 octets, an IV of other than 16, or parts of
    a block.
    """
    cdef void *cipher
    cdef bytes result
    if len(key) == 16:
        cipher = crypto.aes_128_cbc
    elif len(key) == 32:
        cipher = crypto.aes_256_cbc
    else:
        raise ValueError(f"AES key of {len(key)} octets: expected 16 or 32")
    if len(iv) != AES_BLOCK or len(text) % AES_BLOCK:
        raise ValueError(f"IV of {len(iv)} and text of {len(text)} octets are not whole blocks")
    result = PyBytes_FromStringAndSize(NULL, len(text))
    if not _run_cbc(
        cipher, key, iv, text, <int>len(text), <uint8_t *>PyBytes_AS_STRING(result), encrypts,
    ):
        raise MemoryError
    return result
