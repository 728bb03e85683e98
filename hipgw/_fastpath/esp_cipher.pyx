"""The keyed state of one SA, and its cipher and ICV over one packet in place.

A context is keyed once, when the SA is installed; a packet only sets the nonce (GCM) or nothing at
all (CBC, HMAC).

IVs. GCM: the 64-bit sequence number, which never repeats under one key (RFC 4106 section 3.1).
CBC: a random block R in front of the payload is encrypted with it, as one more block of the chain
that runs on from the last packet, and its ciphertext is the IV (RFC 4346 section 6.2.3.2, way
(2)(b)): as unpredictable as R, and the context never has to be set up again. R is AES-CTR under
a random key from a random counter, both drawn when the SA is keyed. The receiver does the same:
IV | ciphertext goes through the running chain, the IV's block comes out as noise that nobody reads.

HMAC: SHA-256 contexts after the two padded key blocks are kept and copied (RFC 2104 section 4).

Ownership: the contexts behind EspCipher belong to the SA and to the one worker that carries it.
One-packet functions take SPI..ICV at `p`; the caller has checked `length` against the suite.
"""

from libc.stdint cimport uint16_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from hipgw._fastpath.c.libcrypto cimport (
    EVP_CTRL_AEAD_GET_TAG,
    EVP_CTRL_AEAD_SET_TAG,
    SHA256_BLOCK_OCTETS,
    SHA256_DIGEST_OCTETS,
    Sha256Ctx,
)
from hipgw._fastpath.libcrypto cimport crypto
from hipgw._fastpath.sa cimport (
    SUITE_AES128_CBC_SHA256,
    SUITE_AES256_CBC_SHA256,
    SUITE_AES_GCM_16,
    SUITE_NULL_SHA256,
)

cdef enum:
    GCM_SALT = 4
    GCM_NONCE = GCM_SALT + GCM_IV


# --- keys -------------------------------------------------------------------------------------

cdef SuiteShape suite_shape(int suite) noexcept nogil:
    """Wire and key sizes of a suite (RFC 7402 section 5.1.2); all zero when not carried."""
    cdef SuiteShape shape
    memset(&shape, 0, sizeof(SuiteShape))
    if suite == SUITE_NULL_SHA256:
        shape.align_octets = 4
        shape.authentication_key_octets = 32
    elif suite == SUITE_AES128_CBC_SHA256 or suite == SUITE_AES256_CBC_SHA256:
        shape.iv_octets = AES_BLOCK
        shape.align_octets = AES_BLOCK
        shape.encryption_key_octets = 16 if suite == SUITE_AES128_CBC_SHA256 else 32
        shape.authentication_key_octets = 32
    elif suite == SUITE_AES_GCM_16:
        shape.iv_octets = GCM_IV
        shape.align_octets = 4
        shape.encryption_key_octets = 16 + GCM_SALT
    else:
        return shape
    shape.icv_octets = ICV
    return shape


cdef bint key_gcm(EspCipher *e, const uint8_t *key, bint seal) noexcept nogil:
    """The salt is the tail of the key (RFC 4106 section 8.1)."""
    memcpy(e.salt, key + 16, GCM_SALT)
    e.cipher = crypto.cipher_new()
    return (
        e.cipher != NULL
        and crypto.cipher_init(e.cipher, crypto.aes_128_gcm, NULL, key, NULL, seal) == 1
    )


cdef bint key_cbc(EspCipher *e, const uint8_t *key, bint seal) noexcept nogil:
    """One running chain per SA; the IV it starts from does not matter (module docstring)."""
    cdef uint8_t start[AES_BLOCK]
    cdef const void *kind = crypto.aes_128_cbc
    memset(start, 0, AES_BLOCK)
    if e.suite == SUITE_AES256_CBC_SHA256:
        kind = crypto.aes_256_cbc
    e.cipher = crypto.cipher_new()
    return (
        e.cipher != NULL
        and crypto.cipher_init(e.cipher, kind, NULL, key, start, seal) == 1
        and crypto.cipher_set_padding(e.cipher, 0) == 1
        and (not seal or key_iv_source(e))
    )


