"""KEYMAT of HIPv1: the chain as RFC 5201 section 6.5 spells it, and how keys are cut from it."""

from __future__ import annotations

import hashlib

import pytest

from hipgw.crypto import KeymatV1, draw_esp_keys, draw_hip_keys_v1
from hipgw.errors import CryptoError
from hipgw.values import ESP_SHAPES_V1, EspSuiteV1, HipTransform, Hit

LOW, HIGH = Hit.parse("2001:10::ffff"), Hit.parse("2001:10::1:0")
KIJ = bytes(range(192))
I_OCTETS, J_OCTETS = b"i" * 8, b"j" * 8


def make(a: Hit = LOW, b: Hit = HIGH) -> KeymatV1:
    return KeymatV1(KIJ, a, b, I_OCTETS, J_OCTETS)


def sha1(*parts: bytes) -> bytes:
    return hashlib.sha1(b"".join(parts), usedforsecurity=False).digest()


def test_chain() -> None:
    k1 = sha1(KIJ, LOW.packed, HIGH.packed, I_OCTETS, J_OCTETS, b"\x01")
    k2 = sha1(KIJ, k1, b"\x02")
    k3 = sha1(KIJ, k2, b"\x03")
    assert make().octets(0, 60) == k1 + k2 + k3
    assert make().octets(15, 20) == (k1 + k2)[15:35]
    assert make().octets(0, 0) == b""


def test_counter_wraps() -> None:
    stream = make().octets(0, 20 * 258)
    blocks = [stream[start : start + 20] for start in range(0, len(stream), 20)]
    assert blocks[254] == sha1(KIJ, blocks[253], b"\xff")
    assert blocks[255] == sha1(KIJ, blocks[254], b"\x00")
    assert blocks[256] == sha1(KIJ, blocks[255], b"\x01")


def test_order_of_the_hits_does_not_matter() -> None:
    assert make(HIGH, LOW).octets(0, 100) == make().octets(0, 100)


def test_limits() -> None:
    assert len(make().octets(0xFFFF, 1)) == 1
    for offset, length in ((0xFFFF, 2), (-1, 2), (0, -1), (0x10000, 1)):
        with pytest.raises(CryptoError):
            make().octets(offset, length)


def test_repr_shows_nothing() -> None:
    assert repr(make()) == "KeymatV1()"


@pytest.mark.parametrize("transform", HipTransform, ids=lambda t: t.name)
def test_hip_keys(transform: HipTransform) -> None:
    """gl_enc, gl_mac, lg_enc, lg_mac."""
    keys = draw_hip_keys_v1(make(), transform, HIGH, LOW)
    drawn = keys.encryption_out + keys.mac_out + keys.encryption_in + keys.mac_in
    assert drawn == make().octets(0, keys.keymat_index)
    assert len(keys.encryption_out) == len(keys.encryption_in) == transform.key_octets
    assert len(keys.mac_out) == len(keys.mac_in) == transform.mac_octets
    other = draw_hip_keys_v1(make(), transform, LOW, HIGH)
    assert (other.encryption_in, other.mac_in) == (keys.encryption_out, keys.mac_out)


def test_index_after_the_mandatory_suite() -> None:
    keys = draw_hip_keys_v1(make(), HipTransform.AES_128_CBC_HMAC_SHA1, LOW, HIGH)
    assert keys.keymat_index == 72


@pytest.mark.parametrize("suite", EspSuiteV1, ids=lambda s: s.name)
def test_esp_keys_have_the_shape_of_their_suite(suite: EspSuiteV1) -> None:
    keys = draw_esp_keys(make(), 72, suite, LOW, HIGH)
    drawn = keys.encryption_in + keys.authentication_in
    drawn += keys.encryption_out + keys.authentication_out
    assert drawn == make().octets(72, keys.keymat_index_after - 72)
    shape = ESP_SHAPES_V1[suite]
    assert len(keys.encryption_out) == shape.encryption_key_octets
    assert len(keys.authentication_out) == shape.authentication_key_octets


def test_esp_keys_beyond_the_end() -> None:
    with pytest.raises(CryptoError):
        draw_esp_keys(make(), 0xFFF0, EspSuiteV1.NULL_HMAC_SHA1, LOW, HIGH)


# RFC 5201 section 5.2.7, RFC 5202 section 5.1.2, RFC 2404: key, IV, MAC, ICV.
SIZES = {
    1: (16, 16, 20, 12),
    2: (24, 8, 20, 12),
    3: (24, 8, 16, 12),
    4: (16, 8, 20, 12),
    5: (0, 0, 20, 12),
    6: (0, 0, 16, 12),
}


def test_sizes_of_the_suites() -> None:
    for number, (key, iv, mac, icv) in SIZES.items():
        transform, shape = HipTransform(number), ESP_SHAPES_V1[EspSuiteV1(number)]
        assert (transform.key_octets, transform.iv_octets, transform.mac_octets) == (key, iv, mac)
        assert transform.block_octets == (iv or 1)
        assert (shape.encryption_key_octets, shape.iv_octets) == (key, iv)
        assert (shape.authentication_key_octets, shape.icv_octets) == (mac, icv)
        assert shape.alignment_octets == max(iv, 4)
