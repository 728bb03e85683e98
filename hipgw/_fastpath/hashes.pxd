"""SHA-1, SHA-256 and SHA-384 of the system's libcrypto, one shape for all; see hashes.pyx."""

from hipgw._fastpath.c.sha cimport ShaFinal, ShaInit, ShaTransform, ShaUpdate

cdef struct Hash:
    ShaInit init
    ShaUpdate update
    ShaFinal final
    ShaTransform transform
    int digest_octets
    int block_octets
    int word_octets             # of the chaining value; half of the length field in the padding

# The hash with digests of that many octets (20, 32 or 48); NULL: there is none. For the life of
# the process.
cdef const Hash *hash_of(int digest_octets) noexcept nogil
