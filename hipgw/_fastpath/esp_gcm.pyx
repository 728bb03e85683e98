"""AES-128-GCM (RFC 4106) and GMAC (RFC 4543) in place, over runs of one SA.

GCM has two backends with the same octets on the wire: libcrypto, and intel-ipsec-mb where it is
installed, whose direct call does without EVP's several calls a packet (ipsec_mb.pyx chooses).
The SA holds its key; the worker's key cache holds keyed state, looked up once a run.

GMAC authenticates all octets before the ICV, the IV among them. RFC 4543 section 3.3 lists what is
authenticated without a word about the IV, which stands inside ESP's payload data; its author's test
cases (draft-mcgrew-gcm-test-01 section 3), Linux, and everybody else put it in.

The caller lays out all nonces of a batch before the first packet is sealed: the ciphers load a
nonce as one vector, and a load right behind the smaller stores that make it up has to wait for
them, which at 64 octets costs as much as the cipher. So does `lay_out_aads` here, for SAs with
extended sequence numbers; without them the additional data is what the packet begins with.
"""

from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.string cimport memcpy, memset

from hipgw._fastpath.c.ipsec_mb cimport GCM_CONTEXT_OCTETS
from hipgw._fastpath.c.libcrypto cimport EVP_CTRL_AEAD_GET_TAG, EVP_CTRL_AEAD_SET_TAG
from hipgw._fastpath.descriptor cimport BATCH_MOST, FORWARD, drop
from hipgw._fastpath.esp_library cimport (
    AAD_OCTETS,
    ESP_HEADER,
    HIGH_AT,
    NONCE_STRIDE,
    library_state,
    store_aad,
)
from hipgw._fastpath.ipsec_mb cimport gcm_kernel
from hipgw._fastpath.key_cache cimport (
    KeyCache,
    LibraryState,
    claim_slot,
    find_slot,
    publish_slot,
)
from hipgw._fastpath.libcrypto cimport crypto
from hipgw._fastpath.reasons cimport R_CIPHER_FAILED, R_ICV_WRONG
from hipgw._fastpath.sa cimport BY_LIBCRYPTO, SUITE_AES_GMAC

cdef enum:
    BODY = ESP_HEADER + 8           # behind the IV
    TAG = 16


cdef const void *direct_key(const EspCipher *e, const GcmKernel *gcm) noexcept nogil:
    cdef KeyCache *cache = &e.room.direct
    cdef Py_ssize_t slot = find_slot(cache, e.key_number)
    if slot < 0:
        slot = claim_slot(cache, e.key_number)
        gcm.pre(e.key, cache.data + slot * cache.stride)
        publish_slot(cache, slot, e.key_number)
    return cache.data + slot * cache.stride


cdef inline bint is_same_tag(const uint8_t *a, const uint8_t *b, uint16_t octets) noexcept nogil:
    """Over 8 or 16 octets, in a time that does not depend on them."""
    cdef uint64_t words[4]
    memcpy(&words[0], a, 8)
    memcpy(&words[1], b, 8)
    memcpy(&words[2], a + octets - 8, 8)
    memcpy(&words[3], b + octets - 8, 8)
    return ((words[0] ^ words[1]) | (words[2] ^ words[3])) == 0


# --- intel-ipsec-mb ---------------------------------------------------------------------------

cdef void lay_out_aads(
        const uint8_t *arena, const PacketDesc *desc, Py_ssize_t n, const uint8_t *nonces,
        uint8_t *aads) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        if desc[i].verdict == FORWARD:
            store_aad(
                aads + i * NONCE_STRIDE, arena + desc[i].offset,
                nonces + i * NONCE_STRIDE + HIGH_AT)


cdef void seal_direct(
        const EspCipher *e, uint8_t *arena, const PacketDesc *desc, Py_ssize_t n,
        const uint8_t *nonces) noexcept nogil:
    cdef const GcmKernel *gcm = gcm_kernel(e.backend)
    cdef const void *key_data = direct_key(e, gcm)
    cdef uint8_t context[GCM_CONTEXT_OCTETS]
    cdef uint8_t aads[BATCH_MOST * NONCE_STRIDE]
    cdef uint64_t icv = e.shape.icv_octets
    cdef uint64_t aad_octets = AAD_OCTETS if e.extended else ESP_HEADER
    cdef uint64_t octets
    cdef const uint8_t *aad
    cdef uint8_t *p
    cdef Py_ssize_t i
    if e.extended:
        lay_out_aads(arena, desc, n, nonces, aads)
    for i in range(n):
        if desc[i].verdict == FORWARD:
            p = arena + desc[i].offset
            octets = desc[i].length - BODY - icv
            aad = p
            if e.extended:
                aad = aads + i * NONCE_STRIDE
            gcm.seal(
                key_data, context, p + BODY, p + BODY, octets, nonces + i * NONCE_STRIDE, aad,
                aad_octets, p + BODY + octets, icv)


