"""Every ESP suite by libcrypto: keyed state, and cipher and ICV over packets in place.

GCM and GMAC have their runs in esp_gcm.pyx. The state of any other suite is keyed when it comes
into the worker's key cache; a packet only sets the nonce (CCM, and the zero IV of CMAC) or nothing
at all (CBC, HMAC).

CBC: a random block R in front of the payload is encrypted with it, as one more block of the chain
that runs on from the last packet, and its ciphertext is the IV (RFC 4346 section 6.2.3.2, way
(2)(b)): as unpredictable as R, and the context never has to be set up again. 3DES takes half a
block. The receiver does the same: IV | ciphertext goes through the running chain, the IV's block
comes out as noise that nobody reads.

CCM verifies only with the last octet of ciphertext, so libcrypto decrypts in place and clears the
payload again when the tag is wrong; it also leaves an entry in the thread's OpenSSL error queue, a
ring of 16 that libcrypto allocates from.

Extended sequence numbers: a MAC covers the upper half as well, behind the last octet that is sent
(RFC 4303 section 2.2.1). It is put where the ICV stands, or will stand; that of a packet which is
opened is put back. CCM has it in its additional data.

One-packet functions take SPI..ICV at `p`; the caller has checked `length` against the suite.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy, memset

from hipgw._fastpath.c.libcrypto cimport (
    EVP_CTRL_AEAD_GET_TAG,
    EVP_CTRL_AEAD_SET_IVLEN,
    EVP_CTRL_AEAD_SET_TAG,
)
from hipgw._fastpath.descriptor cimport BATCH_MOST, FORWARD, drop
from hipgw._fastpath.esp_mac cimport MAC_MOST_OCTETS, cmac, hmac, key_cmac, key_hmac
from hipgw._fastpath.esp_suites cimport suite_shape
from hipgw._fastpath.key_cache cimport KeyCache, claim_slot, find_slot, publish_slot
from hipgw._fastpath.libcrypto cimport Hash, crypto
from hipgw._fastpath.reasons cimport R_CIPHER_FAILED, R_ICV_WRONG
from hipgw._fastpath.sa cimport (
    FULL_FLAG,
    SUITE_AES128_CBC_SHA256,
    SUITE_AES256_CBC_SHA256,
    SUITE_AES_CCM_16,
    SUITE_AES_CCM_8,
    SUITE_AES_CMAC_96,
    SUITE_AES_GCM_16,
    SUITE_AES_GCM_8,
    SUITE_AES_GMAC,
    SUITE_FULL_AES256_CBC_SHA256,
    SUITE_NULL_SHA256,
    SUITE_V1_3DES_CBC_MD5,
    SUITE_V1_3DES_CBC_SHA1,
    SUITE_V1_NULL_MD5,
)

cdef enum:
    CCM_SALT = 3
    CCM_NONCE = CCM_SALT + COUNTER_IV


# --- keys -------------------------------------------------------------------------------------

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


cdef const void *cipher_of(int suite) noexcept nogil:
    """The EVP_CIPHER of a suite, or NULL: none."""
    if suite in (SUITE_AES_GCM_16, SUITE_AES_GCM_8, SUITE_AES_GMAC):
        return crypto.aes_128_gcm
    if suite == SUITE_AES_CCM_16 or suite == SUITE_AES_CCM_8:
        return crypto.aes_128_ccm
    if suite == SUITE_AES_CMAC_96:
        return crypto.aes_128_cbc
    return cbc_of(suite) if suite_shape(suite).encryption_key_octets != 0 else NULL


cdef bint make_cipher(LibraryState *s, const EspCipher *e) noexcept nogil:
    """A context for the cipher of the suite, without a key."""
    crypto.cipher_free(s.cipher)
    s.suite = e.suite
    s.cipher = crypto.cipher_new()
    return (
        s.cipher != NULL
        and crypto.cipher_init(
            s.cipher, cipher_of(e.suite), NULL, NULL, NULL, e.room.seal) == 1
        and (
            (e.suite != SUITE_AES_CCM_16 and e.suite != SUITE_AES_CCM_8)
            or (
                crypto.cipher_ctrl(s.cipher, EVP_CTRL_AEAD_SET_IVLEN, CCM_NONCE, NULL) == 1
                and crypto.cipher_ctrl(
                    s.cipher, EVP_CTRL_AEAD_SET_TAG, e.shape.icv_octets, NULL) == 1
            )
        )
    )


cdef bint key_cipher(LibraryState *s, const EspCipher *e) noexcept nogil:
    """Key the context of a state. A chain starts from any IV (module docstring), CMAC's from 0."""
    cdef uint8_t start[AES_BLOCK]
    memset(start, 0, AES_BLOCK)
    if (s.cipher == NULL or s.suite != e.suite) and not make_cipher(s, e):
        return False
    if e.suite == SUITE_AES_CMAC_96:
        return (
            crypto.cipher_init(s.cipher, NULL, NULL, e.mac_key, start, 1) == 1
            and crypto.cipher_set_padding(s.cipher, 0) == 1
            and key_cmac(s)
        )
    if e.shape.iv_octets == COUNTER_IV and not is_chained(e):
        return crypto.cipher_init(s.cipher, NULL, NULL, e.key, NULL, e.room.seal) == 1
    return (
        crypto.cipher_init(s.cipher, NULL, NULL, e.key, start, e.room.seal) == 1
        and crypto.cipher_set_padding(s.cipher, 0) == 1
    )


