"""Parameters that are one field: RFC 7401 sections 5.2.12 to 5.2.15, 5.2.20 to 5.2.23."""

from __future__ import annotations

import pytest

from hipgw.wire import (
    EchoRequestSigned,
    EchoRequestUnsigned,
    EchoResponseSigned,
    EchoResponseUnsigned,
    HipMac,
    HipMac2,
    HipSignature,
    HipSignature2,
    OverlayId,
    Parameter,
    RelayHmac,
    RvsHmac,
    TransactionId,
)
from tests.unit.wire.layouts import check_layout, check_malformed, check_refused

MACS = [(HipMac, 61505), (HipMac2, 61569), (RvsHmac, 65500), (RelayHmac, 65520)]
SIGNATURES = [(HipSignature2, 61633), (HipSignature, 61697)]
OPAQUE = [
    (EchoRequestSigned, 897),
    (EchoResponseSigned, 961),
    (TransactionId, 4580),
    (OverlayId, 4592),
    (EchoResponseUnsigned, 63425),
    (EchoRequestUnsigned, 63661),
]


@pytest.mark.parametrize(("kind", "number"), MACS)
@pytest.mark.parametrize("mac_octets", [20, 32, 48])
def test_mac(
    kind: type[HipMac | HipMac2 | RvsHmac | RelayHmac], number: int, mac_octets: int
) -> None:
    check_layout(kind(b"\x5a" * mac_octets), number, "5a" * mac_octets)


@pytest.mark.parametrize(("kind", "number"), MACS)
def test_empty_mac(kind: type[HipMac | HipMac2 | RvsHmac | RelayHmac], number: int) -> None:
    check_malformed(kind, "")
    check_refused(kind(b""))


@pytest.mark.parametrize(("kind", "number"), SIGNATURES)
def test_signature(kind: type[HipSignature | HipSignature2], number: int) -> None:
    check_layout(kind(5, b"sig"), number, "0005 736967")
    check_layout(kind(0xFFFF, b"\0"), number, "ffff 00")
    check_malformed(kind, "")
    check_malformed(kind, "00")
    check_malformed(kind, "0005")
    check_refused(kind(5, b""))
    check_refused(kind(0x10000, b"sig"))


@pytest.mark.parametrize(("kind", "number"), OPAQUE)
def test_opaque(kind: type[EchoRequestSigned], number: int) -> None:
    check_layout(kind(b""), number, "")
    check_layout(kind(b"nonce"), number, "6e6f6e6365")


def test_kinds_differ() -> None:
    """Equal contents of another type are another value."""
    one: Parameter = EchoRequestSigned(b"x")
    assert one != EchoResponseSigned(b"x")
    mac: Parameter = HipMac(b"x")
    assert mac != HipMac2(b"x")
