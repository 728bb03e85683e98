"""AES-128-GCM (RFC 4106) and GMAC (RFC 4543) in place, over runs of one SA.

GCM has two backends with the same octets on the wire: libcrypto, and intel-ipsec-mb where it is
installed, whose direct call does without EVP's several calls a packet (ipsec_mb.pyx chooses).
The SA holds its key; the worker's key cache holds keyed state, looked up once a run.

The caller lays out all nonces of a batch before the first packet is sealed: the ciphers load a
nonce as one vector, and a load right behind the smaller stores that make it up has to wait for
them, which at 64 octets costs as much as the cipher.
"""

from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.string cimport memcpy, memset

from hipgw._fastpath.c.ipsec_mb cimport GCM_CONTEXT_OCTETS
from hipgw._fastpath.c.libcrypto cimport EVP_CTRL_AEAD_GET_TAG, EVP_CTRL_AEAD_SET_TAG
from hipgw._fastpath.descriptor cimport FORWARD, drop
from hipgw._fastpath.esp_cipher cimport ESP_HEADER, NONCE_STRIDE
from hipgw._fastpath.key_cache cimport find_slot, make_slot, next_key_number
from hipgw._fastpath.libcrypto cimport crypto
from hipgw._fastpath.reasons cimport R_CIPHER_FAILED, R_ICV_WRONG
from hipgw._fastpath.sa cimport SUITE_AES_GMAC

cdef enum:
    KEY = 16
    SALT = 4
    BODY = ESP_HEADER + 8           # behind the IV
    TAG = 16


cdef void key_gcm(
        EspCipher *e, const uint8_t *key, KeyRoom *room, const GcmKernel *gcm) noexcept:
    """The salt is the tail of the key (RFC 4106 section 8.1, RFC 4543 section 5.4)."""
    memcpy(e.key, key, KEY)
    memcpy(e.salt, key + KEY, SALT)
    e.gcm = gcm
    e.keys = &room.library if gcm == NULL else &room.direct
    e.key_number = next_key_number()


cdef inline Py_ssize_t slot_of(const EspCipher *e, bint seal) noexcept nogil:
    cdef Py_ssize_t slot = find_slot(e.keys, e.key_number)
    return slot if slot >= 0 else make_slot(e.keys, e.key_number, e.gcm, e.key, seal)


cdef inline bint is_same_tag(const uint8_t *a, const uint8_t *b, uint16_t octets) noexcept nogil:
    """Over 8 or 16 octets, in a time that does not depend on them."""
    cdef uint64_t words[4]
    memcpy(&words[0], a, 8)
    memcpy(&words[1], b, 8)
    memcpy(&words[2], a + octets - 8, 8)
    memcpy(&words[3], b + octets - 8, 8)
    return ((words[0] ^ words[1]) | (words[2] ^ words[3])) == 0


# --- intel-ipsec-mb ---------------------------------------------------------------------------

cdef void seal_direct(
        const EspCipher *e, const void *key_data, uint8_t *arena, const PacketDesc *desc,
        Py_ssize_t n, const uint8_t *nonces) noexcept nogil:
    cdef uint8_t context[GCM_CONTEXT_OCTETS]
    cdef uint64_t icv = e.shape.icv_octets
    cdef uint64_t octets
    cdef uint8_t *p
    cdef Py_ssize_t i
    for i in range(n):
        if desc[i].verdict == FORWARD:
            p = arena + desc[i].offset
            octets = desc[i].length - BODY - icv
            e.gcm.seal(
                key_data, context, p + BODY, p + BODY, octets, nonces + i * NONCE_STRIDE, p,
                ESP_HEADER, p + BODY + octets, icv)


cdef void open_direct(
        const EspCipher *e, const void *key_data, uint8_t *arena, PacketDesc *desc,
        Py_ssize_t n, const uint8_t *nonces) noexcept nogil:
    """A wrong tag leaves octets of nothing behind."""
    cdef uint8_t context[GCM_CONTEXT_OCTETS]
    cdef uint8_t tag[TAG]
    cdef uint16_t icv = e.shape.icv_octets
    cdef uint64_t octets
    cdef uint8_t *p
    cdef Py_ssize_t i
    for i in range(n):
        if desc[i].verdict == FORWARD:
            p = arena + desc[i].offset
            octets = desc[i].length - BODY - icv
            e.gcm.open(
                key_data, context, p + BODY, p + BODY, octets, nonces + i * NONCE_STRIDE, p,
                ESP_HEADER, tag, TAG)
            if not is_same_tag(tag, p + BODY + octets, icv):
                memset(p + BODY, 0, octets)
                drop(&desc[i], R_ICV_WRONG)


