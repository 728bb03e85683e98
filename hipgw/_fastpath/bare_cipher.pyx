"""AES-128-GCM without ESP around it: what the ESP kernels are measured against.

One call per packet of the library that carries AES-GCM now, over the same octets of the same arena
as `esp_seal_batch` leaves them: SPI and sequence number as additional data, the body in place, the
tag behind it.  Nothing is numbered, framed, checked or counted.
"""

from libc.stdint cimport uint8_t
from libc.stdlib cimport free
from libc.string cimport memset
from posix.stdlib cimport posix_memalign

from hipgw._fastpath.c.ipsec_mb cimport GCM_CONTEXT_OCTETS, GCM_KEY_DATA_ALIGN
from hipgw._fastpath.c.libcrypto cimport EVP_CTRL_AEAD_GET_TAG
from hipgw._fastpath.descriptor cimport PacketDesc
from hipgw._fastpath.esp_cipher cimport ESP_HEADER
from hipgw._fastpath.ipsec_mb cimport GcmKernel, current_gcm
from hipgw._fastpath.libcrypto cimport crypto

from hipgw._fastpath.descriptor import check_batch

cdef enum:
    KEY = 16
    NONCE = 12
    IV = 8
    TAG = 16


cdef class BareGcm:
    """One key, one nonce, sealing over and over: for benchmarks, and never for a wire.

    Args:
        key: 16 octets.

    Raises:
        ValueError: a key of another length.
    """

    cdef GcmKernel gcm
    cdef bint is_direct
    cdef void *gcm_key
    cdef void *cipher
    cdef uint8_t nonce[NONCE]

    def __cinit__(self, bytes key not None) -> None:
        cdef bint ready
        if len(key) != KEY:
            raise ValueError(f"AES-128 takes a key of {KEY} octets, not {len(key)}")
        memset(self.nonce, 0, NONCE)
        self.is_direct = current_gcm() != NULL
        if self.is_direct:
            self.gcm = current_gcm()[0]
            ready = posix_memalign(&self.gcm_key, GCM_KEY_DATA_ALIGN, self.gcm.key_octets) == 0
            if ready:
                self.gcm.pre(<const uint8_t *>key, self.gcm_key)
        else:
            self.cipher = crypto.cipher_new()
            ready = self.cipher != NULL and crypto.cipher_init(
                self.cipher, crypto.aes_128_gcm, NULL, <const uint8_t *>key, self.nonce, 1) == 1
        if not ready:
            raise MemoryError

    def __dealloc__(self) -> None:
        if self.gcm_key != NULL:
            crypto.cleanse(self.gcm_key, self.gcm.key_octets)
            free(self.gcm_key)
        crypto.cipher_free(self.cipher)

    def seal_batch(self, uint8_t[::1] arena not None, uint8_t[::1] descriptors not None) -> None:
        """Encrypt and tag every packet, laid out as AES-GCM-16 lays it out: SPI to ICV."""
        cdef Py_ssize_t n = check_batch(arena.shape[0], descriptors, 1, 0, 0)
        cdef PacketDesc *desc = <PacketDesc *>&descriptors[0] if n else NULL
        cdef Py_ssize_t i
        for i in range(n):
            if desc[i].length < ESP_HEADER + IV + TAG:
                raise ValueError(f"packet of {desc[i].length} octets is no ESP of AES-GCM-16")
        if n == 0:
            return
        with nogil:
            if self.is_direct:
                self.direct(&arena[0], desc, n)
            else:
                self.by_libcrypto(&arena[0], desc, n)

    cdef void direct(self, uint8_t *arena, const PacketDesc *desc, Py_ssize_t n) noexcept nogil:
        cdef uint8_t context[GCM_CONTEXT_OCTETS]
        cdef uint8_t *p
        cdef uint8_t *body
        cdef Py_ssize_t i, octets
        for i in range(n):
            p = arena + desc[i].offset
            body = p + ESP_HEADER + IV
            octets = desc[i].length - ESP_HEADER - IV - TAG
            self.gcm.seal(self.gcm_key, context, body, body, octets, self.nonce, p, ESP_HEADER,
                          body + octets, TAG)

    cdef void by_libcrypto(
            self, uint8_t *arena, const PacketDesc *desc, Py_ssize_t n) noexcept nogil:
        cdef uint8_t *p
        cdef uint8_t *body
        cdef Py_ssize_t i
        cdef int octets, done
        for i in range(n):
            p = arena + desc[i].offset
            body = p + ESP_HEADER + IV
            octets = <int>(desc[i].length - ESP_HEADER - IV - TAG)
            crypto.cipher_init(self.cipher, NULL, NULL, NULL, self.nonce, -1)
            crypto.cipher_update(self.cipher, NULL, &done, p, ESP_HEADER)
            crypto.cipher_update(self.cipher, body, &done, body, octets)
            crypto.cipher_final(self.cipher, body + octets, &done)
            crypto.cipher_ctrl(self.cipher, EVP_CTRL_AEAD_GET_TAG, TAG, body + octets)
