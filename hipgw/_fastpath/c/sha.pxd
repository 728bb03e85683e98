"""The SHA functions of OpenSSL 3's libcrypto that work on a context of the caller.

Written from OpenSSL's manual page SHA256_Init(3) and FIPS 180-4; no header of OpenSSL is needed to
build. SHA_CTX (96 octets), SHA256_CTX (112) and SHA512_CTX (216) are part of the ABI because
callers allocate them; each begins with the chaining value, words of 32 or 64 bits in the order of
the machine. One type that is as large as the largest stands for all three.
"""

from libc.stdint cimport uint8_t, uint64_t

cdef enum:
    SHA_CHAINING_WORDS = 8          # the first words of ShaState, of 64 bits
    SHA_CHAINING_OCTETS = 64        # SHA-1 uses 20 of them, SHA-256 uses 32

cdef struct ShaState:
    uint64_t words[27]

ctypedef int (*ShaInit)(ShaState *) noexcept nogil
ctypedef int (*ShaUpdate)(ShaState *, const void *, size_t) noexcept nogil
ctypedef int (*ShaFinal)(uint8_t *, ShaState *) noexcept nogil
# One block into the chaining value; reads and writes nothing else of the context.
ctypedef void (*ShaTransform)(ShaState *, const uint8_t *) noexcept nogil
