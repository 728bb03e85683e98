"""Layouts of RFC 7401 sections 5.2.16, 5.2.17 and 5.2.19."""

from __future__ import annotations

import pytest

from hipgw.wire import Ack, Notification, Parameter, Seq
from tests.unit.wire.layouts import check_layout, check_malformed, check_read, check_refused


@pytest.mark.parametrize(
    ("parameter", "number", "contents"),
    [
        (Seq(0), 385, "00000000"),
        (Seq(0xFFFFFFFE), 385, "fffffffe"),
        (Ack((1,)), 449, "00000001"),
        (Ack((1, 0x80000000, 3)), 449, "00000001 80000000 00000003"),
        (Notification(1, b"\x12\x35"), 832, "0000 0001 1235"),
        (Notification(16384), 832, "0000 4000"),
    ],
)
def test_layout(parameter: Parameter, number: int, contents: str) -> None:
    check_layout(parameter, number, contents)


@pytest.mark.parametrize(
    ("kind", "contents"),
    [
        (Seq, "000000"),
        (Seq, "0000000000"),
        (Ack, ""),
        (Ack, "000000"),
        (Ack, "0000000000"),
        (Notification, "000000"),
    ],
)
def test_malformed(kind: type[Parameter], contents: str) -> None:
    check_malformed(kind, contents)


def test_reserved_is_ignored() -> None:
    check_read(Notification, "ffff 0018", Notification(24))


@pytest.mark.parametrize(
    "parameter", [Seq(1 << 32), Seq(-1), Ack(()), Ack((1 << 32,)), Notification(1 << 16)], ids=repr
)
def test_what_must_not_be_sent(parameter: Parameter) -> None:
    check_refused(parameter)
