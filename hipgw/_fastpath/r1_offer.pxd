"""R1s made ahead by the control plane, and the kernel that fills one in; see r1_offer.pyx."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from hipgw._fastpath.c.sha cimport ShaState, ShaTransform
from hipgw._fastpath.quiet cimport Retired
from hipgw._fastpath.sources cimport Sources

cdef enum:
    R1_OCTETS_MOST = 2048       # RFC 7401 section 5.1
    SECRET_OCTETS = 32
    OPAQUE_OCTETS = 2
    NONCE_OCTETS_MOST = 48
    STAMP_OCTETS_MOST = 6
    GROUPS = 256

cdef struct R1Template:
    uint8_t local_hit[16]
    uint8_t *octets             # receiver, opaque, I and checksum are zero
    uint32_t sum                # of its 16-bit words
    uint16_t length
    uint16_t opaque_at
    uint8_t nonce_octets
    uint8_t group

cdef struct R1Offer:
    # One generation; constant once published.
    uint8_t opaque[OPAQUE_OCTETS]
    uint8_t secret[SECRET_OCTETS]
    uint64_t began_us
    bint binds_addresses
    uint8_t rank[GROUPS]        # of each Diffie-Hellman group: 1 is our first choice, 0 not ours
    R1Template *templates
    int count
    ShaState start              # SHA-384 before its first block
    ShaTransform transform
    Sources *sources            # the worker's; outlives the offer
    Retired end

# Who asks, and where: all of it as the I1 had it.
cdef struct Asker:
    const uint8_t *sender       # HIT
    const uint8_t *peer         # address
    const uint8_t *local        # address
    int address_octets          # 4 or 16

# Write the R1 to `out` (R1_OCTETS_MOST octets), checksum for raw IP or 0; returns its octets.
cdef uint32_t fill_r1(
    const R1Offer *offer, const R1Template *template, const Asker *asker, uint64_t stamp_us,
    bint is_raw, uint8_t *out) noexcept nogil

# One's complement sum of the pseudo-header of HIP over IP (RFC 7401 section 5.1.1).
cdef uint32_t pseudo_sum(const Asker *asker, uint32_t length) noexcept nogil

# The template of one of our HITs and a group, or NULL.
cdef const R1Template *find_r1(
    const R1Offer *offer, const uint8_t *local_hit, uint8_t group) noexcept nogil
# Whether a HIT is one of ours.
cdef bint offers_for(const R1Offer *offer, const uint8_t *hit) noexcept nogil

# An offer, or an exception: ValueError for templates that cannot be filled in.
cdef R1Offer *new_offer(
    bytes opaque, bytes secret, uint64_t began_us, bint binds_addresses, bytes groups,
    list templates) except NULL
cdef void free_offer(void *offer) noexcept nogil
