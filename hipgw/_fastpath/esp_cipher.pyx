"""The keys of one SA, and which code seals and opens its packets.

GCM and GMAC: esp_gcm.pyx. Suites with HMAC: esp_bursts.pyx, where intel-ipsec-mb is used for them
and enough packets stand together, of one SA or of several; else esp_library.pyx, as all others.

IVs. GCM, CCM, GMAC: the 64-bit sequence number, which never repeats under one key (RFC 4106
section 3.1, RFC 4309 section 3.1, RFC 4543 section 3.1).
CBC: made from a random block R, which is AES-CTR under a random key from a random counter, both
drawn when the worker's room is made. All its SAs share it; 2^48 blocks, which no worker makes in a
year, are still as good as random.

Ownership: what is keyed belongs to the worker's KeyRoom; an EspCipher holds keys alone, so an SA
takes as much memory with one suite as with another.
"""

from libc.string cimport memcpy, memset

from hipgw._fastpath.bursts cimport burst_least, current_bursts
from hipgw._fastpath.descriptor cimport FORWARD
from hipgw._fastpath.esp_bursts cimport open_bursts, seal_bursts
from hipgw._fastpath.esp_gcm cimport open_gcm_run, seal_gcm_run
from hipgw._fastpath.esp_library cimport NONCE_STRIDE, open_library_run, seal_library_run
from hipgw._fastpath.esp_suites cimport suite_shape
from hipgw._fastpath.ipsec_mb cimport current_gcm
from hipgw._fastpath.key_cache cimport forget_key, has_manager, next_key_number
from hipgw._fastpath.libcrypto cimport crypto
from hipgw._fastpath.sa cimport (
    BY_LIBCRYPTO,
    SUITE_AES_CCM_8,
    SUITE_AES_CCM_16,
    SUITE_AES_GMAC,
    SuiteShape,
)

cdef enum:
    AES_128_KEY = 16


# --- keys -------------------------------------------------------------------------------------

cdef void keep_keys(
        EspCipher *e, const SuiteShape *shape, const uint8_t *enc_key,
        const uint8_t *auth_key) noexcept:
    """Salts are the tails of keys (RFC 4106 section 8.1, 4309 section 7.1, 4543 section 5.4)."""
    cdef const uint8_t *material = auth_key if e.suite == SUITE_AES_GMAC else enc_key
    cdef int octets = (
        shape.authentication_key_octets if e.suite == SUITE_AES_GMAC
        else shape.encryption_key_octets)
    if is_gcm(e.suite) or e.suite in (SUITE_AES_GMAC, SUITE_AES_CCM_8, SUITE_AES_CCM_16):
        memcpy(e.key, material, AES_128_KEY)
        memcpy(e.mac_key, material + AES_128_KEY, octets - AES_128_KEY)
        return
    memcpy(e.key, enc_key, shape.encryption_key_octets)
    memcpy(e.mac_key, auth_key, shape.authentication_key_octets)


cdef int esp_cipher_init(
        EspCipher *e, int suite, const uint8_t *enc_key, Py_ssize_t n_enc,
        const uint8_t *auth_key, Py_ssize_t n_auth, bint extended, KeyRoom *room) noexcept:
    """Key `e` for one direction: 0, or -1 and an `e` that is all zero."""
    cdef SuiteShape shape = suite_shape(suite)
    memset(e, 0, sizeof(EspCipher))
    if (
        shape.icv_octets == 0
        or n_enc != shape.encryption_key_octets
        or n_auth != shape.authentication_key_octets
    ):
        return -1
    e.shape.iv_octets = shape.iv_octets
    e.shape.icv_octets = shape.icv_octets
    e.shape.align_octets = shape.align_octets
    e.extended = extended
    e.suite = <uint16_t>suite
    e.room = room
    e.key_number = next_key_number(room)
    keep_keys(e, &shape, enc_key, auth_key)
    e.backend = <uint8_t>(current_gcm() if is_gcm(suite) else current_bursts(suite))
    if e.backend != BY_LIBCRYPTO and not is_gcm(suite) and not has_manager(room, e.backend):
        esp_cipher_wipe(e)
        return -1
    return 0


