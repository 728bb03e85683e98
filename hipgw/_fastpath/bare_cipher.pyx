"""The cipher of an ESP suite over the packets of an arena and nothing else, to measure ESP against.

Descriptors are those of sealed packets, SPI..ICV, so it works on the very octets that the ESP
kernels do. It numbers nothing, pads nothing, checks no replay and moves no descriptor.

AES-GCM and GMAC are called as anybody would: libcrypto's init with a nonce, additional data,
payload, final and tag for each packet; or the one call of intel-ipsec-mb. Its bursts are a job for
each packet, under one key, and two calls. The other suites go through the cipher and MAC of one
packet as `esp_library` has them, because CBC's chain and HMAC's copies are its own.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

from hipgw._fastpath.c.ipsec_mb cimport GCM_CONTEXT_OCTETS, IMB_BURST_MOST
from hipgw._fastpath.descriptor cimport PacketDesc
from hipgw._fastpath.esp_bursts cimport (
    Burst,
    begin_burst,
    burst_keys,
    is_authentic,
    lay_out,
    run_cipher,
    run_hash,
)
from hipgw._fastpath.esp_cipher cimport esp_cipher_init, esp_cipher_wipe, is_gcm
from hipgw._fastpath.esp_gcm cimport direct_key, gcm_open, gcm_seal
from hipgw._fastpath.esp_library cimport (
    COUNTER_IV,
    ESP_HEADER,
    NONCE_STRIDE,
    library_state,
    open_packet,
    seal_packet,
)
from hipgw._fastpath.ipsec_mb cimport GcmKernel, gcm_kernel
from hipgw._fastpath.key_cache cimport (
    BurstKeys,
    KeyRoom,
    LibraryState,
    key_room_free,
    key_room_init,
)
from hipgw._fastpath.libcrypto cimport crypto
from hipgw._fastpath.sa cimport BY_LIBCRYPTO, SUITE_AES_GMAC, EspCipher

from hipgw._fastpath.descriptor import check_batch

cdef enum:
    SALT = 4
    NONCE = SALT + COUNTER_IV
    AHEAD = 64
    BODY = ESP_HEADER + COUNTER_IV
    TAG = 16


cdef Py_ssize_t library_gcm_batch(
        const EspCipher *e, uint8_t *arena, const PacketDesc *desc, Py_ssize_t count,
        bint seal) noexcept nogil:
    cdef LibraryState *s = library_state(e)
    cdef uint8_t nonce[NONCE]
    cdef Py_ssize_t well = 0
    cdef Py_ssize_t i
    cdef uint8_t *p
    cdef int n
    if s == NULL:
        return 0
    memcpy(nonce, e.mac_key, SALT)
    for i in range(count):
        p = arena + desc[i].offset
        n = <int>desc[i].length - BODY - e.shape.icv_octets
        memcpy(nonce + SALT, p + ESP_HEADER, COUNTER_IV)
        if seal:
            well += gcm_seal(e, s.cipher, p, n, nonce)
        else:
            well += gcm_open(e, s.cipher, p, n, nonce)
    return well


cdef Py_ssize_t direct_gcm_batch(
        const EspCipher *e, uint8_t *arena, const PacketDesc *desc, Py_ssize_t count,
        bint seal) noexcept nogil:
    """Nonces are laid out some packets ahead, or the cipher would wait for them (esp_gcm.pyx)."""
    cdef const GcmKernel *gcm = gcm_kernel(e.backend)
    cdef const void *key_data = direct_key(e, gcm)
    cdef uint8_t nonces[AHEAD * NONCE_STRIDE]
    cdef uint8_t *nonce
    cdef uint8_t tag[TAG]
    cdef uint8_t context[GCM_CONTEXT_OCTETS]
    cdef Py_ssize_t well = 0
    cdef Py_ssize_t i, k
    cdef uint8_t *p
    cdef uint16_t icv = e.shape.icv_octets
    cdef int n
    for i in range(count):
        if i % AHEAD == 0:
            for k in range(i, min(count, i + AHEAD)):
                nonce = nonces + k % AHEAD * NONCE_STRIDE
                memcpy(nonce, e.mac_key, SALT)
                memcpy(nonce + SALT, arena + desc[k].offset + ESP_HEADER, COUNTER_IV)
        p = arena + desc[i].offset
        n = <int>desc[i].length - BODY - icv
        nonce = nonces + i % AHEAD * NONCE_STRIDE
        if seal:
            gcm.seal(
                key_data, context, p + BODY, p + BODY, n, nonce, p, ESP_HEADER, p + BODY + n, icv)
            well += 1
        else:
            gcm.open(
                key_data, context, p + BODY, p + BODY, n, nonce, p, ESP_HEADER, tag, TAG)
            well += crypto.memcmp(tag, p + BODY + n, icv) == 0
    return well


cdef Py_ssize_t burst_batch(
        const EspCipher *e, uint8_t *arena, const PacketDesc *desc, Py_ssize_t count,
        bint seal) noexcept nogil:
    """Bursts as long as they may be; the IV of each packet is the one that stands there."""
    cdef BurstKeys *keys
    cdef Burst b
    cdef Py_ssize_t well = 0
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t end, k
    while i < count:
        end = min(count, i + IMB_BURST_MOST)
        begin_burst(&b, e)
        keys = burst_keys(&b, e)
        for k in range(i, end):
            lay_out(&b, keys, arena + desc[k].offset, desc[k].length, seal)
        if seal:
            well += b.count if run_cipher(&b, True) and run_hash(&b) else 0
        elif run_hash(&b):
            for k in range(i, end):
                well += is_authentic(
                    &b, <uint32_t>(k - i),
                    arena + desc[k].offset + desc[k].length - e.shape.icv_octets)
            run_cipher(&b, False)
        i = end
    return well


cdef Py_ssize_t packet_batch(
        const EspCipher *e, uint8_t *arena, const PacketDesc *desc, Py_ssize_t count,
        bint seal) noexcept nogil:
    """Cipher and MAC of one packet after the other; how many went well."""
    cdef LibraryState *s = library_state(e)
    cdef Py_ssize_t well = 0
    cdef Py_ssize_t i
    if s == NULL:
        return 0
    for i in range(count):
        if seal:
            well += seal_packet(e, s, arena + desc[i].offset, desc[i].length, NULL)
        else:
            well += open_packet(e, s, arena + desc[i].offset, desc[i].length, NULL)
    return well


cdef Py_ssize_t bare_batch(
        const EspCipher *e, uint8_t *arena, const PacketDesc *desc, Py_ssize_t count,
        bint seal) noexcept nogil:
    """The bare calls of the backend that `e` was keyed for; how many went well.

    The key is set up before the first packet, once a batch at most.
    """
    if e.backend != BY_LIBCRYPTO:
        if is_gcm(e.suite):
            return direct_gcm_batch(e, arena, desc, count, seal)
        return burst_batch(e, arena, desc, count, seal)
    if is_gcm(e.suite) or e.suite == SUITE_AES_GMAC:
        return library_gcm_batch(e, arena, desc, count, seal)
    return packet_batch(e, arena, desc, count, seal)


cdef class BareCipher:
    """One key in one direction, for the backend that `use` of ipsec_mb or bursts has chosen."""

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
            <const uint8_t *>authentication_key, len(authentication_key), False, &self.keys,
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
            well = bare_batch(&self.cipher, &arena[0], desc, n, self.seals)
        return well
