"""AES-CBC and HMAC over the packets of many SAs at once; see esp_bursts.pyx."""

from libc.stdint cimport uint8_t, uint32_t

from hipgw._fastpath.bursts cimport BurstCalls
from hipgw._fastpath.c.ipsec_mb cimport IMB_BURST_MOST
from hipgw._fastpath.descriptor cimport PacketDesc
from hipgw._fastpath.esp_library cimport HIGH_OCTETS
from hipgw._fastpath.key_cache cimport BurstKeys, KeyRoom
from hipgw._fastpath.sa cimport EspCipher

cdef enum:
    TAG_MOST = 32

cdef struct Burst:
    KeyRoom *room
    const BurstCalls *calls
    void *manager
    int hash
    int key_octets                  # of the cipher, or 0: none
    uint32_t body                   # octets before what is encrypted
    uint32_t icv
    uint32_t count                  # jobs that are laid out
    uint32_t extended               # of them, those of SAs with extended sequence numbers
    uint8_t covered[IMB_BURST_MOST * HIGH_OCTETS]   # of ICVs, to put back
    uint8_t tags[IMB_BURST_MOST * TAG_MOST]     # of packets that are opened

# A burst without jobs, for the suite and variant of `e`. Worker only, as all of this.
cdef void begin_burst(Burst *b, const EspCipher *e) noexcept nogil

# The keys of an SA, made now or before; NULL: the jobs laid out use all slots, so finish these.
cdef BurstKeys *burst_keys(Burst *b, const EspCipher *e) noexcept nogil

# One more job, at most IMB_BURST_MOST: SPI..ICV at p, of checked length; the IV is in its place.
cdef void lay_out(
    Burst *b, BurstKeys *keys, uint8_t *p, uint32_t length, bint seal) noexcept nogil

# The same for an SA with extended sequence numbers: its hash covers the HIGH_OCTETS at `high`, and
# they stand in the place of the ICV until `uncover_icvs`.
cdef void lay_out_extended(
    Burst *b, BurstKeys *keys, uint8_t *p, uint32_t length, bint seal,
    const uint8_t *high) noexcept nogil

# After `run_hash` of packets that are opened: their ICVs are whole again.
cdef void uncover_icvs(Burst *b) noexcept nogil

# Do one half of all jobs: whether the library says that all are done.
cdef bint run_cipher(Burst *b, bint seal) noexcept nogil
cdef bint run_hash(Burst *b) noexcept nogil

# Whether the tag of job k is what the packet brought.
cdef bint is_authentic(const Burst *b, uint32_t k, const uint8_t *icv) noexcept nogil

# As seal_runs and open_runs of esp_cipher.pxd, for SAs of one suite and variant; n <= BATCH_MOST,
# `count` of them FORWARD.
cdef Py_ssize_t seal_bursts(
    uint8_t *arena, PacketDesc *desc, Py_ssize_t n, Py_ssize_t count, void **sa,
    const uint8_t *nonces) noexcept nogil
cdef void open_bursts(
    uint8_t *arena, PacketDesc *desc, Py_ssize_t n, Py_ssize_t count, void **sa,
    const uint8_t *nonces) noexcept nogil
