"""Layouts of RFC 8002 (CERT), RFC 6078 (HIP_DATA), RFC 6261, RFC 6028 and RFC 6079."""

from __future__ import annotations

import pytest

from hipgw.values import Hit
from hipgw.wire import (
    ROUTE_MUST_FOLLOW,
    ROUTE_SYMMETRIC,
    AckData,
    Cert,
    HipTransportMode,
    OverlayTtl,
    Parameter,
    PayloadMic,
    RouteDst,
    RouteVia,
    SeqData,
)
from tests.unit.wire.layouts import check_layout, check_malformed, check_read, check_refused

ONE = Hit.parse("2001:21::1")
TWO = Hit.parse("2001:22::2")
ONE_HEX = "20010021000000000000000000000001"
TWO_HEX = "20010022000000000000000000000002"


@pytest.mark.parametrize(
    ("parameter", "number", "contents"),
    [
        (Cert(7, 2, 1, 1, b"der"), 768, "07 02 01 01 646572"),
        (Cert(0, 255, 255, 3, b""), 768, "00 ff ff 03"),
        (SeqData(0xDEADBEEF), 4481, "deadbeef"),
        (AckData((1, 2)), 4545, "00000001 00000002"),
        (
            PayloadMic(6, b"lastoct8", b"\xee" * 32),
            4577,
            "06 000000 6c6173746f637438" + "ee" * 32,
        ),
        (HipTransportMode(10500, (3, 2, 1)), 7680, "2904 0003 0002 0001"),
        (HipTransportMode(0), 7680, "0000"),
        (RouteDst(ROUTE_SYMMETRIC, (ONE, TWO)), 4601, "8000 0000" + ONE_HEX + TWO_HEX),
        (RouteVia(ROUTE_MUST_FOLLOW, ()), 64017, "4000 0000"),
        (RouteVia(0, (TWO,) * 32), 64017, "0000 0000" + TWO_HEX * 32),
        (OverlayTtl(64), 64011, "0040 0000"),
    ],
)
def test_layout(parameter: Parameter, number: int, contents: str) -> None:
    check_layout(parameter, number, contents)


@pytest.mark.parametrize(
    ("kind", "contents"),
    [
        (Cert, "070201"),
        (Cert, "07 02 00 01"),  # ids start at 1
        (Cert, "07 02 03 01"),  # third of two
        (SeqData, "0000"),
        (AckData, ""),
        (AckData, "000000"),
        (PayloadMic, "00" * 11),
        (HipTransportMode, ""),
        (HipTransportMode, "000000"),
        (RouteDst, ""),
        (RouteDst, "0000 0000"),  # at least one HIT
        (RouteDst, "0000 0000" + ONE_HEX * 33),
        (RouteVia, "0000"),
        (RouteVia, "0000 0000 00"),
        (RouteVia, "0000 0000" + ONE_HEX * 33),
        (OverlayTtl, "0040"),
        (OverlayTtl, "0040 0000 00"),
    ],
)
def test_malformed(kind: type[Parameter], contents: str) -> None:
    check_malformed(kind, contents)


def test_reserved_is_ignored() -> None:
    check_read(OverlayTtl, "0001 ffff", OverlayTtl(1))
    check_read(RouteVia, "0000 ffff" + ONE_HEX, RouteVia(0, (ONE,)))
    check_read(PayloadMic, "06 ffffff" + "00" * 8, PayloadMic(6, bytes(8), b""))


@pytest.mark.parametrize(
    "parameter",
    [
        Cert(0, 1, 2, 1, b""),
        Cert(0, 1, 0, 1, b""),
        Cert(256, 1, 1, 1, b""),
        SeqData(1 << 32),
        AckData(()),
        PayloadMic(6, b"short", b""),
        HipTransportMode(0x10000),
        RouteDst(0, ()),
        RouteVia(0, (ONE,) * 33),
        OverlayTtl(0x10000),
    ],
    ids=lambda parameter: type(parameter).__name__,
)
def test_what_must_not_be_sent(parameter: Parameter) -> None:
    check_refused(parameter)