# --- libcrypto --------------------------------------------------------------------------------

cdef inline bint start(void *cipher, const uint8_t *p, const uint8_t *nonce) noexcept nogil:
    """Nonce, then SPI | sequence as additional data (RFC 4106 sections 4, 5)."""
    cdef int done
    return (
        crypto.cipher_init(cipher, NULL, NULL, NULL, nonce, -1) == 1
        and crypto.cipher_update(cipher, NULL, &done, p, ESP_HEADER) == 1
    )


cdef inline bint seal_one(
        void *cipher, uint8_t *body, uint8_t *into, int n, uint16_t icv) noexcept nogil:
    """After `start`: n octets at `body`, then the tag behind them.

    `into` is `body`, or NULL to authenticate in clear (GMAC, RFC 4543 section 3.3).
    """
    cdef int done
    return (
        crypto.cipher_update(cipher, into, &done, body, n) == 1
        and crypto.cipher_final(cipher, body + n, &done) == 1
        and crypto.cipher_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, icv, body + n) == 1
    )


cdef inline bint open_one(
        void *cipher, uint8_t *body, uint8_t *into, int n, uint16_t icv) noexcept nogil:
    """The reverse of `seal_one`."""
    cdef int done
    return (
        crypto.cipher_update(cipher, into, &done, body, n) == 1
        and crypto.cipher_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, icv, body + n) == 1
        and crypto.cipher_final(cipher, body + n, &done) == 1
    )


# --- a run ------------------------------------------------------------------------------------

cdef void drop_run(PacketDesc *desc, Py_ssize_t n, int reason) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        if desc[i].verdict == FORWARD:
            drop(&desc[i], reason)


cdef Py_ssize_t seal_gcm_run(
        const EspCipher *e, uint8_t *arena, PacketDesc *desc, Py_ssize_t n,
        const uint8_t *nonces) noexcept nogil:
    cdef uint16_t icv = e.shape.icv_octets
    cdef Py_ssize_t slot = slot_of(e, True)
    cdef Py_ssize_t i, stay = 0
    cdef uint8_t *p
    cdef int octets
    if slot < 0:
        drop_run(desc, n, R_CIPHER_FAILED)
        return 0
    if e.gcm != NULL:
        seal_direct(e, e.keys.data + slot * e.keys.stride, arena, desc, n, nonces)
    for i in range(n):
        if desc[i].verdict != FORWARD:
            continue
        if e.gcm == NULL:
            p = arena + desc[i].offset
            octets = <int>(desc[i].length - BODY - icv)
            if not start(e.keys.cipher[slot], p, nonces + i * NONCE_STRIDE) or not seal_one(
                    e.keys.cipher[slot], p + BODY,
                    NULL if e.suite == SUITE_AES_GMAC else p + BODY, octets, icv):
                drop(&desc[i], R_CIPHER_FAILED)
                continue
        stay += 1
    return stay


cdef void open_gcm_run(
        const EspCipher *e, uint8_t *arena, PacketDesc *desc, Py_ssize_t n,
        const uint8_t *nonces) noexcept nogil:
    cdef uint16_t icv = e.shape.icv_octets
    cdef Py_ssize_t slot = slot_of(e, False)
    cdef Py_ssize_t i
    cdef uint8_t *p
    cdef int octets
    if slot < 0:
        drop_run(desc, n, R_CIPHER_FAILED)
        return
    if e.gcm != NULL:
        open_direct(e, e.keys.data + slot * e.keys.stride, arena, desc, n, nonces)
        return
    for i in range(n):
        if desc[i].verdict == FORWARD:
            p = arena + desc[i].offset
            octets = <int>(desc[i].length - BODY - icv)
            if not start(e.keys.cipher[slot], p, nonces + i * NONCE_STRIDE) or not open_one(
                    e.keys.cipher[slot], p + BODY,
                    NULL if e.suite == SUITE_AES_GMAC else p + BODY, octets, icv):
                drop(&desc[i], R_ICV_WRONG)
