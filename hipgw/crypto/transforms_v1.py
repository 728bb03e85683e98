"""What a HIP_TRANSFORM of HIPv1 names: a MAC and the cipher of ENCRYPTED (RFC 5201 section 5.2.7).

Blowfish (suite 4) is left out: no host is known to insist on it.
"""

from __future__ import annotations

import hmac
from typing import Final

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from hipgw.errors import CryptoError
from hipgw.values import HipTransform

USABLE_TRANSFORMS: Final = (
    HipTransform.AES_128_CBC_HMAC_SHA1,
    HipTransform.TRIPLE_DES_CBC_HMAC_SHA1,
    HipTransform.TRIPLE_DES_CBC_HMAC_MD5,
    HipTransform.NULL_HMAC_SHA1,
    HipTransform.NULL_HMAC_MD5,
)
"""What these functions serve, strongest first; the last two do not encrypt."""

_CIPHERS: Final[dict[HipTransform, type[algorithms.AES | TripleDES]]] = {
    HipTransform.AES_128_CBC_HMAC_SHA1: algorithms.AES,
    HipTransform.TRIPLE_DES_CBC_HMAC_SHA1: TripleDES,
    HipTransform.TRIPLE_DES_CBC_HMAC_MD5: TripleDES,
}
_DIGEST_NAME: Final = {16: "md5", 20: "sha1"}


def compute_mac_v1(transform: HipTransform, key: bytes, data: bytes) -> bytes:
    """Compute HMAC or HMAC_2 (RFC 5201 sections 5.2.9, 6.4.1).

    Returns:
        `transform.mac_octets` octets.
    """
    return hmac.digest(key, data, _DIGEST_NAME[transform.mac_octets])


def mac_v1_is_right(transform: HipTransform, key: bytes, data: bytes, mac: bytes) -> bool:
    """Compare in time that does not depend on where the MACs differ; False on a wrong length."""
    return hmac.compare_digest(compute_mac_v1(transform, key, data), mac)


def encrypt_parameter_v1(
    transform: HipTransform, key: bytes, iv: bytes, padded_plaintext: bytes
) -> bytes:
    """Encrypt whole blocks (RFC 5201 section 5.2.15).

    Args:
        transform: HIP transform of the association.
        key: outgoing encryption key, `transform.key_octets` octets.
        iv: `transform.iv_octets` unpredictable octets.
        padded_plaintext: a multiple of `transform.block_octets` octets.

    Returns:
        IV | ciphertext; the plaintext itself for NULL, which has no IV.

    Raises:
        CryptoError: a length is wrong, or the transform is not one of `USABLE_TRANSFORMS`.
    """
    cipher = _cipher(transform, key, iv, padded_plaintext)
    if cipher is None:
        return padded_plaintext
    encryptor = cipher.encryptor()
    return iv + encryptor.update(padded_plaintext) + encryptor.finalize()


def decrypt_parameter_v1(transform: HipTransform, key: bytes, iv_and_ciphertext: bytes) -> bytes:
    """Undo `encrypt_parameter_v1`; padding stays on.  Check the MAC first.

    Raises:
        CryptoError: a length is wrong, or the transform is not one of `USABLE_TRANSFORMS`.
    """
    iv = iv_and_ciphertext[: transform.iv_octets]
    ciphertext = iv_and_ciphertext[transform.iv_octets :]
    cipher = _cipher(transform, key, iv, ciphertext)
    if cipher is None:
        return ciphertext
    decryptor = cipher.decryptor()
    return decryptor.update(ciphertext) + decryptor.finalize()


def _cipher(
    transform: HipTransform, key: bytes, iv: bytes, text: bytes
) -> Cipher[modes.CBC] | None:
    """The cipher ready for use; None for NULL."""
    if transform not in USABLE_TRANSFORMS:
        raise CryptoError(f"HIP transform {transform.name} is not supported")
    if len(key) != transform.key_octets or len(iv) != transform.iv_octets:
        raise CryptoError(
            f"{transform.name} key of {len(key)} and IV of {len(iv)} octets, needs"
            f" {transform.key_octets} and {transform.iv_octets}"
        )
    algorithm = _CIPHERS.get(transform)
    if algorithm is None:
        return None
    if not text or len(text) % transform.block_octets:
        raise CryptoError(f"{transform.name} text of {len(text)} octets is not whole blocks")
    return Cipher(algorithm(key), modes.CBC(iv))
