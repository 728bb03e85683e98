"""KEYMAT against the HKDF of `cryptography`, its limits, and how keys are cut from it."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hipgw.crypto import Keymat, draw_esp_keys, draw_hip_keys
from hipgw.errors import CryptoError
from hipgw.values import ESP_SHAPES, RHASH_OCTETS, EspSuite, HipCipher, Hit, HitSuite

LOW, HIGH = Hit.parse("2001:21::ffff"), Hit.parse("2001:21::1:0")
KIJ = bytes(range(32))
SUITES = list(HitSuite)


def make(suite: HitSuite, a: Hit = LOW, b: Hit = HIGH) -> Keymat:
    size = RHASH_OCTETS[suite]
    return Keymat(suite, KIJ, a, b, b"i" * size, b"j" * size)


@pytest.mark.parametrize(
    ("suite", "algorithm"),
    [
        (HitSuite.RSA_DSA_SHA256, hashes.SHA256()),
        (HitSuite.ECDSA_SHA384, hashes.SHA384()),
        (HitSuite.ECDSA_LOW_SHA1, hashes.SHA1()),  # noqa: S303
    ],
)
def test_is_hkdf(suite: HitSuite, algorithm: hashes.HashAlgorithm) -> None:
    size = RHASH_OCTETS[suite]
    hkdf = HKDF(algorithm, 500, b"i" * size + b"j" * size, LOW.packed + HIGH.packed)
    assert make(suite).octets(0, 500) == hkdf.derive(KIJ)


@pytest.mark.parametrize("suite", SUITES, ids=lambda s: s.name)
def test_order_of_the_hits_does_not_matter(suite: HitSuite) -> None:
    assert make(suite, LOW, HIGH).octets(0, 100) == make(suite, HIGH, LOW).octets(0, 100)


def test_every_input_matters() -> None:
    suite = HitSuite.RSA_DSA_SHA256
    streams = {
        Keymat(suite, kij, a, b, i, j).octets(0, 64)
        for kij, a, b, i, j in [
            (KIJ, LOW, HIGH, b"i", b"j"),
            (KIJ + b"\0", LOW, HIGH, b"i", b"j"),
            (KIJ, LOW, LOW, b"i", b"j"),
            (KIJ, LOW, HIGH, b"x", b"j"),
            (KIJ, LOW, HIGH, b"i", b"x"),
        ]
    }
    assert len(streams) == 5


@pytest.mark.parametrize("suite", [HitSuite.RSA_DSA_SHA256, HitSuite.ECDSA_SHA384])
def test_ends_after_255_blocks(suite: HitSuite) -> None:
    limit = 255 * RHASH_OCTETS[suite]
    keymat = make(suite)
    assert len(keymat.octets(0, limit)) == limit
    assert keymat.octets(limit, 0) == b""
    for offset, length in [(0, limit + 1), (limit, 1), (-1, 2), (0, -1), (65535, 64)]:
        with pytest.raises(CryptoError):
            keymat.octets(offset, length)


def test_esp_keys_beyond_the_end_are_refused() -> None:
    keymat = make(HitSuite.RSA_DSA_SHA256)
    suite = EspSuite.AES_GCM_16
    assert draw_esp_keys(keymat, 255 * 32 - 40, suite, LOW, HIGH).keymat_index_after == 255 * 32
    with pytest.raises(CryptoError):
        draw_esp_keys(keymat, 255 * 32 - 39, suite, LOW, HIGH)


@pytest.mark.parametrize(
    ("cipher", "suite", "index"),
    [
        (HipCipher.AES_128_CBC, HitSuite.RSA_DSA_SHA256, 96),
        (HipCipher.AES_128_CBC, HitSuite.ECDSA_SHA384, 128),
        (HipCipher.AES_128_CBC, HitSuite.ECDSA_LOW_SHA1, 72),
        (HipCipher.AES_128_CBC, HitSuite.EDDSA_CSHAKE128, 96),
        (HipCipher.AES_256_CBC, HitSuite.RSA_DSA_SHA256, 128),
        (HipCipher.AES_256_CBC, HitSuite.ECDSA_SHA384, 160),
        (HipCipher.AES_256_CBC, HitSuite.ECDSA_LOW_SHA1, 104),
        (HipCipher.NULL, HitSuite.RSA_DSA_SHA256, 64),
        (HipCipher.NULL, HitSuite.ECDSA_SHA384, 96),
        (HipCipher.NULL, HitSuite.ECDSA_LOW_SHA1, 40),
    ],
)
def test_index_after_the_hip_keys(cipher: HipCipher, suite: HitSuite, index: int) -> None:
    keys = draw_hip_keys(make(suite), cipher, suite, LOW, HIGH)
    assert keys.keymat_index == index
    assert len(keys.encryption_out) == len(keys.encryption_in) == cipher.key_octets
    assert len(keys.mac_out) == len(keys.mac_in) == RHASH_OCTETS[suite]


def test_the_greater_hit_sends_with_the_first_keys() -> None:
    suite = HitSuite.RSA_DSA_SHA256
    keymat = make(suite)
    greater = draw_hip_keys(keymat, HipCipher.AES_128_CBC, suite, HIGH, LOW)
    assert greater.encryption_out + greater.mac_out == keymat.octets(0, 48)
    assert greater.encryption_in + greater.mac_in == keymat.octets(48, 48)
    lower = draw_hip_keys(keymat, HipCipher.AES_128_CBC, suite, LOW, HIGH)
    assert (lower.encryption_in, lower.mac_in) == (greater.encryption_out, greater.mac_out)
    assert (lower.encryption_out, lower.mac_out) == (greater.encryption_in, greater.mac_in)


@pytest.mark.parametrize("esp_suite", list(EspSuite), ids=lambda s: s.name)
def test_esp_keys_have_the_shape_of_their_suite(esp_suite: EspSuite) -> None:
    shape = ESP_SHAPES[esp_suite]
    keymat = make(HitSuite.RSA_DSA_SHA256)
    keys = draw_esp_keys(keymat, 96, esp_suite, HIGH, LOW)
    drawn = (
        keys.encryption_out + keys.authentication_out + keys.encryption_in + keys.authentication_in
    )
    assert drawn == keymat.octets(96, keys.keymat_index_after - 96)
    assert len(keys.encryption_in) == shape.encryption_key_octets
    assert len(keys.authentication_in) == shape.authentication_key_octets


def test_reprs_hold_no_keys() -> None:
    suite = HitSuite.RSA_DSA_SHA256
    keymat = make(suite)
    keys = draw_hip_keys(keymat, HipCipher.AES_128_CBC, suite, LOW, HIGH)
    esp = draw_esp_keys(keymat, keys.keymat_index, EspSuite.AES_GCM_16, LOW, HIGH)
    assert repr(keymat) == "Keymat(RSA_DSA_SHA256)"
    assert repr(keys) == "HipKeys(keymat_index=96)"
    assert repr(esp) == "EspKeys(keymat_index_after=136)"


def test_swapped_mac_keys_are_those_of_the_other_direction() -> None:
    keys = draw_hip_keys(
        make(HitSuite.RSA_DSA_SHA256), HipCipher.AES_128_CBC, HitSuite.RSA_DSA_SHA256, HIGH, LOW
    )
    swapped = keys.with_mac_keys_swapped()
    assert (swapped.mac_out, swapped.mac_in) == (keys.mac_in, keys.mac_out)
    assert (swapped.encryption_out, swapped.encryption_in) == (
        keys.encryption_out,
        keys.encryption_in,
    )
    assert swapped.keymat_index == keys.keymat_index
    assert swapped.with_mac_keys_swapped() == keys
    assert keys.mac_out != keys.mac_in
    assert keys.mac_out.hex() not in repr(swapped)
