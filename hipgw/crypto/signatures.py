"""Signatures as HIP_SIGNATURE carries them, after the algorithm field (RFC 7401 section 5.2.14).

RSA: RSASSA-PSS with SHA-256, MGF1 with SHA-256 and 32 octets of salt; the RFC leaves these open,
other implementations agree.  ECDSA: r | s, each as wide as the curve (RFC 4754), over SHA-384 on
both curves, the RHASH of HIT suite 2.  The nonce is the one OpenSSL makes from key, message *and*
random octets, which survives a bad random generator as the deterministic mode of RFC 6979 does,
and faults and side channels better.  EdDSA: RFC 8032.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa, utils

from hipgw.crypto.hi_fields import PublicKey

PrivateKey = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)

PSS_SALT_OCTETS: Final = 32
_PSS: Final = padding.PSS(padding.MGF1(hashes.SHA256()), PSS_SALT_OCTETS)
_PSS_HASH: Final = hashes.SHA256()
_ECDSA: Final = ec.ECDSA(hashes.SHA384())


def sign_message(key: PrivateKey, message: bytes) -> bytes:
    """Sign; 256 to 512 octets for RSA, 64 or 96 for ECDSA, 64 or 114 for EdDSA."""
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, _PSS, _PSS_HASH)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        size = (key.key_size + 7) // 8
        r, s = utils.decode_dss_signature(key.sign(message, _ECDSA))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    return key.sign(message)


def signature_is_right(key: PublicKey, signature: bytes, message: bytes) -> bool:
    """Verify; False on anything that is not a signature of `message`, never raises.

    OpenSSL refuses r and s outside 1..n-1, and an EdDSA s outside 0..L-1.
    """
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, message, _PSS, _PSS_HASH)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            size = (key.key_size + 7) // 8
            if len(signature) != 2 * size:
                return False
            r, s = int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
            key.verify(utils.encode_dss_signature(r, s), message, _ECDSA)
        else:
            key.verify(signature, message)
    except InvalidSignature:
        return False
    return True
