"""The cipher of an ESP suite over the packets of an arena and nothing else, to measure ESP against.

Descriptors are those of sealed packets, SPI..ICV, so it works on the very octets that the ESP
kernels do. It numbers nothing, pads nothing, checks no replay and moves no descriptor.

AES-GCM and GMAC are called as anybody would: libcrypto's init with a nonce, additional data,
payload, final and tag for each packet; or the one call of intel-ipsec-mb. The other suites go
through the cipher and MAC of one packet as `esp_cipher` has them, because CBC's chain and HMAC's
copies are its own.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

from hipgw._fastpath.c.ipsec_mb cimport GCM_CONTEXT_OCTETS
from hipgw._fastpath.c.libcrypto cimport EVP_CTRL_AEAD_GET_TAG, EVP_CTRL_AEAD_SET_TAG
from hipgw._fastpath.descriptor cimport PacketDesc
from hipgw._fastpath.esp_cipher cimport (
    ESP_HEADER,
    esp_cipher_init,
    esp_cipher_wipe,
    open_packet,
    seal_packet,
)
from hipgw._fastpath.key_cache cimport (
    KeyRoom,
    find_slot,
    key_room_free,
    key_room_init,
    make_slot,
)
from hipgw._fastpath.libcrypto cimport crypto
from hipgw._fastpath.sa cimport SUITE_AES_GMAC, EspCipher

from hipgw._fastpath.descriptor import check_batch

cdef enum:
    SALT = 4
    COUNTER_IV = 8
    NONCE = SALT + COUNTER_IV
    TAG = 16


cdef bint seal_by_libcrypto(
        void *cipher, const EspCipher *e, const uint8_t *nonce, uint8_t *p, int n) noexcept nogil:
    cdef uint8_t *body = p + ESP_HEADER + COUNTER_IV
    cdef uint8_t *into = NULL if e.suite == SUITE_AES_GMAC else body
    cdef int done
    return (
        crypto.cipher_init(cipher, NULL, NULL, NULL, nonce, -1) == 1
        and crypto.cipher_update(cipher, NULL, &done, p, ESP_HEADER) == 1
        and crypto.cipher_update(cipher, into, &done, body, n) == 1
        and crypto.cipher_final(cipher, body + n, &done) == 1
        and crypto.cipher_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, e.shape.icv_octets, body + n) == 1
    )


cdef bint open_by_libcrypto(
        void *cipher, const EspCipher *e, const uint8_t *nonce, uint8_t *p, int n) noexcept nogil:
    cdef uint8_t *body = p + ESP_HEADER + COUNTER_IV
    cdef uint8_t *into = NULL if e.suite == SUITE_AES_GMAC else body
    cdef int done
    return (
        crypto.cipher_init(cipher, NULL, NULL, NULL, nonce, -1) == 1
        and crypto.cipher_update(cipher, NULL, &done, p, ESP_HEADER) == 1
        and crypto.cipher_update(cipher, into, &done, body, n) == 1
        and crypto.cipher_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, e.shape.icv_octets, body + n) == 1
        and crypto.cipher_final(cipher, body + n, &done) == 1
    )


cdef Py_ssize_t gcm_batch(
        const EspCipher *e, uint8_t *arena, const PacketDesc *desc, Py_ssize_t count,
        bint seal) noexcept nogil:
    """The bare calls of the backend that `e` was keyed for; how many went well.

    The key is set up before the first packet, once a batch at most.
    """
    cdef uint8_t nonce[NONCE]
    cdef uint8_t tag[TAG]
    cdef uint8_t context[GCM_CONTEXT_OCTETS]
    cdef Py_ssize_t well = 0
    cdef Py_ssize_t i
    cdef Py_ssize_t slot = find_slot(e.keys, e.key_number)
    cdef uint8_t *p
    cdef uint8_t *body
    cdef uint16_t icv = e.shape.icv_octets
    cdef int n
    if slot < 0:
        slot = make_slot(e.keys, e.key_number, e.gcm, e.key, seal)
    if slot < 0:
        return 0
    memcpy(nonce, e.salt, SALT)
    for i in range(count):
        p = arena + desc[i].offset
        n = <int>desc[i].length - ESP_HEADER - COUNTER_IV - icv
        body = p + ESP_HEADER + COUNTER_IV
        memcpy(nonce + SALT, p + ESP_HEADER, COUNTER_IV)
        if e.gcm == NULL:
            well += (seal_by_libcrypto(e.keys.cipher[slot], e, nonce, p, n) if seal
                     else open_by_libcrypto(e.keys.cipher[slot], e, nonce, p, n))
        elif seal:
            e.gcm.seal(
                e.keys.data + slot * e.keys.stride, context, body, body, n, nonce, p, ESP_HEADER,
                body + n, icv)
            well += 1
        else:
            e.gcm.open(
                e.keys.data + slot * e.keys.stride, context, body, body, n, nonce, p, ESP_HEADER,
                tag, TAG)
            well += crypto.memcmp(tag, body + n, icv) == 0
    return well


cdef Py_ssize_t packet_batch(
        const EspCipher *e, uint8_t *arena, const PacketDesc *desc, Py_ssize_t count,
        bint seal) noexcept nogil:
    """Cipher and MAC of one packet after the other; how many went well."""
    cdef Py_ssize_t well = 0
    cdef Py_ssize_t i
    for i in range(count):
        if seal:
            well += seal_packet(e, arena + desc[i].offset, desc[i].length)
        else:
            well += open_packet(e, arena + desc[i].offset, desc[i].length)
    return well


cdef class BareCipher:
    """One key in one direction, for the backend that `ipsec_mb.use` has chosen before."""

    cdef EspCipher cipher
    cdef KeyRoom keys
    cdef bint seals
    cdef uint32_t least_octets

    def __cinit__(
        self, int suite, bytes encryption_key not None, bytes authentication_key not None, *,
        bint seal,
    ) -> None:
        if key_room_init(&self.keys, seal) != 0:
            raise MemoryError
        if esp_cipher_init(
            &self.cipher, suite, <const uint8_t *>encryption_key, len(encryption_key),
            <const uint8_t *>authentication_key, len(authentication_key), &self.keys,
        ) != 0:
            raise ValueError(f"ESP suite {suite} with keys of {len(encryption_key)} and "
                             f"{len(authentication_key)} octets cannot be used")
        self.seals = seal
        self.least_octets = (
            ESP_HEADER + self.cipher.shape.iv_octets + self.cipher.shape.align_octets
            + self.cipher.shape.icv_octets)

    def __dealloc__(self) -> None:
        esp_cipher_wipe(&self.cipher)
        key_room_free(&self.keys)

    def run_batch(
        self, uint8_t[::1] arena not None, const uint8_t[::1] descriptors not None
    ) -> int:
        """Seal or open uint8[octets] in place under uint8[n * 20]; how many went well.

        Raises ValueError for a descriptor that leaves the arena or is no packet of the suite.
        """
        cdef Py_ssize_t n = check_batch(arena.shape[0], descriptors, 1, 0, 0)
        cdef const PacketDesc *desc
        cdef Py_ssize_t well, i
        if n == 0:
            return 0
        desc = <const PacketDesc *>&descriptors[0]
        for i in range(n):
            if desc[i].length < self.least_octets or desc[i].verdict != 0:
                raise ValueError(f"descriptor {i} is no sealed packet")
        with nogil:
            if self.cipher.keys != NULL:
                well = gcm_batch(&self.cipher, &arena[0], desc, n, self.seals)
            else:
                well = packet_batch(&self.cipher, &arena[0], desc, n, self.seals)
        return well
