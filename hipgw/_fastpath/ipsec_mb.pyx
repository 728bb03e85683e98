"""Opens intel-ipsec-mb at import where it is installed, and looks up its GCM of single buffers.

The library is optional and never closed. Its own choice of code asks for more of a CPU than the
code needs (VAES behind GFNI), so each instruction set that it exports and this CPU has is a variant
of its own, and who calls `use` decides: by a self-test and a timing (hipgw.dataplane).
"""

from libc.stdint cimport uint8_t
from libc.stdlib cimport free
from libc.string cimport memset
from posix.stdlib cimport posix_memalign

from hipgw._fastpath.c.dlfcn cimport RTLD_LOCAL, RTLD_NOW, dlopen, dlsym
from hipgw._fastpath.c.ipsec_mb cimport (
    GCM_KEY_DATA_ALIGN,
    GCM_KEY_DATA_OCTETS,
    GcmCrypt,
    GcmPre,
    ImbVersion,
    hipgw_has_aes,
    hipgw_has_avx2,
    hipgw_has_avx512,
    hipgw_has_vaes,
)

_LIBRARIES = ("libIPSec_MB.so.2", "libIPSec_MB.so.1")

cdef enum:
    VARIANT_MOST = 4

cdef GcmKernel kernels[VARIANT_MOST]
cdef int chosen = 0
cdef void *opened = NULL
_variants = {}                      # name: index into kernels
_state = {"version": "", "variant": ""}


cdef int current_gcm() noexcept nogil:
    return chosen


cdef const GcmKernel *gcm_kernel(int number) noexcept nogil:
    return &kernels[number - 1]


cdef void *opened_library() noexcept:
    return opened


cdef size_t key_octets_most() noexcept nogil:
    cdef size_t most = 0
    cdef Py_ssize_t i
    for i in range(VARIANT_MOST):
        most = max(most, kernels[i].key_octets)
    return most


def _names_for_this_cpu() -> tuple[str, ...]:
    """Suffixes of the library's functions whose instructions this CPU has, the newest first."""
    cdef bint aes = hipgw_has_aes()
    cdef bint wide = aes and hipgw_has_avx512()
    return tuple(
        name
        for name, usable in (
            ("vaes_avx512", wide and hipgw_has_vaes()),
            ("vaes_avx2", aes and hipgw_has_avx2() and hipgw_has_vaes()),
            ("avx_gen4", aes and hipgw_has_avx2()),
            ("sse", aes),
        )
        if usable
    )


cdef size_t _key_octets(GcmPre pre) except 0:
    """How much of the library's key structure a variant uses: a quarter to a half of it.

    What `pre` fills in shows against two backgrounds. One line is added, because the kernels load
    vectors of up to 64 octets.
    """
    cdef uint8_t key[16]
    cdef uint8_t *room
    cdef int background
    cdef size_t last = 0
    cdef size_t i
    cdef size_t room_octets = GCM_KEY_DATA_OCTETS
    memset(key, 0, 16)
    if posix_memalign(<void **>&room, GCM_KEY_DATA_ALIGN, GCM_KEY_DATA_OCTETS) != 0:
        raise MemoryError
    for background in (0x00, 0xFF):
        memset(room, background, GCM_KEY_DATA_OCTETS)
        pre(key, room)
        for i in range(room_octets):
            if room[i] != background and i > last:
                last = i
    free(room)
    last = (last // GCM_KEY_DATA_ALIGN + 2) * GCM_KEY_DATA_ALIGN
    return min(last, room_octets)


cdef bint _look_up(void *library, str name, GcmKernel *kernel) except -1:
    """Whether the library has the three functions of a variant."""
    kernel.pre = <GcmPre>dlsym(library, f"aes_gcm_pre_128_{name}".encode())
    kernel.seal = <GcmCrypt>dlsym(library, f"aes_gcm_enc_128_{name}".encode())
    kernel.open = <GcmCrypt>dlsym(library, f"aes_gcm_dec_128_{name}".encode())
    if kernel.pre == NULL or kernel.seal == NULL or kernel.open == NULL:
        return False
    kernel.key_octets = _key_octets(kernel.pre)
    return True


cdef int _open() except -1:
    global opened
    cdef void *library = NULL
    cdef void *says
    for file in _LIBRARIES:
        library = dlopen(file.encode(), RTLD_NOW | RTLD_LOCAL)
        if library != NULL:
            break
    if library == NULL:
        return 0
    opened = library
    says = dlsym(library, b"imb_get_version_str")
    _state["version"] = "of unknown version" if says == NULL else (<ImbVersion>says)().decode()
    for name in _names_for_this_cpu():
        if _look_up(library, name, &kernels[len(_variants)]):
            _variants[name] = len(_variants)
    return 0


def version() -> str:
    """What the library says it is, for example "1.3.0"; empty where it is not installed."""
    return _state["version"]


def variants() -> tuple[str, ...]:
    """Instruction sets that the library and this CPU share, the newest first."""
    return tuple(_variants)


def variant() -> str:
    """The one that SAs are keyed for now; empty: libcrypto."""
    return _state["variant"]


def use(str variant not None) -> None:
    """Key SAs for a variant from now on, or for libcrypto when it is empty.

    SAs that are keyed already keep theirs. Raises ValueError for a name not in `variants()`.
    """
    global chosen
    if variant and variant not in _variants:
        raise ValueError(f"intel-ipsec-mb: no variant {variant!r}, only {', '.join(_variants)}")
    chosen = <int>_variants[variant] + 1 if variant else 0
    _state["variant"] = variant


_open()
