"""Elliptic curves, ECDH and ECDSA of OpenSSL 3's libcrypto, below EVP.

Written from OpenSSL's manual pages EC_KEY_new(3), EC_POINT_new(3), EC_POINT_add(3), ECDSA_sign(3)
and BN_bn2bin(3); no header of OpenSSL is needed to build. EC_KEY, EC_GROUP, EC_POINT, ECDSA_SIG
and BIGNUM are opaque and travel as `void *`.
"""

from libc.stdint cimport uint8_t

cdef enum:
    NID_P256 = 415                  # X9_62_prime256v1
    NID_P384 = 715                  # secp384r1
    NID_P521 = 716                  # secp521r1
    UNCOMPRESSED = 4                # POINT_CONVERSION_UNCOMPRESSED, and the first octet of such

ctypedef void *(*EcKeyNew)(int) noexcept nogil
ctypedef void (*OpensslFree)(void *) noexcept nogil
ctypedef int (*EcKeyGenerate)(void *) noexcept nogil
ctypedef int (*EcKeySet)(void *, const void *) noexcept nogil
ctypedef const void *(*EcKeyGet)(const void *) noexcept nogil
ctypedef void *(*EcPointNew)(const void *) noexcept nogil
ctypedef int (*EcPointMul)(
    const void *, void *, const void *, const void *, const void *, void *) noexcept nogil
ctypedef int (*EcPointRead)(
    const void *, void *, const uint8_t *, size_t, void *) noexcept nogil
ctypedef size_t (*EcPointWrite)(
    const void *, const void *, int, uint8_t *, size_t, void *) noexcept nogil
ctypedef int (*EcdhCompute)(
    void *, size_t, const void *, const void *, void *) noexcept nogil
ctypedef void *(*EcdsaSign)(const uint8_t *, int, void *) noexcept nogil
ctypedef int (*EcdsaVerify)(const uint8_t *, int, const void *, void *) noexcept nogil
ctypedef void *(*EcdsaSigNew)() noexcept nogil
ctypedef int (*EcdsaSigSet)(void *, void *, void *) noexcept nogil
ctypedef const void *(*EcdsaSigGet)(const void *) noexcept nogil
ctypedef void *(*BnRead)(const uint8_t *, int, void *) noexcept nogil
ctypedef int (*BnWrite)(const void *, uint8_t *, int) noexcept nogil
ctypedef int (*BnCompare)(const void *, const void *) noexcept nogil
ctypedef int (*BnIsZero)(const void *) noexcept nogil
ctypedef void (*ErrClear)() noexcept nogil
