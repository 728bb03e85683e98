"""The cipher of ENCRYPTED: a published vector, and every wrong length."""

from __future__ import annotations

import pytest

from hipgw.crypto import decrypt_parameter, encrypt_parameter
from hipgw.errors import CryptoError
from hipgw.values import HipCipher

IV = bytes(range(16))
SP_800_38A_TEXT = bytes.fromhex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51")


@pytest.mark.parametrize(
    ("cipher", "key", "ciphertext"),
    [
        (  # NIST SP 800-38A F.2.1
            HipCipher.AES_128_CBC,
            "2b7e151628aed2a6abf7158809cf4f3c",
            "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2",
        ),
        (  # F.2.5
            HipCipher.AES_256_CBC,
            "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
            "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d",
        ),
    ],
)
def test_sp_800_38a_cbc(cipher: HipCipher, key: str, ciphertext: str) -> None:
    text = IV + bytes.fromhex(ciphertext)
    assert encrypt_parameter(cipher, bytes.fromhex(key), IV, SP_800_38A_TEXT) == text
    assert decrypt_parameter(cipher, bytes.fromhex(key), text) == SP_800_38A_TEXT


def test_null_passes_everything() -> None:
    assert encrypt_parameter(HipCipher.NULL, b"", b"", b"seven 8") == b"seven 8"
    assert decrypt_parameter(HipCipher.NULL, b"", b"seven 8") == b"seven 8"
    for key, iv in ((b"k", b""), (b"", IV)):
        with pytest.raises(CryptoError):
            encrypt_parameter(HipCipher.NULL, key, iv, b"")
    with pytest.raises(CryptoError):
        decrypt_parameter(HipCipher.NULL, b"k", b"")


@pytest.mark.parametrize("cipher", [HipCipher.AES_128_CBC, HipCipher.AES_256_CBC])
def test_wrong_lengths(cipher: HipCipher) -> None:
    key = bytes(cipher.key_octets)
    for length in (0, 1, 15, 16, 17, 31, 33, 40):
        with pytest.raises(CryptoError):
            decrypt_parameter(cipher, key, bytes(length))
    for length in (0, 1, 15, 17, 24):
        with pytest.raises(CryptoError):
            encrypt_parameter(cipher, key, IV, bytes(length))
    for iv in (b"", IV[:-1], IV + b"\0"):
        with pytest.raises(CryptoError):
            encrypt_parameter(cipher, key, iv, bytes(16))
    for wrong_key in (b"", key[:-1], key + b"\0", bytes(24)):
        with pytest.raises(CryptoError):
            encrypt_parameter(cipher, wrong_key, IV, bytes(16))
        with pytest.raises(CryptoError):
            decrypt_parameter(cipher, wrong_key, bytes(32))
