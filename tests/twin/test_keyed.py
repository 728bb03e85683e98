"""Hashes, HMAC, HKDF and AES-CBC of `keyed` against Python's hashlib, hmac and `cryptography`."""

from __future__ import annotations

import hashlib
import hmac
import secrets

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from hipgw._fastpath import keyed

NAMES = {20: "sha1", 32: "sha256", 48: "sha384"}
HASHES = {20: hashes.SHA1(), 32: hashes.SHA256(), 48: hashes.SHA384()}  # noqa: S303
LENGTHS = (0, 1, 16, 20, 32, 48, 63, 64, 65, 111, 112, 127, 128, 129, 200, 2048)

digests = pytest.mark.parametrize("digest_octets", list(NAMES))


@digests
def test_digest(digest_octets: int) -> None:
    for octets in LENGTHS:
        data = secrets.token_bytes(octets)
        expected = hashlib.new(NAMES[digest_octets], data).digest()
        assert keyed.digest(digest_octets, data) == expected


@digests
def test_hmac(digest_octets: int) -> None:
    for key_octets in LENGTHS:
        for data_octets in LENGTHS:
            key, data = secrets.token_bytes(key_octets), secrets.token_bytes(data_octets)
            expected = hmac.digest(key, data, NAMES[digest_octets])
            assert keyed.hmac(digest_octets, key, data) == expected
            assert keyed.hmac_is_right(digest_octets, key, data, expected)


@digests
def test_wrong_macs(digest_octets: int) -> None:
    key, data = secrets.token_bytes(32), secrets.token_bytes(400)
    right = keyed.hmac(digest_octets, key, data)
    for at in range(digest_octets):
        wrong = bytearray(right)
        wrong[at] ^= 1 << at % 8
        assert not keyed.hmac_is_right(digest_octets, key, data, bytes(wrong))
    for wrong_length in (b"", right[:-1], right + b"\0", right[:12]):
        assert not keyed.hmac_is_right(digest_octets, key, data, wrong_length)
    assert not keyed.hmac_is_right(digest_octets, key[:-1], data, right)
    assert not keyed.hmac_is_right(digest_octets, key, data[:-1], right)


@digests
def test_hkdf_expand(digest_octets: int) -> None:
    most = 255 * digest_octets
    for info_octets in (0, 1, 32, 300):
        key, info = secrets.token_bytes(digest_octets), secrets.token_bytes(info_octets)
        whole = HKDFExpand(HASHES[digest_octets], most, info).derive(key)
        for length in (0, 1, digest_octets - 1, digest_octets, digest_octets + 1, 150, most):
            assert keyed.hkdf_expand(digest_octets, key, info, length) == whole[:length]
    for length in (-1, most + 1, 1 << 30):
        with pytest.raises(ValueError, match="octets of a stream"):
            keyed.hkdf_expand(digest_octets, b"key", b"", length)


def test_no_such_hash() -> None:
    for digest_octets in (0, 16, 64, -1):
        with pytest.raises(ValueError, match="20, 32 or 48"):
            keyed.hmac(digest_octets, b"", b"")
        with pytest.raises(ValueError, match="20, 32 or 48"):
            keyed.digest(digest_octets, b"")
        with pytest.raises(ValueError, match="20, 32 or 48"):
            keyed.hmac_is_right(digest_octets, b"", b"", b"")
        with pytest.raises(ValueError, match=r"20, 32 or 48|of a stream"):
            keyed.hkdf_expand(digest_octets, b"", b"", 0)


@pytest.mark.parametrize("key_octets", [16, 32])
def test_aes_cbc(key_octets: int) -> None:
    for blocks in (0, 1, 2, 3, 8, 128):
        key, iv = secrets.token_bytes(key_octets), secrets.token_bytes(16)
        text = secrets.token_bytes(16 * blocks)
        encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
        sealed = encryptor.update(text) + encryptor.finalize()
        assert keyed.aes_cbc(key, iv, text, encrypts=True) == sealed
        assert keyed.aes_cbc(key, iv, sealed, encrypts=False) == text


def test_lengths_of_aes() -> None:
    for key, iv, text in (
        (b"", bytes(16), bytes(16)),
        (bytes(24), bytes(16), bytes(16)),
        (bytes(16), bytes(15), bytes(16)),
        (bytes(16), bytes(17), bytes(16)),
        (bytes(16), bytes(16), bytes(15)),
        (bytes(32), bytes(16), bytes(17)),
    ):
        for encrypts in (True, False):
            with pytest.raises(ValueError, match="octets"):
                keyed.aes_cbc(key, iv, text, encrypts=encrypts)
