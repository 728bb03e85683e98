"""Layouts of RFC 8003 section 4."""

from __future__ import annotations

import pytest

from hipgw.wire import Parameter, RegFailed, RegInfo, RegRequest, RegResponse
from tests.unit.wire.layouts import check_layout, check_malformed, check_read, check_refused


@pytest.mark.parametrize(
    ("parameter", "number", "contents"),
    [
        (RegInfo(96, 159, (1, 2)), 930, "60 9f 01 02"),
        (RegInfo(0, 255), 930, "00 ff"),
        (RegRequest(120, (1,)), 932, "78 01"),
        (RegRequest(0), 932, "00"),
        (RegResponse(119, (2, 3, 204)), 934, "77 02 03 cc"),
        (RegFailed(9, (1,)), 936, "09 01"),
        (RegFailed(0), 936, "00"),
    ],
)
def test_layout(parameter: Parameter, number: int, contents: str) -> None:
    check_layout(parameter, number, contents)


@pytest.mark.parametrize(
    ("kind", "contents"), [(RegInfo, "60"), (RegRequest, ""), (RegResponse, ""), (RegFailed, "")]
)
def test_malformed(kind: type[Parameter], contents: str) -> None:
    check_malformed(kind, contents)


def test_nothing_offered() -> None:
    """RFC 8003 section 3.1: an empty REG_INFO; without lifetimes as well."""
    check_read(RegInfo, "", RegInfo(0, 0))


def test_what_must_not_be_sent() -> None:
    check_refused(RegInfo(256, 0))
    check_refused(RegRequest(1, (256,)))
    check_refused(RegFailed(-1))
