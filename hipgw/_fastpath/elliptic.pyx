"""ECDH and ECDSA on P-256, P-384 and P-521 by the system's libcrypto (RFC 7401 sections 5.2.7 and
5.2.14), without the layers above it.

A curve is named by the octets of a coordinate: 32, 48 or 66. A point is X | Y, a signature r | s,
each number as wide as the curve, which is how HIP carries them (RFC 5903 section 7, RFC 4754).

What libcrypto checks: a point lies on the curve, with both coordinates below the prime
(EC_POINT_oct2point); the curves have cofactor 1, so every such point has the full order, and
infinity has no such form. r and s lie in 1..n-1 (ECDSA_do_verify). Its multiplication by a secret
takes constant time. What is checked here: lengths, and that a given private scalar is in 1..n-1.

Who owns what: an `EcKey` its EC_KEY, which clears the secret when it is freed. Public keys are read
into scratch objects, lent to one call at a time under the GIL, because to make the group of a curve
takes longer than to read a point. The GIL is released while libcrypto works.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from hipgw._fastpath.c.elliptic cimport (
    NID_P256,
    NID_P384,
    NID_P521,
    UNCOMPRESSED,
    BnCompare,
    BnIsZero,
    BnRead,
    BnWrite,
    EcdhCompute,
    EcdsaSigGet,
    EcdsaSigNew,
    EcdsaSigSet,
    EcdsaSign,
    EcdsaVerify,
    EcKeyGenerate,
    EcKeyGet,
    EcKeyNew,
    EcKeySet,
    EcPointMul,
    EcPointNew,
    EcPointRead,
    EcPointWrite,
    ErrClear,
    OpensslFree,
)
from hipgw._fastpath.c.sha cimport ShaState
from hipgw._fastpath.hashes cimport Hash, hash_of
from hipgw._fastpath.libcrypto cimport crypto, find_function

cdef enum:
    CURVES = 3
    COORDINATE_MOST = 66            # of P-521
    POINT_MOST = 2 * COORDINATE_MOST
    DIGEST_MOST = 64                # SHA512_Final writes what the context asks for, at most this
    IDLE_MOST = 4                   # scratch objects that are kept; threads at work at once

cdef struct Elliptic:
    EcKeyNew key_new
    OpensslFree key_free
    EcKeyGenerate key_generate
    EcKeySet set_private
    EcKeySet set_public
    EcKeyGet group_of
    EcKeyGet private_of
    EcKeyGet public_of
    EcKeyGet order_of
    EcPointNew point_new
    OpensslFree point_free
    EcPointMul point_mul
    EcPointRead point_read
    EcPointWrite point_write
    EcdhCompute ecdh
    EcdsaSign sign
    EcdsaVerify verify
    EcdsaSigNew signature_new
    OpensslFree signature_free
    EcdsaSigSet signature_set
    EcdsaSigGet r_of
    EcdsaSigGet s_of
    BnRead bn_read
    BnWrite bn_write
    BnCompare bn_compare
    BnIsZero bn_is_zero
    OpensslFree bn_free
    ErrClear clear_errors

cdef struct Scratch:
    # For one call: a key that holds the peer's point and no secret, and a point to read it into.
    void *key
    void *point

cdef struct Curve:
    int octets                      # of a coordinate, and of the order
    int nid
    int idle                        # how many of `scratch` nobody uses
    Scratch[IDLE_MOST] scratch

cdef Elliptic lib                   # filled before the import returns, constant afterwards
cdef Curve[CURVES] curves           # `idle` and `scratch` change under the GIL only


cdef int _open() except -1:
    lib.key_new = <EcKeyNew>find_function(b"EC_KEY_new_by_curve_name")
    lib.key_free = <OpensslFree>find_function(b"EC_KEY_free")
    lib.key_generate = <EcKeyGenerate>find_function(b"EC_KEY_generate_key")
    lib.set_private = <EcKeySet>find_function(b"EC_KEY_set_private_key")
    lib.set_public = <EcKeySet>find_function(b"EC_KEY_set_public_key")
    lib.group_of = <EcKeyGet>find_function(b"EC_KEY_get0_group")
    lib.private_of = <EcKeyGet>find_function(b"EC_KEY_get0_private_key")
    lib.public_of = <EcKeyGet>find_function(b"EC_KEY_get0_public_key")
    lib.order_of = <EcKeyGet>find_function(b"EC_GROUP_get0_order")
    lib.point_new = <EcPointNew>find_function(b"EC_POINT_new")
    lib.point_free = <OpensslFree>find_function(b"EC_POINT_free")
    lib.point_mul = <EcPointMul>find_function(b"EC_POINT_mul")
    lib.point_read = <EcPointRead>find_function(b"EC_POINT_oct2point")
    lib.point_write = <EcPointWrite>find_function(b"EC_POINT_point2oct")
    lib.ecdh = <EcdhCompute>find_function(b"ECDH_compute_key")
    lib.sign = <EcdsaSign>find_function(b"ECDSA_do_sign")
    lib.verify = <EcdsaVerify>find_function(b"ECDSA_do_verify")
    lib.signature_new = <EcdsaSigNew>find_function(b"ECDSA_SIG_new")
    lib.signature_free = <OpensslFree>find_function(b"ECDSA_SIG_free")
    lib.signature_set = <EcdsaSigSet>find_function(b"ECDSA_SIG_set0")
    lib.r_of = <EcdsaSigGet>find_function(b"ECDSA_SIG_get0_r")
    lib.s_of = <EcdsaSigGet>find_function(b"ECDSA_SIG_get0_s")
    lib.bn_read = <BnRead>find_function(b"BN_bin2bn")
    lib.bn_write = <BnWrite>find_function(b"BN_bn2binpad")
    lib.bn_compare = <BnCompare>find_function(b"BN_cmp")
    lib.bn_is_zero = <BnIsZero>find_function(b"BN_is_zero")
    lib.bn_free = <OpensslFree>find_function(b"BN_clear_free")
    lib.clear_errors = <ErrClear>find_function(b"ERR_clear_error")
    curves[0].octets, curves[0].nid = 32, NID_P256
    curves[1].octets, curves[1].nid = 48, NID_P384
    curves[2].octets, curves[2].nid = 66, NID_P521
    return 0


cdef Curve *_curve_of(int octets) except NULL:
    cdef int index
    for index in range(CURVES):
        if curves[index].octets == octets:
            return &curves[index]
    raise ValueError(f"no curve has coordinates of {octets} octets: expected 32, 48 or 66")


cdef const Hash *_hash_of(int digest_octets) except NULL:
    cdef const Hash *found = hash_of(digest_octets)
    if found == NULL:
        raise ValueError(f"no hash with a digest of {digest_octets} octets: expected 20, 32 or 48")
    return found


cdef int _borrow(Curve *curve, Scratch *scratch) except -1:
    """Take scratch objects for one call; `_give_back` ends it."""
    if curve.idle:
        curve.idle -= 1
        scratch[0] = curve.scratch[curve.idle]
        return 0
    scratch.key = lib.key_new(curve.nid)
    scratch.point = NULL if scratch.key == NULL else lib.point_new(lib.group_of(scratch.key))
    if scratch.point == NULL:
        lib.key_free(scratch.key)
        lib.clear_errors()
        raise MemoryError(f"libcrypto gave no curve with coordinates of {curve.octets} octets")
    return 0


cdef void _give_back(Curve *curve, Scratch *scratch) noexcept:
    if curve.idle < IDLE_MOST:
        curve.scratch[curve.idle] = scratch[0]
        curve.idle += 1
        return
    lib.point_free(scratch.point)
    lib.key_free(scratch.key)


cdef bint _read_point(const Curve *curve, const Scratch *scratch, const uint8_t *xy) noexcept nogil:
    """Whether X | Y is a point of the curve, which then is in `scratch.point`."""
    cdef uint8_t[1 + POINT_MOST] encoded
    encoded[0] = UNCOMPRESSED
    memcpy(encoded + 1, xy, 2 * curve.octets)
    return lib.point_read(
        lib.group_of(scratch.key), scratch.point, encoded, 1 + 2 * curve.octets, NULL) == 1


cdef void _digest(
        const Hash *hash, const uint8_t *message, size_t length, uint8_t *into) noexcept nogil:
    cdef ShaState state
    hash.init(&state)
    hash.update(&state, message, length)
    hash.final(into, &state)


cdef bint _verify(
        const Curve *curve, const Scratch *scratch, const uint8_t *xy, const uint8_t *digest,
        int digest_octets, const uint8_t *r_and_s) noexcept nogil:
    cdef int size = curve.octets
    cdef void *signature
    cdef void *r
    cdef void *s
    cdef int found
    if not _read_point(curve, scratch, xy) or lib.set_public(scratch.key, scratch.point) != 1:
        return False
    signature = lib.signature_new()
    r = lib.bn_read(r_and_s, size, NULL)
    s = lib.bn_read(r_and_s + size, size, NULL)
    if signature == NULL or r == NULL or s == NULL or lib.signature_set(signature, r, s) != 1:
        lib.bn_free(r)
        lib.bn_free(s)
        lib.signature_free(signature)
        return False
    found = lib.verify(digest, digest_octets, signature, scratch.key)
    lib.signature_free(signature)
    return found == 1


def is_point(int octets, bytes xy not None) -> bool:
    """Whether X | Y is a point of the curve whose coordinates have so many octets."""
    cdef Curve *curve = _curve_of(octets)
    cdef Scratch scratch
    cdef bint found
    if len(xy) != 2 * octets:
        return False
    _borrow(curve, &scratch)
    found = _read_point(curve, &scratch, xy)
    if not found:
        lib.clear_errors()
    _give_back(curve, &scratch)
    return found


def verify(
    int octets, bytes xy not None, int digest_octets, bytes message not None,
    bytes r_and_s not None,
) -> bool:
    """Whether r | s is the signature of `message` by the key X | Y; False also for no such point.

    `digest_octets` names the hash: 20 SHA-1, 32 SHA-256, 48 SHA-384.
    """
    cdef Curve *curve = _curve_of(octets)
    cdef const Hash *hash = _hash_of(digest_octets)
    cdef const uint8_t *point = xy
    cdef const uint8_t *covered = message
    cdef size_t length = len(message)
    cdef const uint8_t *numbers = r_and_s
    cdef uint8_t[DIGEST_MOST] digest
    cdef Scratch scratch
    cdef bint found
    if len(xy) != 2 * octets or len(r_and_s) != 2 * octets:
        return False
    _borrow(curve, &scratch)
    with nogil:
        _digest(hash, covered, length, digest)
        found = _verify(curve, &scratch, point, digest, digest_octets, numbers)
        if not found:
            lib.clear_errors()
    _give_back(curve, &scratch)
    return found


cdef class EcKey:
    """A private key, for any number of operations from any thread; no repr shows it."""

    cdef void *key
    cdef Curve *curve

    def __cinit__(self, int octets, bytes scalar=None) -> None:
        """Draw a key, or take the private scalar that is given, big-endian.

        Raises ValueError for another curve and for a scalar outside 1..n-1.
        """
        self.curve = _curve_of(octets)
        self.key = lib.key_new(self.curve.nid)
        if self.key == NULL:
            lib.clear_errors()
            raise MemoryError
        if scalar is None:
            if lib.key_generate(self.key) != 1:
                lib.clear_errors()
                raise MemoryError("libcrypto drew no key")
        else:
            self._take(scalar)

    def __dealloc__(self) -> None:
        lib.key_free(self.key)

    cdef int _take(self, bytes scalar) except -1:
        """Put the scalar into the key, and its multiple of the generator beside it."""
        cdef const void *group = lib.group_of(self.key)
        cdef void *number = lib.bn_read(scalar, <int>len(scalar), NULL)
        cdef void *point = lib.point_new(group)
        cdef bint is_done = (
            number != NULL and point != NULL and not lib.bn_is_zero(number)
            and lib.bn_compare(number, lib.order_of(group)) < 0
            and lib.set_private(self.key, number) == 1
            and lib.point_mul(group, point, lib.private_of(self.key), NULL, NULL, NULL) == 1
            and lib.set_public(self.key, point) == 1
        )
        lib.bn_free(number)
        lib.point_free(point)
        if not is_done:
            lib.clear_errors()
            raise ValueError("private scalar is not in 1..n-1")
        return 0

    def public(self) -> bytes:
        """X | Y."""
        cdef uint8_t[1 + POINT_MOST] encoded
        cdef size_t size = 1 + 2 * self.curve.octets
        if lib.point_write(
            lib.group_of(self.key), lib.public_of(self.key), UNCOMPRESSED, encoded, size, NULL,
        ) != size:
            lib.clear_errors()
            raise MemoryError
        return encoded[1:size]

    def exchange(self, bytes xy not None) -> bytes:
        """X of the product with the peer's point, of full width; ValueError: not a point."""
        cdef const uint8_t *point = xy
        cdef int size = self.curve.octets
        cdef uint8_t[COORDINATE_MOST] shared
        cdef Scratch scratch
        cdef bint is_done
        cdef bytes result
        if len(xy) != 2 * size:
            raise ValueError(f"public value of {len(xy)} octets: expected {2 * size}")
        _borrow(self.curve, &scratch)
        with nogil:
            is_done = (
                _read_point(self.curve, &scratch, point)
                and lib.ecdh(shared, size, scratch.point, self.key, NULL) == size
            )
            if not is_done:
                lib.clear_errors()
        _give_back(self.curve, &scratch)
        result = shared[:size] if is_done else None
        crypto.cleanse(shared, sizeof(shared))
        if result is None:
            raise ValueError("public value is not a point of the curve")
        return result

    def sign(self, int digest_octets, bytes message not None) -> bytes:
        """r | s over the hash of `message`, which `digest_octets` names as in `verify`."""
        cdef const Hash *hash = _hash_of(digest_octets)
        cdef const uint8_t *covered = message
        cdef size_t length = len(message)
        cdef int size = self.curve.octets
        cdef bytes result = PyBytes_FromStringAndSize(NULL, 2 * size)
        cdef uint8_t *into = <uint8_t *>PyBytes_AS_STRING(result)
        cdef uint8_t[DIGEST_MOST] digest
        cdef void *signature
        cdef bint is_done
        with nogil:
            _digest(hash, covered, length, digest)
            signature = lib.sign(digest, digest_octets, self.key)
            is_done = (
                signature != NULL
                and lib.bn_write(lib.r_of(signature), into, size) == size
                and lib.bn_write(lib.s_of(signature), into + size, size) == size
            )
            lib.signature_free(signature)
            if not is_done:
                lib.clear_errors()
        if not is_done:
            raise MemoryError("libcrypto made no signature")
        return result


_open()
