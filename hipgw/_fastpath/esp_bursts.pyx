"""AES-CBC and HMAC over the packets of many SAs at once, by intel-ipsec-mb (bursts.pyx).

Seal: each packet a job, all jobs encrypted, then all authenticated. Open: all authenticated, each
ICV compared, then the authentic ones decrypted. Jobs are done in place and before the call returns,
so packets keep their order and an SA that goes later is in no job.

The IV of CBC is the random block R itself (esp_library.pyx encrypts it once more): 128 fresh bits
that nobody can foresee, as RFC 3602 section 3 asks for.

An extended sequence number's upper half, which the hash covers behind the last octet that is sent,
stands where the ICV belongs while a burst is hashed.

Jobs name round keys and hashed pads in the key cache, pinned there until the burst is done.
"""

from libc.string cimport memcpy, memset

from hipgw._fastpath.bursts cimport burst_calls
from hipgw._fastpath.c.ipsec_mb cimport (
    IMB_AUTH_HMAC_SHA_1,
    IMB_AUTH_HMAC_SHA_256,
    IMB_CIPHER_CBC,
    IMB_DIR_DECRYPT,
    IMB_DIR_ENCRYPT,
    ImbJob,
    ImbOneBlock,
)
from hipgw._fastpath.c.libcrypto cimport HASH_BLOCK_OCTETS
from hipgw._fastpath.descriptor cimport BATCH_MOST, FORWARD, drop
from hipgw._fastpath.esp_library cimport (
    AES_BLOCK,
    ESP_HEADER,
    HIGH_AT,
    HIGH_OCTETS,
    NONCE_STRIDE,
    draw_blocks,
)
from hipgw._fastpath.esp_suites cimport suite_shape
from hipgw._fastpath.key_cache cimport KeyCache, claim_slot, find_slot, publish_slot
from hipgw._fastpath.libcrypto cimport crypto
from hipgw._fastpath.reasons cimport R_CIPHER_FAILED, R_ICV_WRONG

cdef enum:
    SHA1_KEY = 20
    ROUND_KEYS = 240                # of AES-256
    ALIGN = 16


cdef void begin_burst(Burst *b, const EspCipher *e) noexcept nogil:
    b.room = e.room
    b.calls = burst_calls(e.backend)
    b.manager = e.room.managers[e.backend]
    b.hash = (
        IMB_AUTH_HMAC_SHA_1 if suite_shape(e.suite).authentication_key_octets == SHA1_KEY
        else IMB_AUTH_HMAC_SHA_256)
    b.key_octets = suite_shape(e.suite).encryption_key_octets
    b.body = ESP_HEADER + e.shape.iv_octets
    b.icv = e.shape.icv_octets
    b.count = 0
    b.extended = 0
    b.room.bursts.burst += 1        # nothing is pinned


# --- keys -------------------------------------------------------------------------------------

cdef void expand(const Burst *b, const uint8_t *key, uint8_t *rounds) noexcept nogil:
    """The round keys of the worker's direction; the others are thrown away."""
    cdef uint8_t room[ROUND_KEYS + ALIGN]
    cdef uint8_t *other = room + (ALIGN - <size_t>room % ALIGN) % ALIGN
    cdef uint8_t *seal = rounds if b.room.seal else other
    cdef uint8_t *open = other if b.room.seal else rounds
    if b.key_octets == 16:
        b.calls.expand_128(key, seal, open)
    else:
        b.calls.expand_256(key, seal, open)
    crypto.cleanse(room, ROUND_KEYS + ALIGN)


cdef void hash_pad(
        ImbOneBlock one_block, const uint8_t *key, int n, uint8_t mask,
        uint8_t *state) noexcept nogil:
    """The hash after the block `key ^ mask` (RFC 2104 section 2); n <= 64 octets."""
    cdef uint8_t block[HASH_BLOCK_OCTETS]
    cdef int i
    memset(block, mask, HASH_BLOCK_OCTETS)
    for i in range(n):
        block[i] ^= key[i]
    one_block(block, state)
    crypto.cleanse(block, HASH_BLOCK_OCTETS)


