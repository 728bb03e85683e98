"""What is there of a kind in a packet: the index of a received one finds what a search finds."""

from __future__ import annotations

from itertools import combinations

import pytest

from hipgw.values import Hit, Quirk
from hipgw.wire import (
    PARAMETERS,
    PARAMETERS_V1,
    EchoRequestUnsigned,
    Encrypted,
    EspInfo,
    HipMac,
    HipMac2,
    HipMacV1,
    HipPacket,
    HipSignature,
    HostId,
    PacketType,
    Parameter,
    R1Counter,
    Seq,
    Solution,
    emit_packet,
    parse_packet,
)
from hipgw.wire.foreign_layouts import parameters_with
from hipgw.wire.parameters.hipv1 import HipSignatureV1, R1CounterV1, SolutionV1
from hipgw.wire.parameters.proofs import MacParameter

A, B = Hit.parse("2001:22::a"), Hit.parse("2001:22::b")
A_V1, B_V1 = Hit.parse("2001:10::a"), Hit.parse("2001:10::b")
PACKETS = {
    2: HipPacket(
        PacketType.I2,
        A,
        B,
        (
            EspInfo(0, 0, 300),
            EspInfo(0, 0, 301),
            R1Counter(5),
            Solution(0, b"oo", bytes(48), bytes(48)),
            Encrypted(b"first"),
            Encrypted(b"second"),
            HipMac(b"m" * 48),
            HipSignature(7, b"s" * 64),
            EchoRequestUnsigned(b"1"),
            EchoRequestUnsigned(b"2"),
        ),
    ),
    1: HipPacket(
        PacketType.I2,
        A_V1,
        B_V1,
        (
            EspInfo(0, 0, 300),
            R1CounterV1(5),
            SolutionV1(0, b"oo", bytes(8), bytes(8)),
            HipMacV1(b"m" * 20),
            HipSignatureV1(5, b"s" * 128),
        ),
        version=1,
    ),
}
KINDS = sorted(
    {
        *PARAMETERS.values(),
        *PARAMETERS_V1.values(),
        *(
            kind
            for version in (1, 2)
            for kind in parameters_with(version, frozenset(Quirk)).values()
        ),
        Parameter,
        MacParameter,
    },
    key=lambda kind: kind.__name__,
)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_index_finds_what_a_search_finds(version: int, kind: type[Parameter]) -> None:
    received = parse_packet(emit_packet(PACKETS[version]), versions=frozenset({version}))
    searched = [one for one in received.parameters if isinstance(one, kind)]
    assert received.get(kind) is (searched[0] if searched else None)
    assert received.all(kind) == tuple(searched)


def test_no_class_derives_from_another_of_its_table() -> None:
    """So the first of a very class is the first that is an instance of it."""
    for version in (1, 2):
        for quirks in (frozenset[Quirk](), frozenset(Quirk)):
            for one, other in combinations(set(parameters_with(version, quirks).values()), 2):
                assert not issubclass(one, other)
                assert not issubclass(other, one)


def test_a_packet_of_our_own() -> None:
    made = HipPacket(PacketType.UPDATE, A, B, (Seq(1), HipMac2(b"m")))
    assert made.get(Seq) == Seq(1)
    assert made.get(MacParameter) == HipMac2(b"m")
    assert made.get(HostId) is None
