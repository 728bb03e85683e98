"""What hipgw calls in intel-ipsec-mb: AES-128-GCM of one buffer, straight, and the CPU it is for.

Written from the library's manual; no header of it is needed to build. The key data and the context
are opaque: their sizes differ between versions and instruction sets, so callers leave room.
"""

from libc.stdint cimport uint8_t, uint64_t

cdef enum:
    GCM_KEY_DATA_OCTETS = 2048      # 1008 in version 1.3, 1264 in 2.0.2
    GCM_KEY_DATA_ALIGN = 64
    GCM_CONTEXT_OCTETS = 512        # 88 in 1.3

# key[16], key data
ctypedef void (*GcmPre)(const uint8_t *, void *) noexcept nogil
# key data, context, out, in, octets, IV[12], additional data, its octets, tag, its octets
ctypedef void (*GcmCrypt)(
    const void *, void *, uint8_t *, const uint8_t *, uint64_t, const uint8_t *, const uint8_t *,
    uint64_t, uint8_t *, uint64_t) noexcept nogil
ctypedef const char *(*ImbVersion)() noexcept nogil

cdef extern from *:
    """
    #if defined(__x86_64__)
    #define HIPGW_CPU(feature) __builtin_cpu_supports(feature)
    static int hipgw_has_avx2(void) { return HIPGW_CPU("avx2"); }
    static int hipgw_has_aes(void) { return HIPGW_CPU("sse4.2") && HIPGW_CPU("pclmul")
                                            && HIPGW_CPU("aes"); }
    static int hipgw_has_vaes(void) { return HIPGW_CPU("vaes") && HIPGW_CPU("vpclmulqdq"); }
    static int hipgw_has_avx512(void) { return HIPGW_CPU("avx512f") && HIPGW_CPU("avx512bw")
                                            && HIPGW_CPU("avx512vl") && HIPGW_CPU("avx512dq")
                                            && HIPGW_CPU("bmi2"); }
    #else
    static int hipgw_has_avx2(void) { return 0; }
    static int hipgw_has_aes(void) { return 0; }
    static int hipgw_has_vaes(void) { return 0; }
    static int hipgw_has_avx512(void) { return 0; }
    #endif
    """
    int hipgw_has_aes()
    int hipgw_has_avx2()
    int hipgw_has_vaes()
    int hipgw_has_avx512()
