"""Layouts of RFC 8004 section 4.2 and RFC 9028 section 5."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from hipgw.wire import (
    CandidatePriority,
    From,
    MappedAddress,
    NatTraversalMode,
    Nominate,
    Parameter,
    PeerPermission,
    PermissionRule,
    RegFrom,
    RelayedAddress,
    RelayFrom,
    RelayTo,
    TransactionPacing,
    ViaRvs,
)
from tests.unit.wire.layouts import check_layout, check_malformed, check_read, check_refused

V6 = ip_address("2001:db8::1")
V4 = ip_address("198.51.100.7")
V6_HEX = "20010db8000000000000000000000001"
V4_HEX = "00000000000000000000ffffc6336407"
RULE = PermissionRule(1000, 2000, 17, V4, V6, 0x11111111, 0x22222222)
RULE_HEX = "03e8 07d0 11 000000" + V4_HEX + V6_HEX + "11111111 22222222"


@pytest.mark.parametrize(
    ("parameter", "number", "contents"),
    [
        (NatTraversalMode((3, 1)), 608, "0000 0003 0001"),
        (NatTraversalMode(()), 608, "0000"),
        (TransactionPacing(50), 610, "00000032"),
        (RegFrom(10500, 17, V4), 950, "2904 11 00" + V4_HEX),
        (RelayedAddress(1, 17, V6), 4650, "0001 11 00" + V6_HEX),
        (MappedAddress(65535, 17, V4), 4660, "ffff 11 00" + V4_HEX),
        (PeerPermission((RULE,)), 4680, RULE_HEX),
        (PeerPermission((RULE, RULE)), 4680, RULE_HEX * 2),
        (CandidatePriority(0x7EFFFFFF), 4700, "7effffff"),
        (Nominate(), 4710, "00000000"),
        (RelayFrom(0, 0, V6), 63998, "0000 00 00" + V6_HEX),
        (RelayTo(10500, 17, V4), 64002, "2904 11 00" + V4_HEX),
        (From(V4), 65498, V4_HEX),
        (From(V6), 65498, V6_HEX),
        (ViaRvs((V6,)), 65502, V6_HEX),
        (ViaRvs((V6, V4)), 65502, V6_HEX + V4_HEX),
    ],
)
def test_layout(parameter: Parameter, number: int, contents: str) -> None:
    check_layout(parameter, number, contents)


@pytest.mark.parametrize(
    ("kind", "contents"),
    [
        (NatTraversalMode, ""),
        (NatTraversalMode, "000000"),
        (TransactionPacing, "000032"),
        (TransactionPacing, "0000000032"),
        (RegFrom, "00" * 16),
        (RelayFrom, "00" * 19),
        (RelayTo, "00" * 21),
        (RelayedAddress, ""),
        (MappedAddress, "00" * 24),
        (PeerPermission, ""),
        (PeerPermission, "00" * 47),
        (PeerPermission, "00" * 50),
        (CandidatePriority, "00"),
        (Nominate, ""),
        (Nominate, "0000000000"),
        (From, "00" * 15),
        (From, "00" * 32),
        (ViaRvs, ""),
        (ViaRvs, "00" * 17),
    ],
)
def test_malformed(kind: type[Parameter], contents: str) -> None:
    check_malformed(kind, contents)


def test_tolerance() -> None:
    """Reserved fields are ignored; a seventh mode is dropped (RFC 9028 section 5.4)."""
    check_read(
        NatTraversalMode,
        "ffff 0001 0002 0003 0004 0005 0006 0007",
        NatTraversalMode((1, 2, 3, 4, 5, 6)),
    )
    check_read(RegFrom, "2904 11 ff" + V4_HEX, RegFrom(10500, 17, V4))
    check_read(Nominate, "ffffffff", Nominate())
    check_read(PeerPermission, RULE_HEX.replace("11 000000", "11 ffffff"), PeerPermission((RULE,)))


@pytest.mark.parametrize(
    "parameter",
    [
        NatTraversalMode((1, 2, 3, 4, 5, 6, 7)),
        TransactionPacing(-1),
        RegFrom(0x10000, 17, V4),
        RelayTo(0, 256, V4),
        PeerPermission(()),
        CandidatePriority(1 << 32),
        ViaRvs(()),
    ],
    ids=repr,
)
def test_what_must_not_be_sent(parameter: Parameter) -> None:
    check_refused(parameter)
