"""The keyed state of one SA, and its cipher and ICV over one packet in place.

GCM and GMAC: esp_gcm.pyx. The context of any other suite is keyed once, when the SA is installed;
a packet only sets the nonce (CCM, and the zero IV of CMAC) or nothing at all (CBC, HMAC).

IVs. GCM, CCM, GMAC: the 64-bit sequence number, which never repeats under one key (RFC 4106
section 3.1, RFC 4309 section 3.1, RFC 4543 section 3.1).
CBC: a random block R in front of the payload is encrypted with it, as one more block of the chain
that runs on from the last packet, and its ciphertext is the IV (RFC 4346 section 6.2.3.2, way
(2)(b)): as unpredictable as R, and the context never has to be set up again. R is AES-CTR under
a random key from a random counter, both drawn when the SA is keyed; 3DES takes half a block. The
receiver does the same: IV | ciphertext goes through the running chain, the IV's block comes out as
noise that nobody reads.

CCM verifies only with the last octet of ciphertext, so libcrypto decrypts in place and clears the
payload again when the tag is wrong; it also leaves an entry in the thread's OpenSSL error queue, a
ring of 16 that libcrypto allocates from.

Ownership: the contexts behind EspCipher belong to the SA and to the one worker that carries it.
One-packet functions take SPI..ICV at `p`; the caller has checked `length` against the suite.
"""

from libc.stdint cimport uint16_t, uint32_t
from libc.string cimport memcpy, memset