cdef bint key_iv_source(EspCipher *e) noexcept nogil:
    """AES-CTR under a fresh random key, from a random counter."""
    cdef uint8_t secret[2 * AES_BLOCK]
    cdef bint ready
    e.iv_cipher = crypto.cipher_new()
    ready = (
        e.iv_cipher != NULL
        and crypto.rand_bytes(secret, 2 * AES_BLOCK) == 1
        and crypto.cipher_init(
            e.iv_cipher, crypto.aes_128_ctr, NULL, secret, secret + AES_BLOCK, 1) == 1
    )
    crypto.cleanse(secret, 2 * AES_BLOCK)
    return ready


cdef void *hmac_half(const uint8_t *key, Py_ssize_t n, uint8_t mask) noexcept nogil:
    """SHA-256 after the block `key ^ mask` (RFC 2104 section 2), or NULL. n <= 64 octets."""
    cdef uint8_t block[SHA256_BLOCK_OCTETS]
    cdef Sha256Ctx *half = <Sha256Ctx *>calloc(1, sizeof(Sha256Ctx))
    cdef Py_ssize_t i
    if half == NULL:
        return NULL
    memset(block, mask, SHA256_BLOCK_OCTETS)
    for i in range(n):
        block[i] ^= key[i]
    if (
        crypto.sha256_init(half) != 1
        or crypto.sha256_update(half, block, SHA256_BLOCK_OCTETS) != 1
    ):
        free(half)
        half = NULL
    crypto.cleanse(block, SHA256_BLOCK_OCTETS)
    return half


cdef bint key_hmac(EspCipher *e, const uint8_t *key, Py_ssize_t n) noexcept nogil:
    e.mac_inner = hmac_half(key, n, 0x36)
    e.mac_outer = hmac_half(key, n, 0x5C)
    return e.mac_inner != NULL and e.mac_outer != NULL


cdef int esp_cipher_init(
        EspCipher *e, int suite, const uint8_t *enc_key, Py_ssize_t n_enc,
        const uint8_t *auth_key, Py_ssize_t n_auth, bint seal) noexcept nogil:
    """Key `e` for one direction: 0, or -1 and an `e` that is all zero."""
    cdef bint ready
    memset(e, 0, sizeof(EspCipher))
    e.shape = suite_shape(suite)
    if (
        e.shape.icv_octets == 0
        or n_enc != e.shape.encryption_key_octets
        or n_auth != e.shape.authentication_key_octets
    ):
        memset(e, 0, sizeof(EspCipher))
        return -1
    e.suite = <uint16_t>suite
    if suite == SUITE_AES_GCM_16:
        ready = key_gcm(e, enc_key, seal)
    else:
        ready = key_hmac(e, auth_key, n_auth)
        if ready and suite != SUITE_NULL_SHA256:
            ready = key_cbc(e, enc_key, seal)
    if not ready:
        esp_cipher_wipe(e)
        return -1
    return 0


cdef void wipe_hash(void *half) noexcept nogil:
    if half != NULL:
        crypto.cleanse(half, sizeof(Sha256Ctx))
        free(half)


cdef void esp_cipher_wipe(EspCipher *e) noexcept nogil:
    """Free and clear; EVP_CIPHER_CTX_free clears its key schedule and accepts NULL."""
    crypto.cipher_free(e.cipher)
    crypto.cipher_free(e.iv_cipher)
    wipe_hash(e.mac_inner)
    wipe_hash(e.mac_outer)
    crypto.cleanse(e, sizeof(EspCipher))


# --- one packet -------------------------------------------------------------------------------

cdef bint hmac_sha256(
        const EspCipher *e, const uint8_t *p, Py_ssize_t n, uint8_t *mac) noexcept nogil:
    """HMAC-SHA-256 of n octets into mac[32]; the first 16 are the ICV (RFC 4868 section 2.1)."""
    cdef Sha256Ctx hash
    cdef bint done
    memcpy(&hash, e.mac_inner, sizeof(Sha256Ctx))
    done = crypto.sha256_update(&hash, p, n) == 1 and crypto.sha256_final(mac, &hash) == 1
    memcpy(&hash, e.mac_outer, sizeof(Sha256Ctx))
    return (
        done
        and crypto.sha256_update(&hash, mac, SHA256_DIGEST_OCTETS) == 1
        and crypto.sha256_final(mac, &hash) == 1
    )


