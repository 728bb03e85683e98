"""The cipher of the ENCRYPTED parameter (RFC 7401 sections 5.2.8, 5.2.18)."""

from __future__ import annotations

from typing import Final

from hipgw._fastpath.keyed import aes_cbc
from hipgw.errors import CryptoError
from hipgw.values import HipCipher

AES_BLOCK_OCTETS: Final = 16


def encrypt_parameter(cipher: HipCipher, key: bytes, iv: bytes, padded_plaintext: bytes) -> bytes:
    """Encrypt whole blocks.

    Args:
        cipher: HIP cipher of the association.
        key: outgoing encryption key, `cipher.key_octets` octets.
        iv: 16 unpredictable octets; empty for NULL.
        padded_plaintext: padded to 16 octets; any length for NULL.

    Returns:
        IV | ciphertext; the plaintext itself for NULL.

    Raises:
        CryptoError: a length is wrong.
    """
    if cipher is HipCipher.NULL:
        if key or iv:
            raise CryptoError("NULL-ENCRYPT takes neither key nor IV")
        return padded_plaintext
    _check(cipher, key, iv, padded_plaintext)
    return iv + aes_cbc(key, iv, padded_plaintext, encrypts=True)


def decrypt_parameter(cipher: HipCipher, key: bytes, iv_and_ciphertext: bytes) -> bytes:
    """Undo `encrypt_parameter`; padding stays on.  CBC does not authenticate: check the MAC first.

    Raises:
        CryptoError: a length is wrong.
    """
    if cipher is HipCipher.NULL:
        if key:
            raise CryptoError("NULL-ENCRYPT takes no key")
        return iv_and_ciphertext
    iv = iv_and_ciphertext[:AES_BLOCK_OCTETS]
    ciphertext = iv_and_ciphertext[AES_BLOCK_OCTETS:]
    _check(cipher, key, iv, ciphertext)
    return aes_cbc(key, iv, ciphertext, encrypts=False)


def _check(cipher: HipCipher, key: bytes, iv: bytes, text: bytes) -> None:
    if len(key) != cipher.key_octets:
        raise CryptoError(f"{cipher.name} key of {len(key)} octets, needs {cipher.key_octets}")
    if len(iv) != AES_BLOCK_OCTETS:
        raise CryptoError(f"{cipher.name} IV of {len(iv)} octets, needs {AES_BLOCK_OCTETS}")
    if not text or len(text) % AES_BLOCK_OCTETS:
        raise CryptoError(f"{cipher.name} text of {len(text)} octets is not whole blocks")