cdef BurstKeys *burst_keys(Burst *b, const EspCipher *e) noexcept nogil:
    cdef KeyCache *cache = &b.room.bursts
    cdef Py_ssize_t slot = find_slot(cache, e.key_number)
    cdef bint is_new = slot < 0
    cdef BurstKeys *keys
    cdef ImbOneBlock one_block
    cdef int n
    if is_new:
        slot = claim_slot(cache, e.key_number)
        if slot < 0:
            return NULL
    cache.pinned[slot] = cache.burst
    keys = <BurstKeys *>(cache.data + slot * cache.stride)
    if is_new:
        n = suite_shape(e.suite).authentication_key_octets
        one_block = b.calls.sha1_block if n == SHA1_KEY else b.calls.sha256_block
        if b.key_octets != 0:
            expand(b, e.key, keys.rounds)
        hash_pad(one_block, e.mac_key, n, 0x36, keys.inner)
        hash_pad(one_block, e.mac_key, n, 0x5C, keys.outer)
        publish_slot(cache, slot, e.key_number)
    return keys


# --- jobs -------------------------------------------------------------------------------------

cdef inline ImbJob *job_of(const Burst *b, uint32_t k) noexcept nogil:
    return <ImbJob *>(b.room.jobs + k * b.calls.job_octets)


cdef void lay_out(
        Burst *b, BurstKeys *keys, uint8_t *p, uint32_t length, bint seal) noexcept nogil:
    cdef ImbJob *job = job_of(b, b.count)
    cdef uint32_t covered = length - b.icv
    job.encryption_keys = keys.rounds
    job.decryption_keys = keys.rounds
    job.key_octets = b.key_octets
    job.source = p
    job.destination = p + b.body
    job.cipher_offset = b.body
    job.cipher_octets = covered - b.body
    job.hash_offset = 0
    job.hash_octets = covered
    job.iv = p + ESP_HEADER
    job.iv_octets = AES_BLOCK
    job.tag = p + covered if seal else b.tags + b.count * TAG_MOST
    job.tag_octets = b.icv
    job.inner = keys.inner
    job.outer = keys.outer
    job.status = 0
    job.cipher_mode = IMB_CIPHER_CBC
    job.direction = IMB_DIR_ENCRYPT if seal else IMB_DIR_DECRYPT
    job.hash = b.hash
    b.count += 1


cdef void lay_out_extended(
        Burst *b, BurstKeys *keys, uint8_t *p, uint32_t length, bint seal,
        const uint8_t *high) noexcept nogil:
    cdef uint8_t *icv = p + length - b.icv
    lay_out(b, keys, p, length, seal)
    job_of(b, b.count - 1).hash_octets += HIGH_OCTETS
    memcpy(b.covered + (b.count - 1) * HIGH_OCTETS, icv, HIGH_OCTETS)
    memcpy(icv, high, HIGH_OCTETS)
    b.extended += 1


cdef void uncover_icvs(Burst *b) noexcept nogil:
    cdef ImbJob *job
    cdef uint32_t k
    if b.extended == 0:
        return
    for k in range(b.count):
        job = job_of(b, k)
        if job.hash_octets != b.body + job.cipher_octets:
            memcpy(
                <uint8_t *>job.source + b.body + job.cipher_octets,
                b.covered + k * HIGH_OCTETS, HIGH_OCTETS)


cdef bint run_cipher(Burst *b, bint seal) noexcept nogil:
    return b.key_octets == 0 or b.count == 0 or b.count == b.calls.cipher(
        b.manager, b.room.jobs, b.count, IMB_CIPHER_CBC,
        IMB_DIR_ENCRYPT if seal else IMB_DIR_DECRYPT, b.key_octets)


cdef bint run_hash(Burst *b) noexcept nogil:
    return b.count == 0 or b.count == b.calls.hash(b.manager, b.room.jobs, b.count, b.hash)


cdef bint is_authentic(const Burst *b, uint32_t k, const uint8_t *icv) noexcept nogil:
    return crypto.memcmp(b.tags + k * TAG_MOST, icv, b.icv) == 0


# --- runs -------------------------------------------------------------------------------------

