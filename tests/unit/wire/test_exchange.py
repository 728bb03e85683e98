"""Layouts of RFC 7401 sections 5.2.3 to 5.2.8, 5.2.11 and 5.2.18."""

from __future__ import annotations

import pytest

from hipgw.wire import (
    DhGroupList,
    DiffieHellman,
    Encrypted,
    HipCipherList,
    Parameter,
    Puzzle,
    R1Counter,
    Solution,
    TransportFormatList,
)
from tests.unit.wire.layouts import check_layout, check_malformed, check_read, check_refused

I32 = bytes(range(32))
J32 = bytes(range(32, 64))


@pytest.mark.parametrize(
    ("parameter", "number", "contents"),
    [
        (R1Counter(0x0102030405060708), 129, "00000000 0102030405060708"),
        (R1Counter(7, reserved=0xDEADBEEF), 129, "deadbeef 0000000000000007"),
        (Puzzle(10, 37, b"\xab\xcd", I32), 257, "0a 25 abcd" + I32.hex()),
        (Puzzle(0, 42, b"HI", bytes(8)), 257, "00 2a 4849 0000000000000000"),
        (Solution(10, b"\xab\xcd", I32, J32), 321, "0a 00 abcd" + I32.hex() + J32.hex()),
        (Solution(0, b"\0\0", b"\1" * 20, b"\2" * 20), 321, "00000000" + "01" * 20 + "02" * 20),
        (Solution(1, b"\0\0", b"\1", b"\2", reserved=9), 321, "01 09 0000 01 02"),
        (DhGroupList((3, 4, 8)), 511, "03 04 08"),
        (DhGroupList(()), 511, ""),
        (DiffieHellman(7, b"\xaa" * 64), 513, "07 0040" + "aa" * 64),
        (DiffieHellman(3, b""), 513, "03 0000"),
        (HipCipherList((4, 2, 1)), 579, "0004 0002 0001"),
        (HipCipherList(()), 579, ""),
        (Encrypted(b"iv-and-text"), 641, "00000000" + b"iv-and-text".hex()),
        (Encrypted(b"", reserved=0x80000001), 641, "80000001"),
        (TransportFormatList((4095, 2050)), 2049, "0fff 0802"),
    ],
)
def test_layout(parameter: Parameter, number: int, contents: str) -> None:
    check_layout(parameter, number, contents)


@pytest.mark.parametrize(
    ("kind", "contents"),
    [
        (R1Counter, "00" * 11),
        (R1Counter, "00" * 13),
        (Puzzle, ""),
        (Puzzle, "0a25ab"),
        (Puzzle, "0a25abcd"),
        (Solution, "0a00abcd"),
        (Solution, "0a00abcd 01"),
        (Solution, "0a00abcd 010203"),
        (DiffieHellman, "0700"),
        (DiffieHellman, "070003 0102"),
        (DiffieHellman, "070001 0102"),
        (HipCipherList, "0002 00"),
        (Encrypted, "000000"),
        (TransportFormatList, "0f"),
    ],
)
def test_malformed(kind: type[Parameter], contents: str) -> None:
    check_malformed(kind, contents)


def test_seventh_cipher_is_dropped() -> None:
    """RFC 7401 section 5.2.8: accept the first six and drop the rest."""
    check_read(HipCipherList, "0001000200030004000500060007", HipCipherList((1, 2, 3, 4, 5, 6)))


@pytest.mark.parametrize(
    "parameter",
    [
        HipCipherList((1, 2, 3, 4, 5, 6, 7)),
        HipCipherList((0x10000,)),
        Puzzle(0, 0, b"abc", b"i"),
        Puzzle(0, 0, b"ab", b""),
        Puzzle(256, 0, b"ab", b"i"),
        Solution(0, b"ab", b"i", b"jj"),
        Solution(0, b"a", b"i", b"j"),
        DhGroupList((256,)),
        DhGroupList((-1,)),
        DiffieHellman(1, bytes(0x10000)),
        R1Counter(1 << 64),
        Encrypted(b"", reserved=1 << 32),
    ],
    ids=repr,
)
def test_what_must_not_be_sent(parameter: Parameter) -> None:
    check_refused(parameter)


def test_puzzle_lifetime() -> None:
    """RFC 7401 section 5.2.4: 2^(value - 32) seconds."""
    lifetimes = [Puzzle(0, code, b"\0\0", b"i").lifetime_s for code in (32, 37, 39, 42, 31)]
    assert lifetimes == [1.0, 32.0, 128.0, 1024.0, 0.5]
