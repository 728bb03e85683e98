"""Layouts of RFC 7401 sections 5.2.9 and 5.2.10."""

from __future__ import annotations

import pytest

from hipgw.wire import HitSuiteList, HostId, Parameter
from tests.unit.wire.layouts import check_layout, check_malformed, check_refused

NAI = b"user@example.org"


@pytest.mark.parametrize(
    ("parameter", "number", "contents"),
    [
        (HostId(5, b"\3\1\0\1" + b"n" * 128), 705, "0084 0000 0005 03010001" + "6e" * 128),
        (HostId(7, b"\0\1\4xy", 2, NAI), 705, "0005 2010 0007 0001047879" + NAI.hex()),
        (HostId(13, b"k", 1, b"\1a\0"), 705, "0001 1003 000d 6b 016100"),
        (HostId(5, b"k", 1), 705, "0001 1000 0005 6b"),
        (HitSuiteList((1, 2, 3, 5)), 715, "10 20 30 50"),
        (HitSuiteList((15,)), 715, "f0"),
        (HitSuiteList(()), 715, ""),
    ],
)
def test_layout(parameter: Parameter, number: int, contents: str) -> None:
    check_layout(parameter, number, contents)


@pytest.mark.parametrize(
    ("kind", "contents"),
    [
        (HostId, "0000 0000 00"),
        (HostId, "0002 0000 0005 6b"),
        (HostId, "0001 0000 0005 6b 6b"),
        (HostId, "0001 1002 0005 6b 6b"),
        (HostId, "0001 0001 0005 6b 61"),  # a DI of type 0
        (HitSuiteList, "10 21"),
        (HitSuiteList, "01"),
    ],
)
def test_malformed(kind: type[Parameter], contents: str) -> None:
    check_malformed(kind, contents)


@pytest.mark.parametrize(
    "parameter",
    [
        HostId(5, b"k", 0, b"di"),
        HostId(5, b"k", 16, b"di"),
        HostId(5, b"k", 1, bytes(0x1000)),
        HostId(0x10000, b"k"),
        HitSuiteList((16,)),
        HitSuiteList((-1,)),
    ],
    ids=lambda parameter: type(parameter).__name__,
)
def test_what_must_not_be_sent(parameter: Parameter) -> None:
    check_refused(parameter)
