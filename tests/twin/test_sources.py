"""Limits per source and in total against the slow ones, and what they promise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipgw._fastpath.sources import SourceLimits
from tests.reference.source_limits import SlowLimits

S = 1_000_000_000
PLACE = 8
"""Sources that share a place of the table; one place is what the slow ones have."""


def limits(
    rate: float = 1e9, burst: float = 1e6, source_rate: float = 1e9, source_burst: float = 1e6,
    sources_most: int = PLACE,
) -> SourceLimits:  # fmt: skip
    return SourceLimits(
        rate=rate,
        burst=burst,
        source_rate=source_rate,
        source_burst=source_burst,
        sources_most=sources_most,
    )


def address(number: int, octets: int = 4) -> bytes:
    return number.to_bytes(octets, "big")


@given(
    steps=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 3 * S)), max_size=60),
    rate=st.sampled_from([1, 2, 5, 1000]),
    burst=st.integers(1, 6),
    source_rate=st.sampled_from([1, 4, 1000]),
    source_burst=st.integers(1, 4),
)
def test_the_same_are_allowed(
    steps: list[tuple[int, int]], rate: int, burst: int, source_rate: int, source_burst: int
) -> None:
    fast = limits(rate, burst, source_rate, source_burst)
    slow = SlowLimits(S // rate, burst, S // source_rate, source_burst, PLACE)
    now_ns = 10 * S
    for source, later_ns in steps:
        now_ns += later_ns + 1  # no two at one time: who was seen first is then the same
        assert fast.allows(address(source), now_ns) == slow.allows(address(source), now_ns)


def test_one_source_gets_its_burst_and_then_its_rate() -> None:
    table = limits(source_rate=20, source_burst=40)
    assert sum(table.allows(address(1), S) for _ in range(100)) == 40
    assert sum(table.allows(address(1), S + n * S // 1000) for n in range(1000)) == 19
    assert table.allows(address(2), 2 * S)


def test_sources_of_ipv6_are_their_upper_half() -> None:
    table = limits(source_rate=0.001, source_burst=2)
    net, other = bytes.fromhex("20010db800000001"), bytes.fromhex("20010db800000002")
    assert [table.allows(net + address(n, 8), S + n) for n in range(4)] == [
        True,
        True,
        False,
        False,
    ]
    assert table.allows(other + bytes(8), S)


def test_the_total_holds_for_sources_that_come_once_each() -> None:
    table = limits(rate=1000, burst=1000, sources_most=16_384)
    assert sum(table.allows(address(n), S) for n in range(1 << 17)) == 1000


@pytest.mark.parametrize("sources", [1000, 8000])
def test_who_begins_to_ask_comes_before_a_flood_of_known_sources(sources: int) -> None:
    """They want twice the total and more; a newcomer gets through."""
    table = limits(rate=5000, burst=5000, source_rate=20, source_burst=40, sources_most=16_384)
    answered = refused = lucky = 0
    for n in range(100_000):
        now_ns = 10 * S + n * 100_000
        if table.allows(address(n % sources), now_ns):
            answered += 1
        else:
            refused += 1
        if n > 50_000 and n % 1000 == 0:
            lucky += table.allows(address(1 << 20 | n), now_ns)
    assert refused > 30_000
    assert answered < 5000 * 10 + 5000
    assert lucky == 49


def test_newcomers_are_new_for_a_while_only() -> None:
    """A crowd that the total leaves out does not stay new for ever."""
    table = limits(rate=1000, burst=1000, source_rate=20, source_burst=40, sources_most=16_384)
    for n in range(400_000):  # 4000 sources for 8 seconds, most of them never answered in time
        table.allows(address(n % 4000), 10 * S + n * 20_000)
    begin = 18 * S + 1
    assert sum(table.allows(address(1 << 20 | n), begin) for n in range(1000)) >= 400


def test_who_was_left_out_may_ask_again_as_a_newcomer() -> None:
    table = limits(rate=10, burst=10, source_rate=20, source_burst=40)
    assert sum(table.allows(address(1), S) for _ in range(10)) == 5, "the first as a newcomer"
    assert not table.allows(address(1), S)
    assert all(table.allows(address(n), S) for n in range(2, 7))
    assert not table.allows(address(7), S)
    assert not table.allows(address(1), S + S // 10)
    assert table.allows(address(7), S + S // 10)


def test_memory_is_bounded_and_does_not_grow() -> None:
    table = limits(sources_most=16_384)
    before = table.octets
    for n in range(100_000):
        table.allows(address(n), S + n)
    assert table.octets == before == 16_384 * 32


def test_a_burst_below_one_answers_nobody() -> None:
    assert not limits(burst=0.5).allows(address(1), S)
    assert not limits(source_burst=0).allows(address(1), S)


def test_an_address_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 4 or 16"):
        limits().allows(b"12345", S)
