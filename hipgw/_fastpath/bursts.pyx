"""AES-CBC and HMAC of intel-ipsec-mb over many packets at once, where the library is installed.

A chain of CBC has no parallelism in it, and a hash has little: the library takes the packets of a
burst side by side, each under its own key, and returns when all are done. A variant is an
instruction set; who calls `use` decides which one a suite is for, and from how many packets on, by
a self-test and timings (hipgw.dataplane): what is fastest for many can be slow for one.

What a variant needs is looked up by name, so that no header is needed. A name says the instruction
set and, with it, the kind of manager, and the library decides at `init` which kind that is: a
variant is offered when its manager names the very functions that were looked up. Jobs are our own,
and as long as two that a manager hands out lie apart.

Only a library built to clear what jobs leave behind (SAFE_DATA, as distributions have it) is used:
a manager holds nothing of a key once a burst is done. Round keys and hashed pads are ours, in the
key cache.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from hipgw._fastpath.c.dlfcn cimport dlsym
from hipgw._fastpath.c.ipsec_mb cimport (
    IMB_FEATURE_SAFE_DATA,
    IMB_JOB_MOST,
    ImbAllocate,
    ImbCipherBurst,
    ImbExpand,
    ImbFeatures,
    ImbHashBurst,
    ImbJob,
    ImbManager,
    ImbNextBurst,
    ImbOneBlock,
    hipgw_has_aes,
    hipgw_has_avx2,
    hipgw_has_avx512,
)
from hipgw._fastpath.ipsec_mb cimport opened_library
from hipgw._fastpath.sa cimport (
    SUITE_AES128_CBC_SHA1,
    SUITE_AES128_CBC_SHA256,
    SUITE_AES256_CBC_SHA256,
    SUITE_FULL_AES128_CBC_SHA256,
    SUITE_FULL_AES256_CBC_SHA256,
    SUITE_FULL_NULL_SHA256,
    SUITE_NULL_SHA256,
    SUITE_V1_AES128_CBC_SHA1,
    SUITE_V1_NULL_SHA1,
)

cdef enum:
    SUITES_MOST = 9
    NAMED_OCTETS = 2048         # of a manager, where its functions are named
    POINTER = sizeof(void *)

cdef int[SUITES_MOST] carried = [
    SUITE_AES128_CBC_SHA1, SUITE_NULL_SHA256, SUITE_AES128_CBC_SHA256, SUITE_AES256_CBC_SHA256,
    SUITE_V1_AES128_CBC_SHA1, SUITE_V1_NULL_SHA1, SUITE_FULL_NULL_SHA256,
    SUITE_FULL_AES128_CBC_SHA256, SUITE_FULL_AES256_CBC_SHA256,
]

cdef BurstCalls calls[BURST_VARIANTS]
cdef BurstLeast least[SUITES_MOST][BURST_VARIANTS]
cdef int chosen[SUITES_MOST]
cdef ImbAllocate allocate = NULL
cdef ImbManager release = NULL
cdef uint64_t octets_of_manager = 0
_variants = {}                      # name: index into calls
_KINDS = ("t4", "t3", "t2", "t1")


cdef bint has_bursts() noexcept nogil:
    return allocate != NULL


cdef int place_of(int suite) noexcept nogil:
    """Where a suite stands in `carried`, or -1."""
    cdef int i
    for i in range(SUITES_MOST):
        if carried[i] == suite:
            return i
    return -1


cdef int current_bursts(int suite) noexcept nogil:
    cdef int place = place_of(suite)
    return chosen[place] if place >= 0 else 0


cdef const BurstCalls *burst_calls(int backend) noexcept nogil:
    return &calls[backend - 1]


cdef const BurstLeast *burst_least(int suite, int backend) noexcept nogil:
    return &least[place_of(suite)][backend - 1]


cdef void *new_manager(int backend) noexcept:
    cdef void *manager = allocate(0)
    if manager != NULL:
        calls[backend - 1].init(manager)
    return manager


cdef void free_manager(void *manager) noexcept:
    if manager != NULL:
        release(manager)


cdef uint64_t manager_octets() noexcept nogil:
    return octets_of_manager


cdef void *_symbol(str name):
    return dlsym(opened_library(), name.encode())


cdef bint _names(const uint8_t *manager, void *function):
    """Whether a manager has the function among those that it calls."""
    cdef uint64_t at
    for at in range(0, NAMED_OCTETS, POINTER):
        if memcmp(manager + at, &function, POINTER) == 0:
            return True
    return False


cdef bint _look_up_kind(str arch, str kind, void *manager, BurstCalls *found) except -1:
    """Whether a manager that `init` has made is of this kind; then how far its jobs lie apart."""
    cdef void *jobs[2]
    cdef ImbNextBurst next_burst = <ImbNextBurst>_symbol(f"get_next_burst_{arch}_{kind}")
    found.cipher = <ImbCipherBurst>_symbol(f"submit_cipher_burst_nocheck_{arch}_{kind}")
    found.hash = <ImbHashBurst>_symbol(f"submit_hash_burst_nocheck_{arch}_{kind}")
    if (
        next_burst == NULL
        or found.cipher == NULL
        or found.hash == NULL
        or not _names(<uint8_t *>manager, <void *>found.cipher)
        or not _names(<uint8_t *>manager, <void *>found.hash)
        or next_burst(manager, 2, jobs) != 2
    ):
        return False
    found.job_octets = <uint64_t>(<uint8_t *>jobs[1] - <uint8_t *>jobs[0])
    return sizeof(ImbJob) <= found.job_octets <= IMB_JOB_MOST


cdef bint _look_up(str arch, BurstCalls *found) except -1:
    """Whether the library has all functions of an instruction set."""
    cdef void *manager
    cdef bint is_there = False
    found.init = <ImbManager>_symbol(f"init_mb_mgr_{arch}")
    found.expand_128 = <ImbExpand>_symbol(f"aes_keyexp_128_{arch}")
    found.expand_256 = <ImbExpand>_symbol(f"aes_keyexp_256_{arch}")
    found.sha1_block = <ImbOneBlock>_symbol(f"sha1_one_block_{arch}")
    found.sha256_block = <ImbOneBlock>_symbol(f"sha256_one_block_{arch}")
    if (
        found.init == NULL
        or found.expand_128 == NULL
        or found.expand_256 == NULL
        or found.sha1_block == NULL
        or found.sha256_block == NULL
    ):
        return False
    manager = allocate(0)
    if manager == NULL:
        raise MemoryError
    found.init(manager)
    for kind in _KINDS:
        if _look_up_kind(arch, kind, manager, found):
            is_there = True
            break
    release(manager)
    return is_there


cdef int _open() except -1:
    global allocate, release, octets_of_manager
    cdef void *size
    cdef void *features
    cdef bint aes = hipgw_has_aes()
    if opened_library() == NULL:
        return 0
    size = _symbol("imb_get_mb_mgr_size")
    features = _symbol("imb_get_feature_flags")
    allocate = <ImbAllocate>_symbol("alloc_mb_mgr")
    release = <ImbManager>_symbol("free_mb_mgr")
    if size != NULL:
        octets_of_manager = (<ImbFeatures>size)()       # both take nothing and return 64 bits
    if (
        features != NULL
        and allocate != NULL
        and release != NULL
        and (<ImbFeatures>features)() & IMB_FEATURE_SAFE_DATA
        and octets_of_manager >= NAMED_OCTETS
    ):
        for arch, is_usable in (
            ("avx512", aes and hipgw_has_avx512()),
            ("avx2", aes and hipgw_has_avx2()),
            ("sse", aes),
        ):
            if is_usable and _look_up(arch, &calls[len(_variants)]):
                _variants[arch] = len(_variants)
    if not _variants:
        allocate = NULL
    return 0


def suites() -> tuple[int, ...]:
    """Those with AES-CBC or no cipher, and HMAC."""
    return tuple(carried[i] for i in range(SUITES_MOST))


def variants() -> tuple[str, ...]:
    """Instruction sets that the library and this CPU share, the newest first."""
    return tuple(_variants)


def variant(int suite) -> tuple[str, int, int]:
    """What SAs of a suite are keyed for now, empty: libcrypto; and from how many packets on, to
    seal and to open, it carries them."""
    cdef int place = place_of(suite)
    cdef int backend = chosen[place] if place >= 0 else 0
    if backend == 0:
        return "", 1, 1
    return (
        tuple(_variants)[backend - 1], least[place][backend - 1].seal,
        least[place][backend - 1].open)


def use(int suite, str variant not None, uint32_t seal_least=1, uint32_t open_least=1) -> None:
    """Key SAs of a suite for a variant from now on, or for libcrypto alone when it is empty.

    SAs that are keyed already keep theirs; what is said of runs holds for those of the variant,
    too. Raises ValueError for a name not in `variants()`, or a suite not in `suites()`.
    """
    cdef int place = place_of(suite)
    cdef Py_ssize_t index
    if variant and variant not in _variants:
        raise ValueError(f"intel-ipsec-mb: no variant {variant!r}, only {', '.join(_variants)}")
    if variant and place < 0:
        raise ValueError(f"intel-ipsec-mb: no bursts for ESP suite {suite}")
    if place < 0:
        return
    if variant:
        index = _variants[variant]
        least[place][index].seal = seal_least
        least[place][index].open = open_least
    chosen[place] = <int>_variants[variant] + 1 if variant else 0


_open()
