"""What hipgw calls in OpenSSL 3's libcrypto: function types, constants, one public struct.

Written from OpenSSL's manual pages; no header of OpenSSL is needed to build.
Contexts and ciphers are opaque and travel as `void *`.
"""

from libc.stdint cimport uint8_t, uint64_t

cdef enum:
    EVP_CTRL_AEAD_SET_IVLEN = 0x09
    EVP_CTRL_AEAD_GET_TAG = 0x10
    EVP_CTRL_AEAD_SET_TAG = 0x11
    OPENSSL_VERSION_TEXT = 0        # argument of OpenSSL_version
    HASH_BLOCK_OCTETS = 64          # of SHA-256, SHA-1 and MD5 alike
    HASH_MOST_OCTETS = 32           # longest digest of the three

cdef struct HashCtx:
    # Room for SHA256_CTX, 112 octets; SHA_CTX has 96 and MD5_CTX 92. These sizes stand since
    # OpenSSL 0.9.8 and are part of the ABI, because callers allocate the structs.
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
ctypedef int (*HashInit)(HashCtx *) noexcept nogil
ctypedef int (*HashUpdate)(HashCtx *, const void *, size_t) noexcept nogil
ctypedef int (*HashFinal)(uint8_t *, HashCtx *) noexcept nogil
ctypedef int (*RandBytes)(uint8_t *, int) noexcept nogil
ctypedef void (*OpensslCleanse)(void *, size_t) noexcept nogil
ctypedef int (*CryptoMemcmp)(const void *, const void *, size_t) noexcept nogil
ctypedef const char *(*OpensslVersion)(int) noexcept nogil
