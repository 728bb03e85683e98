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
    HashFinal,
    HashInit,
    HashUpdate,
    OpensslCleanse,
    OpensslVersion,
    RandBytes,
)

cdef struct Hash:
    # SHA256_*, SHA1_* or MD5_*; all NULL where the library was built without
    HashInit init
    HashUpdate update
    HashFinal final
    Py_ssize_t digest_octets

cdef struct Libcrypto:
    EvpCipherFetch cipher_fetch
    EvpCipherCtxNew cipher_new
    EvpCipherCtxFree cipher_free
    EvpCipherInitEx cipher_init
    EvpCipherUpdate cipher_update
    EvpCipherFinalEx cipher_final
    EvpCipherCtxCtrl cipher_ctrl
    EvpCipherCtxSetPadding cipher_set_padding
    Hash sha256
    Hash sha1
    Hash md5
    RandBytes rand_bytes
    OpensslCleanse cleanse
    CryptoMemcmp memcmp
    OpensslVersion version
    # EVP_CIPHER *, fetched once and kept for the life of the process
    void *aes_128_gcm
    void *aes_128_cbc
    void *aes_256_cbc
    void *aes_128_ctr
    void *aes_128_ccm
    void *des_ede3_cbc      # NULL where the default provider lacks it

cdef Libcrypto crypto       # filled before the import returns, constant afterwards

# A function of the library by its name; ImportError, with what to install, where it is missing.
cdef void *find_function(bytes name) except NULL
