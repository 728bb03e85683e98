"""The system's libcrypto.so.3, opened at import; see libcrypto.pyx."""

from hipgw._fastpath.c.libcrypto cimport (
    CryptoMemcmp,
    EvpCipherCtxCtrl,
    EvpCipherCtxFree,
    EvpCipherCtxNew,
    EvpCipherCtxSetPadding,
    EvpCipherFetch,
    EvpCipherFinalEx,
    EvpCipherInitEx,
    EvpCipherUpdate,
    OpensslCleanse,
    OpensslVersion,
    RandBytes,
    Sha256Final,
    Sha256Init,
    Sha256Update,
)

cdef struct Libcrypto:
    EvpCipherFetch cipher_fetch
    EvpCipherCtxNew cipher_new
    EvpCipherCtxFree cipher_free
    EvpCipherInitEx cipher_init
    EvpCipherUpdate cipher_update
    EvpCipherFinalEx cipher_final
    EvpCipherCtxCtrl cipher_ctrl
    EvpCipherCtxSetPadding cipher_set_padding
    Sha256Init sha256_init
    Sha256Update sha256_update
    Sha256Final sha256_final
    RandBytes rand_bytes
    OpensslCleanse cleanse
    CryptoMemcmp memcmp
    OpensslVersion version
    # EVP_CIPHER *, fetched once and kept for the life of the process
    void *aes_128_gcm
    void *aes_128_cbc
    void *aes_256_cbc
    void *aes_128_ctr

cdef Libcrypto crypto       # filled before the import returns, constant afterwards
