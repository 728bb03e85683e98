"""AES-CBC and HMAC of intel-ipsec-mb over many packets at once; see bursts.pyx."""

from libc.stdint cimport uint32_t, uint64_t

from hipgw._fastpath.c.ipsec_mb cimport (
    ImbCipherBurst,
    ImbExpand,
    ImbHashBurst,
    ImbManager,
    ImbOneBlock,
)

cdef enum:
    BURST_VARIANTS = 3

cdef struct BurstCalls:
    # One instruction set's functions; managers and keys of one mean nothing to another.
    ImbManager init
    ImbCipherBurst cipher
    ImbHashBurst hash
    ImbExpand expand_128
    ImbExpand expand_256
    ImbOneBlock sha1_block
    ImbOneBlock sha256_block
    uint64_t job_octets

cdef struct BurstLeast:
    # A shorter run of packets goes to libcrypto.
    uint32_t seal
    uint32_t open

# Whether there is any variant.
cdef bint has_bursts() noexcept nogil

# The variant for SAs of a suite that are keyed from now on, from 1, or 0: libcrypto.
cdef int current_bursts(int suite) noexcept nogil

# The functions of a variant from 1, and from how many packets on they carry a suite that
# `current_bursts` has named; both stay for the life of the process.
cdef const BurstCalls *burst_calls(int backend) noexcept nogil
cdef const BurstLeast *burst_least(int suite, int backend) noexcept nogil

# A manager of a variant from 1, or NULL without memory; NULL may be freed.
cdef void *new_manager(int backend) noexcept
cdef void free_manager(void *manager) noexcept

# Octets of a manager.
cdef uint64_t manager_octets() noexcept nogil
