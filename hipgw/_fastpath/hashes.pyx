"""The hashes of HIP's RHASH (RFC 7401 section 3), looked up in libcrypto.so.3 at import.

These are the functions below EVP: no allocation, no reference counts, and a context that is copied
by assignment. libcrypto picks the instructions of the processor (SHA-NI) in them as in EVP.
"""

import sys

from libc.stdint cimport int64_t, uint8_t

from hipgw._fastpath.c.dlfcn cimport RTLD_LOCAL, RTLD_NOW, dlerror, dlopen, dlsym
from hipgw._fastpath.c.sha cimport ShaState

from hipgw._fastpath.libcrypto import LIBRARY as _LIBRARY

_REMEDY = "install OpenSSL 3 (Debian: apt install libssl3)"

cdef enum:
    HASHES = 3
    DIGEST_MOST = 64                # SHA512_Final writes what the context asks for, at most this

cdef Hash hashes[HASHES]            # filled before the import returns, constant afterwards


cdef void *_symbol(void *library, str name) except NULL:
    cdef void *address = dlsym(library, name.encode())
    if address == NULL:
        raise ImportError(f"{_LIBRARY} lacks {name}: {_REMEDY}")
    return address


cdef int _look_up(
    void *library, Hash *entry, str name, str compressor, int digest_octets, int block_octets
) except -1:
    entry.init = <ShaInit>_symbol(library, f"{name}_Init")
    entry.update = <ShaUpdate>_symbol(library, f"{name}_Update")
    entry.final = <ShaFinal>_symbol(library, f"{name}_Final")
    entry.transform = <ShaTransform>_symbol(library, f"{compressor}_Transform")
    entry.digest_octets = digest_octets
    entry.block_octets = block_octets
    entry.word_octets = block_octets // 16      # FIPS 180-4 section 5.2: a block is 16 words
    return 0


cdef int _open() except -1:
    cdef void *library = dlopen(_LIBRARY.encode(), RTLD_NOW | RTLD_LOCAL)
    if library == NULL:
        raise ImportError(f"cannot open {_LIBRARY} ({dlerror().decode()}): {_REMEDY}")
    _look_up(library, &hashes[0], "SHA1", "SHA1", 20, 64)
    _look_up(library, &hashes[1], "SHA256", "SHA256", 32, 64)
    # SHA-384 is SHA-512 from another start, cut short (FIPS 180-4 section 6.5)
    _look_up(library, &hashes[2], "SHA384", "SHA512", 48, 128)
    return 0


cdef const Hash *hash_of(int digest_octets) noexcept nogil:
    cdef int index
    for index in range(HASHES):
        if hashes[index].digest_octets == digest_octets:
            return &hashes[index]
    return NULL


cdef const Hash *_known(int digest_octets) except NULL:
    cdef const Hash *entry = hash_of(digest_octets)
    if entry == NULL:
        raise ValueError(f"no hash with a digest of {digest_octets} octets: expected 20, 32 or 48")
    return entry


def hash_times(int digest_octets, bytes message not None, int64_t times) -> bytes:
    """Hash `message` that often, as anybody calls libcrypto: the raw rate of this core.

    Returns the digest, of zero octets when `times` is 0. The GIL is released.
    """
    cdef const Hash *entry = _known(digest_octets)
    cdef const uint8_t *octets = message
    cdef size_t length = len(message)
    cdef ShaState state
    cdef uint8_t[DIGEST_MOST] digest
    cdef int64_t _done
    if times <= 0:
        return b""
    with nogil:
        for _done in range(times):
            entry.init(&state)
            entry.update(&state, octets, length)
            entry.final(digest, &state)
    return digest[:digest_octets]


def compress_times(int digest_octets, bytes blocks not None, int64_t times) -> bytes:
    """Compress whole `blocks` that often, one after the other: what no search can avoid.

    Nothing is padded, copied or compared. Returns the chaining value in the form of a digest. The
    GIL is released.
    """
    cdef const Hash *entry = _known(digest_octets)
    cdef const uint8_t *octets = blocks
    cdef Py_ssize_t length = len(blocks)
    cdef Py_ssize_t at
    cdef ShaState state
    cdef int64_t _done
    if length % entry.block_octets:
        raise ValueError(f"expected blocks of {entry.block_octets} octets, got {length}")
    entry.init(&state)
    with nogil:
        for _done in range(times):
            at = 0
            while at < length:
                entry.transform(&state, octets + at)
                at += entry.block_octets
    digest = bytearray((<const uint8_t *>&state)[:digest_octets])
    if sys.byteorder == "little":
        for at in range(0, digest_octets, entry.word_octets):
            digest[at:at + entry.word_octets] = digest[at:at + entry.word_octets][::-1]
    return bytes(digest)


_open()
