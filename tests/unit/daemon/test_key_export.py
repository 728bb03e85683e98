"""Lines of Wireshark's `esp_sa` table."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from hipgw.daemon.key_export import NAMES, UNCHECKED, esp_sa_line
from hipgw.values import Direction, EspSuite, Hit, Path, SecurityAssociation, Spi

SA = SecurityAssociation(
    direction=Direction.OUT,
    spi=Spi(0x1234),
    suite=EspSuite.AES_128_CBC_HMAC_SHA256,
    encryption_key=bytes(16),
    authentication_key=bytes(32),
    local_hit=Hit.parse("2001:21::1"),
    peer_hit=Hit.parse("2001:21::2"),
    path=Path(IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")),
)


def test_an_icv_over_64_bits_of_number_is_not_checked() -> None:
    """It would look wrong: the table has no place for the upper half."""
    usual, extended = (esp_sa_line(replace(SA, is_extended=known)) for known in (False, True))
    assert '"HMAC-SHA-256-128 [RFC4868]"' in usual
    assert extended == usual.replace(
        "HMAC-SHA-256-128 [RFC4868]", "ANY 128 bit authentication [no checking]"
    )


@pytest.mark.parametrize("suite", NAMES, ids=lambda suite: suite.name)
def test_no_suite_is_checked_wrongly(suite: EspSuite) -> None:
    line = esp_sa_line(replace(SA, suite=suite, is_extended=True))
    assert not any(f'"{name}"' in line for name in UNCHECKED)