cdef bint set_up(LibraryState *s, const EspCipher *e) noexcept nogil:
    """Key a state, whatever it held before."""
    if cipher_of(e.suite) != NULL and not key_cipher(s, e):
        return False
    return not has_hmac(e) or key_hmac(
        s, hash_of(e.suite), e.mac_key, suite_shape(e.suite).authentication_key_octets)


cdef LibraryState *library_state(const EspCipher *e) noexcept nogil:
    cdef KeyCache *cache = &e.room.library
    cdef Py_ssize_t slot = find_slot(cache, e.key_number)
    cdef LibraryState *s
    if slot >= 0:
        return <LibraryState *>(cache.data + slot * cache.stride)
    slot = claim_slot(cache, e.key_number)
    s = <LibraryState *>(cache.data + slot * cache.stride)
    if not set_up(s, e):
        cache.clear(s, cache.stride)
        return NULL
    publish_slot(cache, slot, e.key_number)
    return s


# --- one packet: CCM --------------------------------------------------------------------------

cdef bint ccm_start(
        const EspCipher *e, void *cipher, const uint8_t *p, int n,
        const uint8_t *high) noexcept nogil:
    """Nonce, length, SPI | sequence (RFC 4309 sections 4, 5); CCM wants the length n first."""
    cdef uint8_t nonce[CCM_NONCE]
    cdef uint8_t extended[AAD_OCTETS]
    cdef const uint8_t *aad = p
    cdef int done
    if e.extended:
        store_aad(extended, p, high)
        aad = extended
    memcpy(nonce, e.mac_key, CCM_SALT)
    memcpy(nonce + CCM_SALT, p + ESP_HEADER, COUNTER_IV)
    return (
        crypto.cipher_init(cipher, NULL, NULL, NULL, nonce, -1) == 1
        and crypto.cipher_update(cipher, NULL, &done, NULL, n) == 1
        and crypto.cipher_update(
            cipher, NULL, &done, aad, AAD_OCTETS if e.extended else ESP_HEADER) == 1
    )


cdef bint seal_ccm(
        const EspCipher *e, void *cipher, uint8_t *p, uint8_t *body, int n,
        const uint8_t *high) noexcept nogil:
    cdef int done
    return (
        ccm_start(e, cipher, p, n, high)
        and crypto.cipher_update(cipher, body, &done, body, n) == 1
        and crypto.cipher_ctrl(
            cipher, EVP_CTRL_AEAD_GET_TAG, e.shape.icv_octets, body + n) == 1
    )


cdef bint open_ccm(
        const EspCipher *e, void *cipher, uint8_t *p, uint8_t *body, int n,
        const uint8_t *high) noexcept nogil:
    """The update that decrypts is also the one that verifies."""
    cdef int done
    return (
        crypto.cipher_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, e.shape.icv_octets, body + n) == 1
        and ccm_start(e, cipher, p, n, high)
        and crypto.cipher_update(cipher, body, &done, body, n) == 1
    )


# --- one packet: CBC or no cipher, then a MAC -------------------------------------------------

cdef bint run_chain(const EspCipher *e, void *cipher, uint8_t *p, uint32_t n) noexcept nogil:
    """CBC over IV block and ciphertext, in place, in the direction the context was keyed for."""
    cdef int done
    return e.shape.iv_octets == 0 or crypto.cipher_update(
        cipher, p + ESP_HEADER, &done, p + ESP_HEADER, <int>(n - ESP_HEADER)) == 1


cdef bint take_mac(
        const EspCipher *e, LibraryState *s, const uint8_t *p, uint32_t n,
        uint8_t *mac) noexcept nogil:
    if e.suite == SUITE_AES_CMAC_96:
        return cmac(s, p, n, mac)
    return hmac(s, hash_of(e.suite), p, n, mac)


cdef bint seal_then_mac(
        const EspCipher *e, LibraryState *s, uint8_t *p, uint32_t n,
        const uint8_t *high) noexcept nogil:
    """Encrypt, then authenticate the n octets from SPI to next header."""
    cdef uint8_t mac[MAC_MOST_OCTETS]
    cdef uint32_t covered = n
    if e.extended:
        memcpy(p + n, high, HIGH_OCTETS)
        covered += HIGH_OCTETS
    if not (run_chain(e, s.cipher, p, n) and take_mac(e, s, p, covered, mac)):
        return False
    memcpy(p + n, mac, e.shape.icv_octets)
    return True


