"""RHASH and MAC of each suite."""

from __future__ import annotations

import hashlib

import pytest

from hipgw.crypto import compute_mac, cshake128, kmac128, mac_is_right, rhash
from hipgw.values import RHASH_OCTETS, HitSuite

SUITES = list(HitSuite)


@pytest.mark.parametrize(
    ("suite", "expected"),
    [
        (HitSuite.RSA_DSA_SHA256, hashlib.sha256(b"abc").digest()),
        (HitSuite.ECDSA_SHA384, hashlib.sha384(b"abc").digest()),
        (HitSuite.ECDSA_LOW_SHA1, hashlib.sha1(b"abc").digest()),  # noqa: S324
        (HitSuite.EDDSA_CSHAKE128, hashlib.shake_128(b"abc").digest(32)),
    ],
)
def test_rhash(suite: HitSuite, expected: bytes) -> None:
    assert rhash(suite, b"abc") == expected
    assert len(expected) == RHASH_OCTETS[suite]


def test_suite_5_is_kmac_without_customization() -> None:
    assert compute_mac(HitSuite.EDDSA_CSHAKE128, b"key", b"data") == kmac128(b"key", b"data", 32)


@pytest.mark.parametrize("suite", SUITES, ids=lambda s: s.name)
def test_mac(suite: HitSuite) -> None:
    mac = compute_mac(suite, b"k" * RHASH_OCTETS[suite], b"data")
    assert len(mac) == RHASH_OCTETS[suite]
    assert mac_is_right(suite, b"k" * RHASH_OCTETS[suite], b"data", mac)
    for wrong in (b"", mac[:-1], mac + b"\0", bytes(len(mac)), mac[:-1] + bytes([mac[-1] ^ 1])):
        assert not mac_is_right(suite, b"k" * RHASH_OCTETS[suite], b"data", wrong)
    assert not mac_is_right(suite, b"K" * RHASH_OCTETS[suite], b"data", mac)
    assert not mac_is_right(suite, b"k" * RHASH_OCTETS[suite], b"Data", mac)


@pytest.mark.parametrize("length", [0, 1, 167, 168, 169, 336, 500])
def test_sponge_at_block_borders(length: int) -> None:
    message = bytes(range(256)) * 2
    # The beginning of a longer output is the shorter output; N and S empty is plain SHAKE128.
    custom = cshake128(message[:length], 500, customization=b"x")
    assert cshake128(message[:length], length, customization=b"x") == custom[:length]
    assert cshake128(message[:length], 64) == hashlib.shake_128(message[:length]).digest(64)
    assert cshake128(message[:length], 32, customization=b"y") != custom[:32]
