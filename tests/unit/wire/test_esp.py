"""Layouts of RFC 7402 section 5.1."""

from __future__ import annotations

import pytest

from hipgw.wire import EspInfo, EspTransform, Parameter
from tests.unit.wire.layouts import check_layout, check_malformed, check_read, check_refused


@pytest.mark.parametrize(
    ("parameter", "number", "contents"),
    [
        (EspInfo(0x60, 0, 0x1A2B3C4D), 65, "0000 0060 00000000 1a2b3c4d"),
        (EspInfo(0xFFFF, 0x100, 0xFFFFFFFF), 65, "0000 ffff 00000100 ffffffff"),
        (EspTransform((8, 9, 13)), 4095, "0000 0008 0009 000d"),
        (EspTransform(()), 4095, "0000"),
    ],
)
def test_layout(parameter: Parameter, number: int, contents: str) -> None:
    check_layout(parameter, number, contents)


@pytest.mark.parametrize(
    ("kind", "contents"),
    [
        (EspInfo, "00" * 11),
        (EspInfo, "00" * 16),
        (EspTransform, ""),
        (EspTransform, "00"),
        (EspTransform, "0000 00"),
    ],
)
def test_malformed(kind: type[Parameter], contents: str) -> None:
    check_malformed(kind, contents)


def test_tolerance() -> None:
    """Reserved fields are ignored, and so is a seventh suite (section 5.1.2)."""
    check_read(EspInfo, "ffff 0060 00000000 1a2b3c4d", EspInfo(0x60, 0, 0x1A2B3C4D))
    check_read(
        EspTransform, "ffff 0001 0002 0003 0004 0005 0006 0007", EspTransform((1, 2, 3, 4, 5, 6))
    )


def test_what_must_not_be_sent() -> None:
    check_refused(EspTransform((1, 2, 3, 4, 5, 6, 7)))
    check_refused(EspInfo(0x10000, 0, 0))
    check_refused(EspInfo(0, 0, 1 << 32))