cdef bint gcm_start(const EspCipher *e, const uint8_t *p) noexcept nogil:
    """Nonce salt | IV, then SPI | sequence as additional data (RFC 4106 sections 4, 5)."""
    cdef uint8_t nonce[GCM_NONCE]
    cdef int done
    memcpy(nonce, e.salt, GCM_SALT)
    memcpy(nonce + GCM_SALT, p + ESP_HEADER, GCM_IV)
    return (
        crypto.cipher_init(e.cipher, NULL, NULL, NULL, nonce, -1) == 1
        and crypto.cipher_update(e.cipher, NULL, &done, p, ESP_HEADER) == 1
    )


cdef bint seal_gcm(const EspCipher *e, uint8_t *p, uint32_t length) noexcept nogil:
    cdef uint8_t *body = p + ESP_HEADER + GCM_IV
    cdef int n = <int>(length - ESP_HEADER - GCM_IV - ICV)
    cdef int done
    return (
        gcm_start(e, p)
        and crypto.cipher_update(e.cipher, body, &done, body, n) == 1
        and crypto.cipher_final(e.cipher, body + n, &done) == 1
        and crypto.cipher_ctrl(e.cipher, EVP_CTRL_AEAD_GET_TAG, ICV, body + n) == 1
    )


cdef bint open_gcm(const EspCipher *e, uint8_t *p, uint32_t length) noexcept nogil:
    cdef uint8_t *body = p + ESP_HEADER + GCM_IV
    cdef int n = <int>(length - ESP_HEADER - GCM_IV - ICV)
    cdef int done
    return (
        gcm_start(e, p)
        and crypto.cipher_update(e.cipher, body, &done, body, n) == 1
        and crypto.cipher_ctrl(e.cipher, EVP_CTRL_AEAD_SET_TAG, ICV, body + n) == 1
        and crypto.cipher_final(e.cipher, body + n, &done) == 1
    )


cdef bint run_chain(const EspCipher *e, uint8_t *p, uint32_t length) noexcept nogil:
    """CBC over IV block and ciphertext, in place, in the direction the context was keyed for."""
    cdef int done
    return e.cipher == NULL or crypto.cipher_update(
        e.cipher, p + ESP_HEADER, &done, p + ESP_HEADER, <int>(length - ESP_HEADER - ICV)) == 1


cdef bint seal_hmac(const EspCipher *e, uint8_t *p, uint32_t length) noexcept nogil:
    """Encrypt, then authenticate SPI up to the next header."""
    cdef uint8_t mac[SHA256_DIGEST_OCTETS]
    if not (run_chain(e, p, length) and hmac_sha256(e, p, length - ICV, mac)):
        return False
    memcpy(p + length - ICV, mac, ICV)
    return True


cdef bint open_hmac(const EspCipher *e, uint8_t *p, uint32_t length) noexcept nogil:
    """Verify first; what is not authentic is not decrypted."""
    cdef uint8_t mac[SHA256_DIGEST_OCTETS]
    return (
        hmac_sha256(e, p, length - ICV, mac)
        and crypto.memcmp(mac, p + length - ICV, ICV) == 0
        and run_chain(e, p, length)
    )


cdef bint seal_packet(const EspCipher *e, uint8_t *p, uint32_t length) noexcept nogil:
    """Encrypt and authenticate; the IV field holds the GCM IV, or R for CBC."""
    if e.suite == SUITE_AES_GCM_16:
        return seal_gcm(e, p, length)
    return seal_hmac(e, p, length)


cdef bint open_packet(const EspCipher *e, uint8_t *p, uint32_t length) noexcept nogil:
    """Whether the ICV is right; then payload, padding and trailer are in clear."""
    if e.suite == SUITE_AES_GCM_16:
        return open_gcm(e, p, length)
    return open_hmac(e, p, length)


cdef bint draw_blocks(const EspCipher *e, uint8_t *blocks, Py_ssize_t n) noexcept nogil:
    """n random blocks R for CBC, 16 octets each; nothing to do for the other suites."""
    cdef int done
    if e.iv_cipher == NULL:
        return True
    memset(blocks, 0, n * AES_BLOCK)
    return crypto.cipher_update(e.iv_cipher, blocks, &done, blocks, <int>(n * AES_BLOCK)) == 1