cdef void esp_cipher_wipe(EspCipher *e) noexcept nogil:
    """Clear, also what the worker has keyed."""
    if e.room != NULL:
        forget_key(e.room, e.key_number)
    crypto.cleanse(e, sizeof(EspCipher))


# --- runs -------------------------------------------------------------------------------------

cdef struct Run:
    const EspCipher *e              # of its first packet
    Py_ssize_t end
    Py_ssize_t count                # packets that are FORWARD


cdef inline const EspCipher *cipher_of(
        const PacketDesc *desc, Py_ssize_t i, void **sa) noexcept nogil:
    return <const EspCipher *>sa[desc[i].sa_index]


cdef Run run_from(
        const PacketDesc *desc, Py_ssize_t i, Py_ssize_t n, void **sa,
        bint is_burst) noexcept nogil:
    """The run that starts at a FORWARD packet: of one SA, or of one suite and variant."""
    cdef const EspCipher *other
    cdef Run run
    run.e = cipher_of(desc, i, sa)
    run.end = i + 1
    run.count = 1
    while run.end < n:
        if desc[run.end].verdict == FORWARD:
            if desc[run.end].sa_index != desc[i].sa_index:
                if not is_burst:
                    break
                other = cipher_of(desc, run.end, sa)
                if other.suite != run.e.suite or other.backend != run.e.backend:
                    break
            run.count += 1
        run.end += 1
    return run


cdef inline bint has_burst_kernel(const EspCipher *e) noexcept nogil:
    return e.backend != BY_LIBCRYPTO and not is_gcm(e.suite)


cdef Py_ssize_t seal_runs(
        uint8_t *arena, PacketDesc *desc, Py_ssize_t n, void **sa,
        const uint8_t *nonces) noexcept nogil:
    cdef Py_ssize_t i = 0, stay = 0
    cdef const EspCipher *e
    cdef Run run
    while i < n:
        if desc[i].verdict != FORWARD:
            i += 1
            continue
        e = cipher_of(desc, i, sa)
        if has_burst_kernel(e) and n - i >= burst_least(e.suite, e.backend).seal:
            run = run_from(desc, i, n, sa, True)
            if run.count >= burst_least(e.suite, e.backend).seal:
                stay += seal_bursts(
                    arena, &desc[i], run.end - i, run.count, sa, nonces + i * NONCE_STRIDE)
                i = run.end
                continue
        run = run_from(desc, i, n, sa, False)
        if is_gcm(e.suite) or e.suite == SUITE_AES_GMAC:
            stay += seal_gcm_run(e, arena, &desc[i], run.end - i, nonces + i * NONCE_STRIDE)
        else:
            stay += seal_library_run(
                e, arena, &desc[i], run.end - i, nonces + i * NONCE_STRIDE)
        i = run.end
    return stay


cdef void open_runs(
        uint8_t *arena, PacketDesc *desc, Py_ssize_t n, void **sa,
        const uint8_t *nonces) noexcept nogil:
    cdef Py_ssize_t i = 0
    cdef const EspCipher *e
    cdef Run run
    while i < n:
        if desc[i].verdict != FORWARD:
            i += 1
            continue
        e = cipher_of(desc, i, sa)
        if has_burst_kernel(e) and n - i >= burst_least(e.suite, e.backend).open:
            run = run_from(desc, i, n, sa, True)
            if run.count >= burst_least(e.suite, e.backend).open:
                open_bursts(
                    arena, &desc[i], run.end - i, run.count, sa, nonces + i * NONCE_STRIDE)
                i = run.end
                continue
        run = run_from(desc, i, n, sa, False)
        if is_gcm(e.suite) or e.suite == SUITE_AES_GMAC:
            open_gcm_run(e, arena, &desc[i], run.end - i, nonces + i * NONCE_STRIDE)
        else:
            open_library_run(e, arena, &desc[i], run.end - i, nonces + i * NONCE_STRIDE)
        i = run.end
