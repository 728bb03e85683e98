"""What hipgw calls in intel-ipsec-mb: AES-128-GCM of one buffer, straight; bursts of jobs, each at
once, of AES-CBC and of HMAC; and the CPU they are for.

Written from the library's manual; no header of it is needed to build. The key data and the context
are opaque: their sizes differ between versions and instruction sets, so callers leave room. What
stands before `order` in a job is the same from 1.3 to 3.0; its size is not, and is found out.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

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

cdef enum:
    IMB_FEATURE_SAFE_DATA = 1 << 14     # keys and what comes of them are cleared after each job
    IMB_CIPHER_CBC = 1
    IMB_DIR_ENCRYPT = 1
    IMB_DIR_DECRYPT = 2
    IMB_AUTH_HMAC_SHA_1 = 1
    IMB_AUTH_HMAC_SHA_256 = 3
    IMB_BURST_MOST = 128                # jobs in one burst
    IMB_JOB_MOST = 256                  # octets of a job: 200 in 1.3

cdef struct ImbJob:
    const uint8_t *encryption_keys      # round keys, on 16 octets
    const uint8_t *decryption_keys
    uint64_t key_octets
    const uint8_t *source
    uint8_t *destination                # of what the cipher makes
    uint64_t cipher_offset              # in `source`
    uint64_t cipher_octets
    uint64_t hash_offset                # in `source`
    uint64_t hash_octets
    const uint8_t *iv
    uint64_t iv_octets
    uint8_t *tag
    uint64_t tag_octets
    const uint8_t *inner                # the hash after the block key ^ ipad, in the library's form
    const uint8_t *outer
    const void *unused
    uint32_t status
    uint32_t cipher_mode
    uint32_t direction
    uint32_t hash
    uint32_t order

ctypedef uint64_t (*ImbFeatures)() noexcept nogil
ctypedef void *(*ImbAllocate)(uint64_t) noexcept nogil
# manager
ctypedef void (*ImbManager)(void *) noexcept nogil
# manager, jobs wanted, pointers to them: how many
ctypedef uint32_t (*ImbNextBurst)(void *, uint32_t, void **) noexcept nogil
# manager, jobs, their number, cipher, direction, octets of the key: how many are done
ctypedef uint32_t (*ImbCipherBurst)(void *, void *, uint32_t, int, int, int) noexcept nogil
# manager, jobs, their number, hash: how many are done
ctypedef uint32_t (*ImbHashBurst)(void *, void *, uint32_t, int) noexcept nogil
# key, round keys to encrypt, round keys to decrypt
ctypedef void (*ImbExpand)(const void *, void *, void *) noexcept nogil
# block, the hash after it
ctypedef void (*ImbOneBlock)(const void *, void *) noexcept nogil

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
