"""Signatures as HIP_SIGNATURE carries them, after the algorithm field (RFC 7401 section 5.2.14).

RSA: RSASSA-PSS with SHA-256, MGF1 with SHA-256 and 32 octets of salt; the RFC leaves these open,
other implementations agree.  ECDSA: r | s, each as wide as the curve (RFC 4754), over SHA-384 on
both curves, the RHASH of HIT suite 2.  The nonce is the one OpenSSL makes from key, message *and*
random octets, which survives a bad random generator as the deterministic mode of RFC 6979 does,
and faults and side channels better.  EdDSA: RFC 8032.  DSA: T | R | S (RFC 2536 section 3) over
SHA-256, cut to the size of q (FIPS 186-4 section 4.6).

HIPv1 knows RSA and DSA only, both over SHA-1; RSA is RSASSA-PKCS1-v1_5 (RFC 5201 section 5.2.11).
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa, utils

from hipgw._fastpath.elliptic import EcKey, verify
from hipgw.crypto.ecdsa_low import EcdsaLowPrivateKey, EcdsaLowPublicKey
from hipgw.crypto.hi_fields import DSA_BITS, DSA_Q_OCTETS, PublicKey, ecdsa_point
from hipgw.errors import CryptoError, LocalProtocolError

PrivateKey = (
    rsa.RSAPrivateKey
    | dsa.DSAPrivateKey
    | EcdsaLowPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)

Signer = (
    rsa.RSAPrivateKey
    | dsa.DSAPrivateKey
    | EcdsaLowPrivateKey
    | EcKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)
"""What signs: for ECDSA a key of the same libcrypto that verifies."""

PSS_SALT_OCTETS: Final = 32
_PSS: Final = padding.PSS(padding.MGF1(hashes.SHA256()), PSS_SALT_OCTETS)
_PKCS1: Final = padding.PKCS1v15()
_SHA256: Final = hashes.SHA256()
_SHA1: Final = hashes.SHA1()  # noqa: S303 - the one that RFC 5201 has
_ECDSA_DIGEST_OCTETS: Final = 48  # SHA-384 on both curves
_DSA_T: Final = bytes([(DSA_BITS - 512) // 64])


def signer_of(key: PrivateKey) -> Signer:
    """What signs with a key.

    The scalar of an ECDSA key passes through Python here, as its PEM form did on the way in.
    """
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        return key
    octets = (key.key_size + 7) // 8
    return EcKey(octets, key.private_numbers().private_value.to_bytes(octets, "big"))


def sign_message(key: Signer, message: bytes, *, version: int = 2) -> bytes:
    """Sign as a HIP version does.

    128 to 512 octets for RSA, 41 for DSA, 64 or 96 for ECDSA, 42 for ECDSA_LOW, 64 or 114 for
    EdDSA.

    Raises:
        LocalProtocolError: HIPv1 has no signatures of that algorithm.
    """
    if isinstance(key, EcKey) and version != 1:
        return key.sign(_ECDSA_DIGEST_OCTETS, message)
    if isinstance(key, rsa.RSAPrivateKey):
        if version == 1:
            return key.sign(message, _PKCS1, _SHA1)
        return key.sign(message, _PSS, _SHA256)
    if isinstance(key, dsa.DSAPrivateKey):
        der = key.sign(message, _SHA1 if version == 1 else _SHA256)
        return _DSA_T + _r_and_s(der, DSA_Q_OCTETS)
    if version == 1 or isinstance(key, EcKey):
        raise LocalProtocolError("HIPv1 signs with RSA and DSA only: choose such an identity")
    return key.sign(message)


def signature_is_right(
    key: PublicKey, signature: bytes, message: bytes, *, version: int = 2
) -> bool:
    """Verify; False on anything that is not a signature of `message`, never raises.

    OpenSSL refuses an EdDSA s outside 0..L-1.  ECDSA has `ecdsa_is_right`.
    """
    try:
        if isinstance(key, rsa.RSAPublicKey):
            if version == 1:
                key.verify(signature, message, _PKCS1, _SHA1)
            else:
                key.verify(signature, message, _PSS, _SHA256)
            return True
        if isinstance(key, dsa.DSAPublicKey):
            der = _der_of(signature[1:], DSA_Q_OCTETS)
            if der is None or signature[:1] != _DSA_T:
                return False
            key.verify(der, message, _SHA1 if version == 1 else _SHA256)
            return True
        if version == 1 or isinstance(key, ec.EllipticCurvePublicKey):
            return False
        return _is_right_in_v2(key, signature, message)
    except InvalidSignature:
        return False


def ecdsa_is_right(hi: bytes, signature: bytes, message: bytes) -> bool:
    """Verify by a Host Identity field, as no version but HIPv2 does; False when wrong.

    libcrypto reads the point and refuses r and s outside 1..n-1.
    """
    try:
        octets, point = ecdsa_point(hi)
    except CryptoError:
        return False
    return verify(octets, point, _ECDSA_DIGEST_OCTETS, message, signature)


def _is_right_in_v2(
    key: EcdsaLowPublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey,
    signature: bytes,
    message: bytes,
) -> bool:
    """Verify what only HIPv2 has; False or InvalidSignature when wrong."""
    if isinstance(key, EcdsaLowPublicKey):
        return key.verify(signature, message)
    key.verify(signature, message)
    return True


def _r_and_s(der: bytes, size: int) -> bytes:
    """The two numbers of a DER signature, `size` octets each."""
    r, s = utils.decode_dss_signature(der)
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def _der_of(r_and_s: bytes, size: int) -> bytes | None:
    """The DER form of two numbers of `size` octets; None when there are more or fewer octets."""
    if len(r_and_s) != 2 * size:
        return None
    r, s = int.from_bytes(r_and_s[:size], "big"), int.from_bytes(r_and_s[size:], "big")
    return utils.encode_dss_signature(r, s)