cdef bint take_mac_of_opened(
        const EspCipher *e, LibraryState *s, uint8_t *p, uint32_t n, const uint8_t *high,
        uint8_t *mac) noexcept nogil:
    cdef uint8_t icv[HIGH_OCTETS]
    cdef bint taken
    if not e.extended:
        return take_mac(e, s, p, n, mac)
    memcpy(icv, p + n, HIGH_OCTETS)
    memcpy(p + n, high, HIGH_OCTETS)
    taken = take_mac(e, s, p, n + HIGH_OCTETS, mac)
    memcpy(p + n, icv, HIGH_OCTETS)
    return taken


cdef bint verify_then_open(
        const EspCipher *e, LibraryState *s, uint8_t *p, uint32_t n,
        const uint8_t *high) noexcept nogil:
    """Verify first; what is not authentic is not decrypted."""
    cdef uint8_t mac[MAC_MOST_OCTETS]
    return (
        take_mac_of_opened(e, s, p, n, high, mac)
        and crypto.memcmp(mac, p + n, e.shape.icv_octets) == 0
        and run_chain(e, s.cipher, p, n)
    )


# --- runs of one SA ---------------------------------------------------------------------------

cdef bint seal_packet(
        const EspCipher *e, LibraryState *s, uint8_t *p, uint32_t length,
        const uint8_t *high) noexcept nogil:
    """Encrypt and authenticate; the IV field holds the sequence number, or R for CBC."""
    cdef uint32_t covered = length - e.shape.icv_octets
    cdef int n = <int>(covered - ESP_HEADER - COUNTER_IV)
    if e.suite == SUITE_AES_CCM_16 or e.suite == SUITE_AES_CCM_8:
        return seal_ccm(e, s.cipher, p, p + ESP_HEADER + COUNTER_IV, n, high)
    return seal_then_mac(e, s, p, covered, high)


cdef bint open_packet(
        const EspCipher *e, LibraryState *s, uint8_t *p, uint32_t length,
        const uint8_t *high) noexcept nogil:
    """Whether the ICV is right; then payload, padding and trailer are in clear."""
    cdef uint32_t covered = length - e.shape.icv_octets
    cdef int n = <int>(covered - ESP_HEADER - COUNTER_IV)
    if e.suite == SUITE_AES_CCM_16 or e.suite == SUITE_AES_CCM_8:
        return open_ccm(e, s.cipher, p, p + ESP_HEADER + COUNTER_IV, n, high)
    return verify_then_open(e, s, p, covered, high)


cdef bint draw_blocks(KeyRoom *room, uint8_t *blocks, Py_ssize_t n) noexcept nogil:
    cdef int done
    memset(blocks, 0, n * AES_BLOCK)
    return crypto.cipher_update(
        room.iv_cipher, blocks, &done, blocks, <int>(n * AES_BLOCK)) == 1


cdef Py_ssize_t seal_library_run(
        const EspCipher *e, uint8_t *arena, PacketDesc *desc, Py_ssize_t n,
        const uint8_t *nonces) noexcept nogil:
    cdef uint8_t blocks[BATCH_MOST * AES_BLOCK]
    cdef LibraryState *s = library_state(e)
    cdef bint chained = is_chained(e)
    cdef bint ready = s != NULL and (not chained or draw_blocks(e.room, blocks, n))
    cdef Py_ssize_t i, stay = 0
    for i in range(n):
        if desc[i].verdict != FORWARD:
            continue
        if chained:
            memcpy(arena + desc[i].offset + ESP_HEADER, blocks + i * AES_BLOCK,
                   e.shape.iv_octets)
        if ready and seal_packet(
                e, s, arena + desc[i].offset, desc[i].length,
                nonces + i * NONCE_STRIDE + HIGH_AT):
            stay += 1
        else:
            drop(&desc[i], R_CIPHER_FAILED)
    return stay


cdef void open_library_run(
        const EspCipher *e, uint8_t *arena, PacketDesc *desc, Py_ssize_t n,
        const uint8_t *nonces) noexcept nogil:
    cdef LibraryState *s = library_state(e)
    cdef Py_ssize_t i
    for i in range(n):
        if desc[i].verdict != FORWARD:
            continue
        if s == NULL:
            drop(&desc[i], R_CIPHER_FAILED)
        elif not open_packet(
                e, s, arena + desc[i].offset, desc[i].length,
                nonces + i * NONCE_STRIDE + HIGH_AT):
            drop(&desc[i], R_ICV_WRONG)
