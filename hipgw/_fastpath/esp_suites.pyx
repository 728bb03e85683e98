"""ESP suites: their sizes on the wire and of their keys, and which of them are carried."""

from libc.stdint cimport uint8_t

from hipgw._fastpath.libcrypto cimport crypto
from hipgw._fastpath.sa cimport (
    SUITE_AES128_CBC_SHA1,
    SUITE_AES128_CBC_SHA256,
    SUITE_AES256_CBC_SHA256,
    SUITE_AES_CCM_8,
    SUITE_AES_CCM_16,
    SUITE_AES_CMAC_96,
    SUITE_AES_GCM_8,
    SUITE_AES_GCM_16,
    SUITE_AES_GMAC,
    SUITE_FULL_AES128_CBC_SHA256,
    SUITE_FULL_AES256_CBC_SHA256,
    SUITE_FULL_NULL_SHA256,
    SUITE_NULL_SHA256,
    SUITE_V1_3DES_CBC_MD5,
    SUITE_V1_3DES_CBC_SHA1,
    SUITE_V1_AES128_CBC_SHA1,
    SUITE_V1_NULL_MD5,
    SUITE_V1_NULL_SHA1,
)

cdef enum:
    AES_128_KEY = 16
    COUNTER_IV = 8                  # of GCM, CCM and GMAC
    GCM_SALT = 4
    CCM_SALT = 3


cdef SuiteShape sizes(
        uint8_t encryption_key, uint8_t authentication_key, uint8_t iv, uint8_t icv,
        uint8_t align) noexcept nogil:
    cdef SuiteShape shape
    shape.encryption_key_octets = encryption_key
    shape.authentication_key_octets = authentication_key
    shape.iv_octets = iv
    shape.icv_octets = icv
    shape.align_octets = align
    return shape


cdef SuiteShape suite_shape(int suite) noexcept nogil:
    """Wire and key sizes of a suite; all zero when not carried.

    RFC 7402 section 5.1.2 and RFC 5202 section 5.1.2 name the suites; keys and ICVs are those of
    RFC 2403, 2404, 2451, 4106, 4309, 4494, 4543 and 4868, with AES-128 and the salt drawn as the
    tail of the key. FULL_ suites leave RFC 4868: their ICV is the whole HMAC.
    """
    if suite == SUITE_NULL_SHA256:
        return sizes(0, 32, 0, 16, 4)
    if suite == SUITE_AES128_CBC_SHA256:
        return sizes(AES_128_KEY, 32, 16, 16, 16)
    if suite == SUITE_AES256_CBC_SHA256:
        return sizes(32, 32, 16, 16, 16)
    if suite == SUITE_AES_CCM_8:
        return sizes(AES_128_KEY + CCM_SALT, 0, COUNTER_IV, 8, 4)
    if suite == SUITE_AES_CCM_16:
        return sizes(AES_128_KEY + CCM_SALT, 0, COUNTER_IV, 16, 4)
    if suite == SUITE_AES_GCM_8:
        return sizes(AES_128_KEY + GCM_SALT, 0, COUNTER_IV, 8, 4)
    if suite == SUITE_AES_GCM_16:
        return sizes(AES_128_KEY + GCM_SALT, 0, COUNTER_IV, 16, 4)
    if suite == SUITE_AES_CMAC_96:
        return sizes(0, AES_128_KEY, 0, 12, 4)
    if suite == SUITE_AES_GMAC:
        return sizes(0, AES_128_KEY + GCM_SALT, COUNTER_IV, 16, 4)
    if suite == SUITE_AES128_CBC_SHA1 or suite == SUITE_V1_AES128_CBC_SHA1:
        return sizes(AES_128_KEY, 20, 16, 12, 16)
    if suite == SUITE_V1_3DES_CBC_SHA1 and crypto.des_ede3_cbc != NULL:
        return sizes(24, 20, 8, 12, 8)
    if suite == SUITE_V1_3DES_CBC_MD5 and crypto.des_ede3_cbc != NULL and crypto.md5.init != NULL:
        return sizes(24, 16, 8, 12, 8)
    if suite == SUITE_V1_NULL_SHA1:
        return sizes(0, 20, 0, 12, 4)
    if suite == SUITE_V1_NULL_MD5 and crypto.md5.init != NULL:
        return sizes(0, 16, 0, 12, 4)
    if suite == SUITE_FULL_NULL_SHA256:
        return sizes(0, 32, 0, 32, 4)
    if suite == SUITE_FULL_AES128_CBC_SHA256:
        return sizes(AES_128_KEY, 32, 16, 32, 16)
    if suite == SUITE_FULL_AES256_CBC_SHA256:
        return sizes(32, 32, 16, 32, 16)
    return sizes(0, 0, 0, 0, 0)
