"""Opens the system's libcrypto.so.3 at import and looks up the few functions that ESP needs.

What only deprecated suites use, 3DES and MD5, may be missing; those suites are then not carried.

There is no link-time dependency and no header: distribution security updates apply to a built
wheel, and `import` says what to install when the library is missing. The library is never closed.
"""

from hipgw._fastpath.c.dlfcn cimport RTLD_LOCAL, RTLD_NOW, dlerror, dlopen, dlsym
from hipgw._fastpath.c.libcrypto cimport OPENSSL_VERSION_TEXT

LIBRARY = "libcrypto.so.3"
_REMEDY = "install OpenSSL 3 (Debian: apt install libssl3)"

cdef void *_library = NULL          # open for the life of the process


cdef void *_symbol(void *library, bytes name) except NULL:
    cdef void *address = dlsym(library, name)
    if address == NULL:
        raise ImportError(f"{LIBRARY} lacks {name.decode()}: {_REMEDY}")
    return address


cdef void *_cipher(bytes name) except NULL:
    cdef void *cipher = crypto.cipher_fetch(NULL, name, NULL)
    if cipher == NULL:
        raise ImportError(
            f"{LIBRARY} does not offer {name.decode()}: enable OpenSSL's default provider")
    return cipher


cdef int _hash(Hash *found, void *library, bytes name, Py_ssize_t digest_octets) except -1:
    found.init = <HashInit>_symbol(library, name + b"_Init")
    found.update = <HashUpdate>_symbol(library, name + b"_Update")
    found.final = <HashFinal>_symbol(library, name + b"_Final")
    found.digest_octets = digest_octets
    return 0


cdef void *find_function(bytes name) except NULL:
    return _symbol(_library, name)


cdef int _open() except -1:
    global _library
    cdef void *library = dlopen(LIBRARY.encode(), RTLD_NOW | RTLD_LOCAL)
    if library == NULL:
        raise ImportError(f"cannot open {LIBRARY} ({dlerror().decode()}): {_REMEDY}")
    _library = library
    crypto.cipher_fetch = <EvpCipherFetch>_symbol(library, b"EVP_CIPHER_fetch")
    crypto.cipher_new = <EvpCipherCtxNew>_symbol(library, b"EVP_CIPHER_CTX_new")
    crypto.cipher_free = <EvpCipherCtxFree>_symbol(library, b"EVP_CIPHER_CTX_free")
    crypto.cipher_init = <EvpCipherInitEx>_symbol(library, b"EVP_CipherInit_ex")
    crypto.cipher_update = <EvpCipherUpdate>_symbol(library, b"EVP_CipherUpdate")
    crypto.cipher_final = <EvpCipherFinalEx>_symbol(library, b"EVP_CipherFinal_ex")
    crypto.cipher_ctrl = <EvpCipherCtxCtrl>_symbol(library, b"EVP_CIPHER_CTX_ctrl")
    crypto.cipher_set_padding = <EvpCipherCtxSetPadding>_symbol(
        library, b"EVP_CIPHER_CTX_set_padding")
    _hash(&crypto.sha256, library, b"SHA256", 32)
    _hash(&crypto.sha1, library, b"SHA1", 20)
    if dlsym(library, b"MD5_Init") != NULL:
        _hash(&crypto.md5, library, b"MD5", 16)
    crypto.rand_bytes = <RandBytes>_symbol(library, b"RAND_bytes")
    crypto.cleanse = <OpensslCleanse>_symbol(library, b"OPENSSL_cleanse")
    crypto.memcmp = <CryptoMemcmp>_symbol(library, b"CRYPTO_memcmp")
    crypto.version = <OpensslVersion>_symbol(library, b"OpenSSL_version")
    crypto.aes_128_gcm = _cipher(b"AES-128-GCM")
    crypto.aes_128_cbc = _cipher(b"AES-128-CBC")
    crypto.aes_256_cbc = _cipher(b"AES-256-CBC")
    crypto.aes_128_ctr = _cipher(b"AES-128-CTR")
    crypto.aes_128_ccm = _cipher(b"AES-128-CCM")
    crypto.des_ede3_cbc = crypto.cipher_fetch(NULL, b"DES-EDE3-CBC", NULL)
    return 0


def version() -> str:
    """What the opened library says it is, for example "OpenSSL 3.0.19 27 Jan 2026"."""
    return crypto.version(OPENSSL_VERSION_TEXT).decode()


_open()
