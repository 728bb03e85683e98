"""The choice of ciphers in words and as rows."""

from __future__ import annotations

from hipgw.daemon.cipher_views import cipher_checks, cipher_rows
from hipgw.dataplane.ciphers import CipherChoice, CipherTiming
from hipgw.values import EspSuite

WIDE = CipherTiming("intel-ipsec-mb 1.3.0", "avx512", 28.44, 33.6)
BROKEN = CipherTiming("intel-ipsec-mb 1.3.0", "sse", 0.0, 0.0)
LIBRARY = CipherTiming("OpenSSL 3.0.19", "", 6.6, 12.2)
CBC = CipherChoice(
    EspSuite.AES_128_CBC_HMAC_SHA256, WIDE, (WIDE, BROKEN, LIBRARY), seal_least=4, open_least=8
)
ALONE = CipherChoice(
    EspSuite.AES_GCM_16, LIBRARY, (LIBRARY,), reason="intel-ipsec-mb is not installed"
)


def test_a_sentence_for_each_suite() -> None:
    assert [(check["name"], check["outcome"]) for check in cipher_checks([CBC, ALONE])] == [
        ("crypto AES_128_CBC_HMAC_SHA256", "ok"),
        ("crypto AES_GCM_16", "ok"),
    ]
    assert [check["detail"] for check in cipher_checks([CBC, ALONE])] == [
        (
            "intel-ipsec-mb 1.3.0 avx512 28/34 Gbit/s from 4/8 packets on, "
            "intel-ipsec-mb 1.3.0 sse failed its self-test, OpenSSL 3.0.19 7/12 Gbit/s"
        ),
        "OpenSSL 3.0.19 7/12 Gbit/s (intel-ipsec-mb is not installed)",
    ]


def test_a_row_for_each_suite() -> None:
    [row] = cipher_rows([CBC])
    assert row == {
        "suite": "AES_128_CBC_HMAC_SHA256",
        "suites": ["AES_128_CBC_HMAC_SHA256", "FULL_AES_128_CBC_HMAC_SHA256"],
        "library": "intel-ipsec-mb 1.3.0",
        "variant": "avx512",
        "works": True,
        "seal_gbit_s": 28.4,
        "open_gbit_s": 33.6,
        "seal_least_packets": 4,
        "open_least_packets": 8,
        "reason": "",
        "candidates": row["candidates"],
    }
    assert [(one["variant"], one["works"]) for one in row["candidates"]] == [
        ("avx512", True),
        ("sse", False),
        ("", True),
    ]