cdef inline uint32_t piece_of(Py_ssize_t count) noexcept nogil:
    """Jobs in one burst, so that the last is no short one."""
    cdef Py_ssize_t pieces = (count + IMB_BURST_MOST - 1) // IMB_BURST_MOST
    return <uint32_t>((count + pieces - 1) // pieces)


cdef Py_ssize_t gather(
        Burst *b, Py_ssize_t *where, uint32_t most, uint8_t *arena, const PacketDesc *desc,
        Py_ssize_t i, Py_ssize_t n, void **sa, const uint8_t *nonces,
        bint seal) noexcept nogil:
    """Lay out jobs from packet i on, at least one; where[job] is its packet. Returns the next."""
    cdef const EspCipher *e
    cdef BurstKeys *keys
    while i < n and b.count < most:
        if desc[i].verdict == FORWARD:
            e = <const EspCipher *>sa[desc[i].sa_index]
            keys = burst_keys(b, e)
            if keys == NULL:
                break
            where[b.count] = i
            if e.extended:
                lay_out_extended(
                    b, keys, arena + desc[i].offset, desc[i].length, seal,
                    nonces + i * NONCE_STRIDE + HIGH_AT)
            else:
                lay_out(b, keys, arena + desc[i].offset, desc[i].length, seal)
        i += 1
    return i


cdef Py_ssize_t fail_all(
        const Burst *b, const Py_ssize_t *where, PacketDesc *desc) noexcept nogil:
    cdef uint32_t k
    for k in range(b.count):
        drop(&desc[where[k]], R_CIPHER_FAILED)
    return 0


cdef Py_ssize_t seal_bursts(
        uint8_t *arena, PacketDesc *desc, Py_ssize_t n, Py_ssize_t count, void **sa,
        const uint8_t *nonces) noexcept nogil:
    cdef const EspCipher *first = <const EspCipher *>sa[desc[0].sa_index]
    cdef uint8_t blocks[BATCH_MOST * AES_BLOCK]
    cdef Py_ssize_t where[IMB_BURST_MOST]
    cdef Py_ssize_t i = 0, stay = 0, drawn = 0, k
    cdef bint ready = True
    cdef Burst b
    if first.shape.iv_octets != 0:
        ready = draw_blocks(first.room, blocks, count)
        for k in range(n):
            if desc[k].verdict == FORWARD:
                memcpy(arena + desc[k].offset + ESP_HEADER, blocks + drawn * AES_BLOCK, AES_BLOCK)
                drawn += 1
    while i < n:
        begin_burst(&b, first)
        i = gather(&b, where, piece_of(count), arena, desc, i, n, sa, nonces, True)
        if ready and run_cipher(&b, True) and run_hash(&b):
            stay += b.count
        else:
            fail_all(&b, where, desc)
    return stay


cdef void keep_authentic(
        Burst *b, Py_ssize_t *where, const uint8_t *arena, PacketDesc *desc) noexcept nogil:
    """Drop the other packets, and their jobs from the burst."""
    cdef uint32_t k, good = 0
    cdef Py_ssize_t i
    for k in range(b.count):
        i = where[k]
        if not is_authentic(b, k, arena + desc[i].offset + desc[i].length - b.icv):
            drop(&desc[i], R_ICV_WRONG)
            continue
        if good != k:
            memcpy(job_of(b, good), job_of(b, k), b.calls.job_octets)
            where[good] = i
        good += 1
    b.count = good


cdef void open_bursts(
        uint8_t *arena, PacketDesc *desc, Py_ssize_t n, Py_ssize_t count, void **sa,
        const uint8_t *nonces) noexcept nogil:
    cdef const EspCipher *first = <const EspCipher *>sa[desc[0].sa_index]
    cdef Py_ssize_t where[IMB_BURST_MOST]
    cdef Py_ssize_t i = 0
    cdef Burst b
    while i < n:
        begin_burst(&b, first)
        i = gather(&b, where, piece_of(count), arena, desc, i, n, sa, nonces, False)
        if not run_hash(&b):
            fail_all(&b, where, desc)
            continue
        uncover_icvs(&b)
        keep_authentic(&b, where, arena, desc)
        if not run_cipher(&b, False):
            fail_all(&b, where, desc)
