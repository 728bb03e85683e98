"""HIP_TRANSFORM of HIPv1: published vectors of MACs and ciphers, and every wrong length."""

from __future__ import annotations

import pytest

from hipgw.crypto import (
    USABLE_TRANSFORMS,
    compute_mac_v1,
    decrypt_parameter_v1,
    encrypt_parameter_v1,
    mac_v1_is_right,
)
from hipgw.errors import CryptoError
from hipgw.values import HipTransform

AES = HipTransform.AES_128_CBC_HMAC_SHA1
TRIPLE_DES = HipTransform.TRIPLE_DES_CBC_HMAC_SHA1
NULL = HipTransform.NULL_HMAC_SHA1


def test_rfc_2202() -> None:
    sha1, md5 = HipTransform.NULL_HMAC_SHA1, HipTransform.NULL_HMAC_MD5
    mac = bytes.fromhex("b617318655057264e28bc0b6fb378c8ef146be00")
    assert compute_mac_v1(sha1, b"\x0b" * 20, b"Hi There") == mac
    assert mac_v1_is_right(sha1, b"\x0b" * 20, b"Hi There", mac)
    assert not mac_v1_is_right(sha1, b"\x0b" * 20, b"Hi There", mac[:12])
    assert not mac_v1_is_right(sha1, b"\x0b" * 20, b"Hi there", mac)
    mac = bytes.fromhex("9294727a3638bb1c13f48ef8158bfc9d")
    assert compute_mac_v1(md5, b"\x0b" * 16, b"Hi There") == mac
    assert mac_v1_is_right(md5, b"\x0b" * 16, b"Hi There", mac)


@pytest.mark.parametrize("transform", HipTransform, ids=lambda t: t.name)
def test_length_of_macs(transform: HipTransform) -> None:
    assert len(compute_mac_v1(transform, b"k", b"")) == transform.mac_octets


def test_sp_800_38a_cbc() -> None:
    """NIST SP 800-38A F.2.1."""
    key = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
    iv = bytes(range(16))
    text = bytes.fromhex("6bc1bee22e409f96e93d7e117393172a")
    sealed = iv + bytes.fromhex("7649abac8119b246cee98e9b12e9197d")
    assert encrypt_parameter_v1(AES, key, iv, text) == sealed
    assert decrypt_parameter_v1(AES, key, sealed) == text


@pytest.mark.parametrize(
    "transform",
    [HipTransform.TRIPLE_DES_CBC_HMAC_SHA1, HipTransform.TRIPLE_DES_CBC_HMAC_MD5],
    ids=lambda t: t.name,
)
def test_sp_800_67_triple_des(transform: HipTransform) -> None:
    """NIST SP 800-67 appendix B.1, whose blocks are single: here each chains on its own."""
    key = bytes.fromhex("0123456789ABCDEF 23456789ABCDEF01 456789ABCDEF0123")
    text = b"The qufck brown fox jump"
    expected = bytes.fromhex("A826FD8CE53B855F CCE21C8112256FE6 68D5C05DD9B6B900")
    for start in (0, 8, 16):
        block, sealed = text[start : start + 8], expected[start : start + 8]
        assert encrypt_parameter_v1(transform, key, bytes(8), block) == bytes(8) + sealed
    # Chaining: a block whose predecessor was xored in beforehand.
    second = bytes(a ^ b for a, b in zip(text[8:16], expected[:8], strict=True))
    sealed = encrypt_parameter_v1(transform, key, bytes(8), text[:8] + second)
    assert sealed == bytes(8) + expected[:16]
    assert decrypt_parameter_v1(transform, key, sealed) == text[:8] + second


def test_null_passes_everything() -> None:
    for transform in (HipTransform.NULL_HMAC_SHA1, HipTransform.NULL_HMAC_MD5):
        assert encrypt_parameter_v1(transform, b"", b"", b"seven 8") == b"seven 8"
        assert decrypt_parameter_v1(transform, b"", b"seven 8") == b"seven 8"


@pytest.mark.parametrize(
    ("transform", "key", "iv", "text"),
    [
        (AES, 15, 16, 16),
        (AES, 32, 16, 16),
        (AES, 16, 8, 16),
        (AES, 16, 16, 8),
        (AES, 16, 16, 0),
        (TRIPLE_DES, 16, 8, 8),
        (TRIPLE_DES, 24, 16, 8),
        (TRIPLE_DES, 24, 8, 12),
        (TRIPLE_DES, 24, 8, 0),
        (NULL, 1, 0, 8),
        (NULL, 0, 8, 8),
        (HipTransform.BLOWFISH_CBC_HMAC_SHA1, 16, 8, 8),
    ],
)
def test_wrong_lengths(transform: HipTransform, key: int, iv: int, text: int) -> None:
    with pytest.raises(CryptoError):
        encrypt_parameter_v1(transform, bytes(key), bytes(iv), bytes(text))


@pytest.mark.parametrize(
    ("transform", "key", "octets"),
    [
        (AES, 16, 0),
        (AES, 16, 16),
        (AES, 16, 31),
        (AES, 24, 32),
        (TRIPLE_DES, 24, 8),
        (TRIPLE_DES, 24, 12),
        (NULL, 16, 16),
        (HipTransform.BLOWFISH_CBC_HMAC_SHA1, 16, 16),
    ],
)
def test_wrong_ciphertexts(transform: HipTransform, key: int, octets: int) -> None:
    with pytest.raises(CryptoError):
        decrypt_parameter_v1(transform, bytes(key), bytes(octets))


def test_usable() -> None:
    assert set(HipTransform) - set(USABLE_TRANSFORMS) == {HipTransform.BLOWFISH_CBC_HMAC_SHA1}