cdef void open_direct(
        const EspCipher *e, uint8_t *arena, PacketDesc *desc, Py_ssize_t n,
        const uint8_t *nonces) noexcept nogil:
    """A wrong tag leaves octets of nothing behind."""
    cdef const GcmKernel *gcm = gcm_kernel(e.backend)
    cdef const void *key_data = direct_key(e, gcm)
    cdef uint8_t context[GCM_CONTEXT_OCTETS]
    cdef uint8_t aads[BATCH_MOST * NONCE_STRIDE]
    cdef uint8_t tag[TAG]
    cdef uint16_t icv = e.shape.icv_octets
    cdef uint64_t aad_octets = AAD_OCTETS if e.extended else ESP_HEADER
    cdef uint64_t octets
    cdef const uint8_t *aad
    cdef uint8_t *p
    cdef Py_ssize_t i
    if e.extended:
        lay_out_aads(arena, desc, n, nonces, aads)
    for i in range(n):
        if desc[i].verdict == FORWARD:
            p = arena + desc[i].offset
            octets = desc[i].length - BODY - icv
            aad = p
            if e.extended:
                aad = aads + i * NONCE_STRIDE
            gcm.open(
                key_data, context, p + BODY, p + BODY, octets, nonces + i * NONCE_STRIDE, aad,
                aad_octets, tag, TAG)
            if not is_same_tag(tag, p + BODY + octets, icv):
                memset(p + BODY, 0, octets)
                drop(&desc[i], R_ICV_WRONG)


# --- libcrypto --------------------------------------------------------------------------------

cdef inline bint start(
        const EspCipher *e, void *cipher, const uint8_t *p, int n,
        const uint8_t *nonce) noexcept nogil:
    """Nonce, then SPI | sequence as additional data (RFC 4106 sections 4, 5), for GMAC all."""
    cdef uint8_t aad[AAD_OCTETS]
    cdef int done
    if crypto.cipher_init(cipher, NULL, NULL, NULL, nonce, -1) != 1:
        return False
    if not e.extended:
        return crypto.cipher_update(
            cipher, NULL, &done, p, BODY + n if e.suite == SUITE_AES_GMAC else ESP_HEADER) == 1
    store_aad(aad, p, nonce + HIGH_AT)
    return (
        crypto.cipher_update(cipher, NULL, &done, aad, AAD_OCTETS) == 1
        and (e.suite != SUITE_AES_GMAC or crypto.cipher_update(
            cipher, NULL, &done, p + ESP_HEADER, BODY - ESP_HEADER + n) == 1)
    )


cdef bint gcm_seal(
        const EspCipher *e, void *cipher, uint8_t *p, int n,
        const uint8_t *nonce) noexcept nogil:
    cdef uint8_t *body = p + BODY
    cdef int done
    return (
        start(e, cipher, p, n, nonce)
        and (e.suite == SUITE_AES_GMAC
             or crypto.cipher_update(cipher, body, &done, body, n) == 1)
        and crypto.cipher_final(cipher, body + n, &done) == 1
        and crypto.cipher_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, e.shape.icv_octets, body + n) == 1
    )


cdef bint gcm_open(
        const EspCipher *e, void *cipher, uint8_t *p, int n,
        const uint8_t *nonce) noexcept nogil:
    cdef uint8_t *body = p + BODY
    cdef int done
    return (
        start(e, cipher, p, n, nonce)
        and (e.suite == SUITE_AES_GMAC
             or crypto.cipher_update(cipher, body, &done, body, n) == 1)
        and crypto.cipher_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, e.shape.icv_octets, body + n) == 1
        and crypto.cipher_final(cipher, body + n, &done) == 1
    )


# --- a run ------------------------------------------------------------------------------------

cdef Py_ssize_t seal_gcm_run(
        const EspCipher *e, uint8_t *arena, PacketDesc *desc, Py_ssize_t n,
        const uint8_t *nonces) noexcept nogil:
    cdef LibraryState *s = NULL
    cdef Py_ssize_t i, stay = 0
    cdef int octets
    if e.backend != BY_LIBCRYPTO:
        seal_direct(e, arena, desc, n, nonces)
    else:
        s = library_state(e)
    for i in range(n):
        if desc[i].verdict != FORWARD:
            continue
        if e.backend == BY_LIBCRYPTO:
            octets = <int>desc[i].length - BODY - e.shape.icv_octets
            if s == NULL or not gcm_seal(
                    e, s.cipher, arena + desc[i].offset, octets, nonces + i * NONCE_STRIDE):
                drop(&desc[i], R_CIPHER_FAILED)
                continue
        stay += 1
    return stay


cdef void open_gcm_run(
        const EspCipher *e, uint8_t *arena, PacketDesc *desc, Py_ssize_t n,
        const uint8_t *nonces) noexcept nogil:
    cdef LibraryState *s
    cdef Py_ssize_t i
    cdef int octets
    if e.backend != BY_LIBCRYPTO:
        open_direct(e, arena, desc, n, nonces)
        return
    s = library_state(e)
    for i in range(n):
        if desc[i].verdict != FORWARD:
            continue
        octets = <int>desc[i].length - BODY - e.shape.icv_octets
        if s == NULL:
            drop(&desc[i], R_CIPHER_FAILED)
        elif not gcm_open(
                e, s.cipher, arena + desc[i].offset, octets, nonces + i * NONCE_STRIDE):
            drop(&desc[i], R_ICV_WRONG)