from hipgw._fastpath.c.libcrypto cimport (
    EVP_CTRL_AEAD_GET_TAG,
    EVP_CTRL_AEAD_SET_IVLEN,
    EVP_CTRL_AEAD_SET_TAG,
)
from hipgw._fastpath.descriptor cimport BATCH_MOST, FORWARD, PacketDesc, drop
from hipgw._fastpath.esp_gcm cimport key_gcm, open_gcm_run, seal_gcm_run
from hipgw._fastpath.esp_mac cimport MAC_MOST_OCTETS, cmac, hmac, key_cmac, key_hmac, mac_wipe
from hipgw._fastpath.ipsec_mb cimport current_gcm
from hipgw._fastpath.key_cache cimport KeyRoom, forget_key
from hipgw._fastpath.libcrypto cimport Hash, crypto
from hipgw._fastpath.reasons cimport R_CIPHER_FAILED, R_ICV_WRONG
from hipgw._fastpath.sa cimport (
    FULL_FLAG,
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
    CCM_NONCE = CCM_SALT + COUNTER_IV


# --- suites -----------------------------------------------------------------------------------

cdef SuiteShape sizes(
        uint16_t encryption_key, uint16_t authentication_key, uint16_t iv, uint16_t icv,
        uint16_t align) noexcept nogil:
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


cdef const Hash *hash_of(int suite) noexcept nogil:
    """The hash of a suite with HMAC."""
    if (
        suite == SUITE_AES128_CBC_SHA256
        or suite == SUITE_AES256_CBC_SHA256
        or suite == SUITE_NULL_SHA256
        or suite & FULL_FLAG
    ):
        return &crypto.sha256
    if suite == SUITE_V1_3DES_CBC_MD5 or suite == SUITE_V1_NULL_MD5:
        return &crypto.md5
    return &crypto.sha1


cdef const void *cbc_of(int suite) noexcept nogil:
    """The EVP_CIPHER of a suite with CBC."""
    if suite == SUITE_AES256_CBC_SHA256 or suite == SUITE_FULL_AES256_CBC_SHA256:
        return crypto.aes_256_cbc
    if suite == SUITE_V1_3DES_CBC_SHA1 or suite == SUITE_V1_3DES_CBC_MD5:
        return crypto.des_ede3_cbc
    return crypto.aes_128_cbc


# --- keys -------------------------------------------------------------------------------------

cdef bint key_ccm(EspCipher *e, const uint8_t *key, bint seal) noexcept nogil:
    """The salt is the tail of the key (RFC 4309 section 7.1); sizes are set before the key."""
    memcpy(e.salt, key + AES_128_KEY, CCM_SALT)
    e.cipher = crypto.cipher_new()
    return (
        e.cipher != NULL
        and crypto.cipher_init(e.cipher, crypto.aes_128_ccm, NULL, NULL, NULL, seal) == 1
        and crypto.cipher_ctrl(e.cipher, EVP_CTRL_AEAD_SET_IVLEN, CCM_NONCE, NULL) == 1
        and crypto.cipher_ctrl(e.cipher, EVP_CTRL_AEAD_SET_TAG, e.shape.icv_octets, NULL) == 1
        and crypto.cipher_init(e.cipher, NULL, NULL, key, NULL, seal) == 1
    )


cdef bint key_cbc(EspCipher *e, const uint8_t *key, bint seal) noexcept nogil:
    """One running chain per SA; the IV it starts from does not matter (module docstring)."""
    cdef uint8_t start[AES_BLOCK]
    memset(start, 0, AES_BLOCK)
    e.cipher = crypto.cipher_new()
    return (
        e.cipher != NULL
        and crypto.cipher_init(e.cipher, cbc_of(e.suite), NULL, key, start, seal) == 1
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


cdef bint key_suite(
        EspCipher *e, const uint8_t *enc_key, const uint8_t *auth_key,
        KeyRoom *room) noexcept:
    """Key by suite and shape; the lengths of the keys are right."""
    if e.suite == SUITE_AES_GCM_16 or e.suite == SUITE_AES_GCM_8:
        key_gcm(e, enc_key, room, current_gcm())
        return True
    if e.suite == SUITE_AES_CCM_16 or e.suite == SUITE_AES_CCM_8:
        return key_ccm(e, enc_key, room.seal)
    if e.suite == SUITE_AES_GMAC:
        key_gcm(e, auth_key, room, NULL)
        return True
    if e.suite == SUITE_AES_CMAC_96:
        return key_cmac(e, auth_key)
    return (
        key_hmac(e, hash_of(e.suite), auth_key, e.shape.authentication_key_octets)
        and (e.shape.encryption_key_octets == 0 or key_cbc(e, enc_key, room.seal))
    )


cdef int esp_cipher_init(
        EspCipher *e, int suite, const uint8_t *enc_key, Py_ssize_t n_enc,
        const uint8_t *auth_key, Py_ssize_t n_auth, KeyRoom *room) noexcept:
    """Key `e` for one direction: 0, or -1 and an `e` that is all zero."""
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
    if not key_suite(e, enc_key, auth_key, room):
        esp_cipher_wipe(e)
        return -1
    return 0


cdef void esp_cipher_wipe(EspCipher *e) noexcept nogil:
    """Free and clear; EVP_CIPHER_CTX_free clears its key schedule and accepts NULL."""
    crypto.cipher_free(e.cipher)
    crypto.cipher_free(e.iv_cipher)
    if e.keys != NULL:
        forget_key(e.keys, e.key_number)
    mac_wipe(e)
    crypto.cleanse(e, sizeof(EspCipher))


# --- one packet: CCM --------------------------------------------------------------------------

cdef bint ccm_start(const EspCipher *e, const uint8_t *p, int n) noexcept nogil:
    """Nonce, length, SPI | sequence (RFC 4309 sections 4, 5); CCM wants the length n first."""
    cdef uint8_t nonce[CCM_NONCE]
    cdef int done
    memcpy(nonce, e.salt, CCM_SALT)
    memcpy(nonce + CCM_SALT, p + ESP_HEADER, COUNTER_IV)
    return (
        crypto.cipher_init(e.cipher, NULL, NULL, NULL, nonce, -1) == 1
        and crypto.cipher_update(e.cipher, NULL, &done, NULL, n) == 1
        and crypto.cipher_update(e.cipher, NULL, &done, p, ESP_HEADER) == 1
    )


cdef bint seal_ccm(const EspCipher *e, uint8_t *p, uint8_t *body, int n) noexcept nogil:
    cdef int done
    return (
        ccm_start(e, p, n)
        and crypto.cipher_update(e.cipher, body, &done, body, n) == 1
        and crypto.cipher_ctrl(
            e.cipher, EVP_CTRL_AEAD_GET_TAG, e.shape.icv_octets, body + n) == 1
    )


cdef bint open_ccm(const EspCipher *e, uint8_t *p, uint8_t *body, int n) noexcept nogil:
    """The update that decrypts is also the one that verifies."""
    cdef int done
    return (
        crypto.cipher_ctrl(e.cipher, EVP_CTRL_AEAD_SET_TAG, e.shape.icv_octets, body + n) == 1
        and ccm_start(e, p, n)
        and crypto.cipher_update(e.cipher, body, &done, body, n) == 1
    )


# --- one packet: CBC or no cipher, then a MAC -------------------------------------------------

cdef bint run_chain(const EspCipher *e, uint8_t *p, uint32_t n) noexcept nogil:
    """CBC over IV block and ciphertext, in place, in the direction the context was keyed for."""
    cdef int done
    return e.shape.iv_octets == 0 or crypto.cipher_update(
        e.cipher, p + ESP_HEADER, &done, p + ESP_HEADER, <int>(n - ESP_HEADER)) == 1


cdef bint take_mac(const EspCipher *e, const uint8_t *p, uint32_t n, uint8_t *mac) noexcept nogil:
    if e.suite == SUITE_AES_CMAC_96:
        return cmac(e, p, n, mac)
    return hmac(e, hash_of(e.suite), p, n, mac)


cdef bint seal_then_mac(const EspCipher *e, uint8_t *p, uint32_t n) noexcept nogil:
    """Encrypt, then authenticate the n octets from SPI to next header."""
    cdef uint8_t mac[MAC_MOST_OCTETS]
    if not (run_chain(e, p, n) and take_mac(e, p, n, mac)):
        return False
    memcpy(p + n, mac, e.shape.icv_octets)
    return True


cdef bint verify_then_open(const EspCipher *e, uint8_t *p, uint32_t n) noexcept nogil:
    """Verify first; what is not authentic is not decrypted."""
    cdef uint8_t mac[MAC_MOST_OCTETS]
    return (
        take_mac(e, p, n, mac)
        and crypto.memcmp(mac, p + n, e.shape.icv_octets) == 0
        and run_chain(e, p, n)
    )


# --- runs of one SA ---------------------------------------------------------------------------

cdef bint seal_packet(const EspCipher *e, uint8_t *p, uint32_t length) noexcept nogil:
    """Encrypt and authenticate; the IV field holds the sequence number, or R for CBC."""
    cdef uint32_t covered = length - e.shape.icv_octets
    cdef int n = <int>(covered - ESP_HEADER - COUNTER_IV)
    if e.suite == SUITE_AES_CCM_16 or e.suite == SUITE_AES_CCM_8:
        return seal_ccm(e, p, p + ESP_HEADER + COUNTER_IV, n)
    return seal_then_mac(e, p, covered)


cdef bint open_packet(const EspCipher *e, uint8_t *p, uint32_t length) noexcept nogil:
    """Whether the ICV is right; then payload, padding and trailer are in clear."""
    cdef uint32_t covered = length - e.shape.icv_octets
    cdef int n = <int>(covered - ESP_HEADER - COUNTER_IV)
    if e.suite == SUITE_AES_CCM_16 or e.suite == SUITE_AES_CCM_8:
        return open_ccm(e, p, p + ESP_HEADER + COUNTER_IV, n)
    return verify_then_open(e, p, covered)


cdef bint draw_blocks(const EspCipher *e, uint8_t *blocks, Py_ssize_t n) noexcept nogil:
    """n random blocks R for CBC, 16 octets each; nothing to do for the other suites."""
    cdef int done
    if e.iv_cipher == NULL:
        return True
    memset(blocks, 0, n * AES_BLOCK)
    return crypto.cipher_update(e.iv_cipher, blocks, &done, blocks, <int>(n * AES_BLOCK)) == 1


cdef Py_ssize_t seal_run(
        const EspCipher *e, uint8_t *arena, PacketDesc *desc, Py_ssize_t n,
        const uint8_t *nonces) noexcept nogil:
    cdef uint8_t blocks[BATCH_MOST * AES_BLOCK]
    cdef Py_ssize_t i, stay = 0
    cdef bint drawn
    if e.keys != NULL:
        return seal_gcm_run(e, arena, desc, n, nonces)
    drawn = draw_blocks(e, blocks, n)
    for i in range(n):
        if desc[i].verdict != FORWARD:
            continue
        if e.iv_cipher != NULL:
            memcpy(arena + desc[i].offset + ESP_HEADER, blocks + i * AES_BLOCK,
                   e.shape.iv_octets)
        if drawn and seal_packet(e, arena + desc[i].offset, desc[i].length):
            stay += 1
        else:
            drop(&desc[i], R_CIPHER_FAILED)
    return stay


cdef void open_run(
        const EspCipher *e, uint8_t *arena, PacketDesc *desc, Py_ssize_t n,
        const uint8_t *nonces) noexcept nogil:
    cdef Py_ssize_t i
    if e.keys != NULL:
        open_gcm_run(e, arena, desc, n, nonces)
        return
    for i in range(n):
        if desc[i].verdict == FORWARD and not open_packet(
                e, arena + desc[i].offset, desc[i].length):
            drop(&desc[i], R_ICV_WRONG)
