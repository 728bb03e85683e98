"""What hipgw calls in OpenSSL 3's libcrypto: function types, constants, one public struct.

Written from OpenSSL's manual pages; no header of OpenSSL is needed to build.
Contexts and ciphers are opaque and travel as `void *`.
"""

from libc.stdint cimport uint8_t, uint64_t

cdef enum:
    EVP_CTRL_AEAD_GET_TAG = 0x10
    EVP_CTRL_AEAD_SET_TAG = 0x11
    OPENSSL_VERSION_TEXT = 0        # argument of OpenSSL_version
    SHA256_BLOCK_OCTETS = 64
    SHA256_DIGEST_OCTETS = 32

cdef struct Sha256Ctx:
    # SHA256_CTX: 112 octets since OpenSSL 0.9.8, part of the ABI because callers allocate it.
    uint64_t opaque[14]

ctypedef void *(*EvpCipherFetch)(void *, const char *, const char *) noexcept nogil
ctypedef void *(*EvpCipherCtxNew)() noexcept nogil
ctypedef void (*EvpCipherCtxFree)(void *) noexcept nogil
ctypedef int (*EvpCipherInitEx)(
    void *, const void *, void *, const uint8_t *, const uint8_t *, int) noexcept nogil
ctypedef int (*EvpCipherUpdate)(
    void *, uint8_t *, int *, const uint8_t *, int) noexcept nogil
ctypedef int (*EvpCipherFinalEx)(void *, uint8_t *, int *) noexcept nogil
ctypedef int (*EvpCipherCtxCtrl)(void *, int, int, void *) noexcept nogil
ctypedef int (*EvpCipherCtxSetPadding)(void *, int) noexcept nogil
ctypedef int (*Sha256Init)(Sha256Ctx *) noexcept nogil
ctypedef int (*Sha256Update)(Sha256Ctx *, const void *, size_t) noexcept nogil
ctypedef int (*Sha256Final)(uint8_t *, Sha256Ctx *) noexcept nogil
ctypedef int (*RandBytes)(uint8_t *, int) noexcept nogil
ctypedef void (*OpensslCleanse)(void *, size_t) noexcept nogil
ctypedef int (*CryptoMemcmp)(const void *, const void *, size_t) noexcept nogil
ctypedef const char *(*OpensslVersion)(int) noexcept nogil
