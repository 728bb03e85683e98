"""R1s made ahead by the control plane, and the kernel that fills one in for an Initiator.

An R1 is signed without its receiver, the opaque field and I of its PUZZLE, and its checksum (RFC
7401 section 5.2.15). Steps of the kernel:
1. Copy the template; put in receiver and opaque.
2. I: one compression of SHA-384 over secret | HIT-I | HIT-R | addresses | opaque | stamp, cut, and
   the stamp behind it. The engine makes the same I from the I2 and so knows it (proto/puzzle_nonce,
   which also says why nobody can guess it).
3. Over raw IP the checksum: the template's sum is known, so only what was put in is added.

An offer is checked when it is made, and constant from then on; its secret is wiped when it goes.
"""

from __future__ import annotations

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset

from hipgw._fastpath.c.sha cimport SHA_CHAINING_OCTETS
from hipgw._fastpath.checksum cimport fold, ones_sum
from hipgw._fastpath.hashes cimport Hash, hash_of
from hipgw._fastpath.octets cimport store_be16, store_be64

cdef enum:
    HIP_HEADER = 40
    HIP_PROTOCOL = 139
    CHECKSUM_AT = 4
    RECEIVER_AT = 24
    HIT_OCTETS = 16
    SHA384_OCTETS = 48
    BLOCK_OCTETS = 128
    LENGTH_AT = BLOCK_OCTETS - 8    # the message is shorter than 2^64 bits


