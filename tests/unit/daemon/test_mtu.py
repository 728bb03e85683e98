"""The MTU of hip0, against a table that was computed by hand from RFC 4303 and RFC 7402."""

from __future__ import annotations

import pytest

from hipgw.policy import interface_mtus, largest_inner_octets
from hipgw.values import Encapsulation, EspSuite

RAW, UDP = Encapsulation.RAW, Encapsulation.UDP
COLUMNS = [
    (1500, 4, RAW),
    (1500, 4, UDP),
    (1500, 6, RAW),
    (1500, 6, UDP),
    (9000, 4, RAW),
    (9000, 4, UDP),
    (9000, 6, RAW),
    (9000, 6, UDP),
]
# Largest inner packet between HITs; between LSIs it is 20 octets less.
TABLE = {
    EspSuite.AES_128_CBC_HMAC_SHA256: [1478, 1462, 1446, 1446, 8966, 8966, 8950, 8950],
    EspSuite.AES_256_CBC_HMAC_SHA256: [1478, 1462, 1446, 1446, 8966, 8966, 8950, 8950],
    EspSuite.NULL_HMAC_SHA256: [1494, 1486, 1474, 1466, 8994, 8986, 8974, 8966],
    EspSuite.AES_GCM_16: [1486, 1478, 1466, 1458, 8986, 8978, 8966, 8958],
    EspSuite.AES_128_CBC_HMAC_SHA1: [1478, 1462, 1462, 1446, 8982, 8966, 8950, 8950],
    EspSuite.AES_CCM_8: [1494, 1486, 1474, 1466, 8994, 8986, 8974, 8966],
    EspSuite.AES_CCM_16: [1486, 1478, 1466, 1458, 8986, 8978, 8966, 8958],
    EspSuite.AES_GCM_8: [1494, 1486, 1474, 1466, 8994, 8986, 8974, 8966],
    EspSuite.AES_CMAC_96: [1498, 1490, 1478, 1470, 8998, 8990, 8978, 8970],
    EspSuite.AES_GMAC: [1486, 1478, 1466, 1458, 8986, 8978, 8966, 8958],
    EspSuite.V1_AES_128_CBC_HMAC_SHA1: [1478, 1462, 1462, 1446, 8982, 8966, 8950, 8950],
    EspSuite.V1_TRIPLE_DES_CBC_HMAC_SHA1: [1486, 1478, 1470, 1462, 8990, 8982, 8966, 8958],
    EspSuite.V1_TRIPLE_DES_CBC_HMAC_MD5: [1486, 1478, 1470, 1462, 8990, 8982, 8966, 8958],
    EspSuite.V1_NULL_HMAC_SHA1: [1498, 1490, 1478, 1470, 8998, 8990, 8978, 8970],
    EspSuite.V1_NULL_HMAC_MD5: [1498, 1490, 1478, 1470, 8998, 8990, 8978, 8970],
    EspSuite.FULL_NULL_HMAC_SHA256: [1478, 1470, 1458, 1450, 8978, 8970, 8958, 8950],
    EspSuite.FULL_AES_128_CBC_HMAC_SHA256: [1462, 1446, 1430, 1430, 8950, 8950, 8934, 8934],
    EspSuite.FULL_AES_256_CBC_HMAC_SHA256: [1462, 1446, 1430, 1430, 8950, 8950, 8934, 8934],
}


@pytest.mark.parametrize("suite", list(EspSuite))
def test_largest_inner_packet(suite: EspSuite) -> None:
    for (mtu, family, encapsulation), expected in zip(COLUMNS, TABLE[suite], strict=True):
        assert largest_inner_octets(mtu, family, encapsulation, suite, 6) == expected
        assert largest_inner_octets(mtu, family, encapsulation, suite, 4) == expected - 20


@pytest.mark.parametrize("suite", list(EspSuite))
def test_the_next_larger_packet_does_not_fit(suite: EspSuite) -> None:
    sizes = {
        EspSuite.AES_128_CBC_HMAC_SHA256: (16, 16, 16),
        EspSuite.AES_256_CBC_HMAC_SHA256: (16, 16, 16),
        EspSuite.NULL_HMAC_SHA256: (0, 16, 4),
        EspSuite.AES_GCM_16: (8, 16, 4),
        EspSuite.AES_128_CBC_HMAC_SHA1: (16, 12, 16),
        EspSuite.AES_CCM_8: (8, 8, 4),
        EspSuite.AES_CCM_16: (8, 16, 4),
        EspSuite.AES_GCM_8: (8, 8, 4),
        EspSuite.AES_CMAC_96: (0, 12, 4),
        EspSuite.AES_GMAC: (8, 16, 4),
        EspSuite.V1_AES_128_CBC_HMAC_SHA1: (16, 12, 16),
        EspSuite.V1_TRIPLE_DES_CBC_HMAC_SHA1: (8, 12, 8),
        EspSuite.V1_TRIPLE_DES_CBC_HMAC_MD5: (8, 12, 8),
        EspSuite.V1_NULL_HMAC_SHA1: (0, 12, 4),
        EspSuite.V1_NULL_HMAC_MD5: (0, 12, 4),
        EspSuite.FULL_NULL_HMAC_SHA256: (0, 32, 4),
        EspSuite.FULL_AES_128_CBC_HMAC_SHA256: (16, 32, 16),
        EspSuite.FULL_AES_256_CBC_HMAC_SHA256: (16, 32, 16),
    }
    iv, icv, align = sizes[suite]
    for mtu in range(1280, 1330):
        inner = largest_inner_octets(mtu, 4, UDP, suite, 6)

        def outer(inner_octets: int) -> int:
            padded = -(-(inner_octets - 40 + 2) // align) * align
            return 20 + 8 + 8 + iv + padded + icv

        assert outer(inner) <= mtu < outer(inner + 1)


def test_the_interface_takes_the_worst_of_what_is_enabled() -> None:
    both = [EspSuite.AES_GCM_16, EspSuite.AES_128_CBC_HMAC_SHA256]
    assert interface_mtus(1500, both, [RAW, UDP]) == (1446, 1426)
    assert interface_mtus(1500, [EspSuite.AES_GCM_16], [RAW]) == (1466, 1446)
    assert interface_mtus(9000, both, [RAW]) == (8950, 8930)


def test_ipv6_keeps_its_least_mtu() -> None:
    assert interface_mtus(1280, [EspSuite.AES_128_CBC_HMAC_SHA256], [UDP]) == (1280, 1260)