cdef inline int stamp_octets(int nonce_octets) noexcept nogil:
    return min(<int>STAMP_OCTETS_MOST, nonce_octets // 2)


cdef void write_nonce(
        const R1Offer *offer, const R1Template *template, const Asker *asker, uint64_t stamp_us,
        uint8_t *out) noexcept nogil:
    """I of this template's length: 32 + 32 + 32 + 2 + 6 octets at most, so one block."""
    cdef uint8_t[BLOCK_OCTETS] block
    cdef uint8_t[SHA384_OCTETS] digest
    cdef ShaState state
    cdef int stamp = stamp_octets(template.nonce_octets)
    cdef uint64_t most = (<uint64_t>1 << (8 * stamp)) - 1
    cdef int at = 0
    cdef int i
    memset(block, 0, BLOCK_OCTETS)
    memcpy(block, offer.secret, SECRET_OCTETS)
    memcpy(block + SECRET_OCTETS, asker.sender, HIT_OCTETS)
    memcpy(block + SECRET_OCTETS + HIT_OCTETS, template.local_hit, HIT_OCTETS)
    at = SECRET_OCTETS + 2 * HIT_OCTETS
    if offer.binds_addresses:
        memcpy(block + at, asker.peer, asker.address_octets)
        at += asker.address_octets
        memcpy(block + at, asker.local, asker.address_octets)
        at += asker.address_octets
    memcpy(block + at, offer.opaque, OPAQUE_OCTETS)
    at += OPAQUE_OCTETS
    stamp_us = min(stamp_us, most)
    for i in range(stamp):
        block[at + i] = <uint8_t>(stamp_us >> (8 * (stamp - 1 - i)))
    memcpy(out + template.nonce_octets - stamp, block + at, stamp)
    at += stamp
    block[at] = 0x80
    store_be64(block + LENGTH_AT, 8 * at)
    memcpy(&state, &offer.start, SHA_CHAINING_OCTETS)
    offer.transform(&state, block)
    for i in range(SHA384_OCTETS // 8):
        store_be64(digest + 8 * i, state.words[i])
    memcpy(out, digest, template.nonce_octets - stamp)
    memset(block, 0, SECRET_OCTETS)


cdef uint32_t pseudo_sum(const Asker *asker, uint32_t length) noexcept nogil:
    return ones_sum(
        asker.peer, asker.address_octets,
        ones_sum(asker.local, asker.address_octets, length + HIP_PROTOCOL))


cdef uint32_t fill_r1(
        const R1Offer *offer, const R1Template *template, const Asker *asker, uint64_t stamp_us,
        bint is_raw, uint8_t *out) noexcept nogil:
    cdef uint8_t *puzzle = out + template.opaque_at
    cdef uint32_t total
    memcpy(out, template.octets, template.length)
    memcpy(out + RECEIVER_AT, asker.sender, HIT_OCTETS)
    memcpy(puzzle, offer.opaque, OPAQUE_OCTETS)
    write_nonce(offer, template, asker, stamp_us, puzzle + OPAQUE_OCTETS)
    if is_raw:
        total = pseudo_sum(asker, template.length) + template.sum
        total = ones_sum(asker.sender, HIT_OCTETS, total)
        total = ones_sum(puzzle, OPAQUE_OCTETS + template.nonce_octets, total)
        store_be16(out + CHECKSUM_AT, <uint16_t>~fold(total))
    return template.length


cdef const R1Template *find_r1(
        const R1Offer *offer, const uint8_t *local_hit, uint8_t group) noexcept nogil:
    cdef int i
    for i in range(offer.count):
        if (offer.templates[i].group == group
                and memcmp(offer.templates[i].local_hit, local_hit, HIT_OCTETS) == 0):
            return &offer.templates[i]
    return NULL


cdef bint offers_for(const R1Offer *offer, const uint8_t *hit) noexcept nogil:
    cdef int i
    for i in range(offer.count):
        if memcmp(offer.templates[i].local_hit, hit, HIT_OCTETS) == 0:
            return True
    return False


cdef void free_offer(void *thing) noexcept nogil:
    cdef R1Offer *offer = <R1Offer *>thing
    cdef int i
    if offer == NULL:
        return
    if offer.templates != NULL:
        for i in range(offer.count):
            free(offer.templates[i].octets)
    free(offer.templates)
    memset(offer.secret, 0, SECRET_OCTETS)
    free(offer)


cdef int fill_template(
        R1Template *template, bytes local_hit, int group, bytes octets, Py_ssize_t opaque_at,
        int nonce_octets) except -1:
    """Check one R1 and copy it; everything that the kernel trusts is checked here."""
    cdef const uint8_t *p = octets
    cdef Py_ssize_t length = len(octets)
    cdef uint8_t *copy
    if len(local_hit) != HIT_OCTETS:
        raise ValueError(f"HIT of {len(local_hit)} octets: expected {HIT_OCTETS}")
    if not 1 <= group < GROUPS:
        raise ValueError(f"Diffie-Hellman group {group}: expected 1 to {GROUPS - 1}")
    if not HIP_HEADER <= length <= R1_OCTETS_MOST or length % 8 or (p[1] + 1) * 8 != length:
        raise ValueError(f"R1 of {length} octets: not what its Header Length says")
    if not 1 <= nonce_octets <= NONCE_OCTETS_MOST:
        raise ValueError(f"I of {nonce_octets} octets: expected 1 to {NONCE_OCTETS_MOST}")
    if (opaque_at < HIP_HEADER or opaque_at % 2
            or opaque_at + OPAQUE_OCTETS + nonce_octets > length):
        raise ValueError(f"opaque field at {opaque_at} does not fit R1 and checksum")
    copy = <uint8_t *>malloc(length)
    if copy == NULL:
        raise MemoryError
    memcpy(copy, p, length)
    memset(copy + CHECKSUM_AT, 0, 2)
    memset(copy + RECEIVER_AT, 0, HIT_OCTETS)
    memset(copy + opaque_at, 0, OPAQUE_OCTETS + nonce_octets)
    memcpy(template.local_hit, <const uint8_t *>local_hit, HIT_OCTETS)
    template.octets = copy
    template.sum = ones_sum(copy, length, 0)
    template.length = <uint16_t>length
    template.opaque_at = <uint16_t>opaque_at
    template.nonce_octets = <uint8_t>nonce_octets
    template.group = <uint8_t>group
    return 0


cdef int fill_offer(R1Offer *offer, bytes groups, list templates) except -1:
    cdef const Hash *sha384 = hash_of(SHA384_OCTETS)
    cdef Py_ssize_t i
    for i in range(len(groups)):
        if offer.rank[groups[i]] == 0:
            offer.rank[groups[i]] = <uint8_t>(i + 1)
    sha384.init(&offer.start)
    offer.transform = sha384.transform
    offer.templates = <R1Template *>calloc(max(len(templates), 1), sizeof(R1Template))
    if offer.templates == NULL:
        raise MemoryError
    for local_hit, group, octets, opaque_at, nonce_octets in templates:
        fill_template(
            &offer.templates[offer.count], local_hit, group, octets, opaque_at, nonce_octets)
        offer.count += 1
    return 0


cdef R1Offer *new_offer(
        bytes opaque, bytes secret, uint64_t began_us, bint binds_addresses, bytes groups,
        list templates) except NULL:
    cdef R1Offer *offer
    if len(opaque) != OPAQUE_OCTETS or len(secret) != SECRET_OCTETS:
        raise ValueError(
            f"opaque of {len(opaque)} octets and secret of {len(secret)}: expected "
            f"{OPAQUE_OCTETS} and {SECRET_OCTETS}")
    if not 1 <= len(groups) < GROUPS:
        raise ValueError(f"{len(groups)} Diffie-Hellman groups: expected 1 to {GROUPS - 1}")
    offer = <R1Offer *>calloc(1, sizeof(R1Offer))
    if offer == NULL:
        raise MemoryError
    memcpy(offer.opaque, <const uint8_t *>opaque, OPAQUE_OCTETS)
    memcpy(offer.secret, <const uint8_t *>secret, SECRET_OCTETS)
    offer.began_us = began_us
    offer.binds_addresses = binds_addresses
    try:
        fill_offer(offer, groups, templates)
    except BaseException:
        free_offer(offer)
        raise
    return offer
