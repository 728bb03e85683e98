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
    answered = sum(table.allows(address(n), S) for n in range(1 << 17))
    assert 750 <= answered <= 1000, "a quarter is for those that ask again"


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
    assert sum(table.allows(address(1 << 20 | n), begin) for n in range(1000)) >= 250


def test_who_was_left_out_may_ask_again_as_a_newcomer() -> None:
    table = limits(rate=10, burst=10, source_rate=20, source_burst=40)
    assert sum(table.allows(address(1), S) for _ in range(10)) == 5, "the first as a newcomer"
    assert not table.allows(address(1), S)
    assert all(table.allows(address(n), S) for n in range(2, 4))
    assert not any(table.allows(address(n), S) for n in range(4, 20))
    assert [table.allows(address(n), S + 1) for n in range(4, 8)] == [True, True, True, False]
    assert not table.allows(address(1), S + S // 10)
    assert table.allows(address(8), S + S // 10)


def test_memory_is_bounded_and_does_not_grow() -> None:
    table = limits(sources_most=16_384)
    before = table.octets
    for n in range(100_000):
        table.allows(address(n), S + n)
    assert table.octets == before == 16_384 * (32 + 512)


class Flood:
    """I1s of ever the same sources in turn, and now and then of an honest host, which asks twice.

    A host that is not answered asks again after half a second (RFC 7401 section 6.6.1).
    """

    RATE = 100_000

    def __init__(self, sources: int) -> None:
        self.table = limits(
            rate=5000, burst=5000, source_rate=20, source_burst=40, sources_most=16_384
        )
        self.sources = [address(n) for n in range(sources)]
        self.n = 0
        self.at_once = self.in_time = self.asked = 0

    def run(self, seconds: float) -> None:
        """So long; an honest host begins every 20 ms."""
        waiting: list[tuple[int, bytes]] = []
        allows, count = self.table.allows, len(self.sources)
        for n in range(self.n, self.n + int(seconds * self.RATE)):
            now_ns = 10 * S + n * (S // self.RATE)
            allows(self.sources[n % count], now_ns)
            if n % 2000 == 0:
                honest = address(1 << 24 | n)
                self.asked += 1
                if allows(honest, now_ns + 1):
                    self.at_once += 1
                    self.in_time += 1
                else:
                    waiting.append((n + self.RATE // 2, honest))
            while waiting and waiting[0][0] <= n:
                self.in_time += allows(waiting.pop(0)[1], now_ns + 2)
        self.asked -= len(waiting)
        self.n += int(seconds * self.RATE)


@pytest.mark.parametrize("sources", [65_536, 300_000])
def test_who_begins_to_ask_comes_before_a_flood_that_the_table_cannot_hold(sources: int) -> None:
    flood = Flood(sources)
    flood.run(3 * sources / Flood.RATE)
    flood.at_once = flood.in_time = flood.asked = 0
    flood.run(2.0)
    assert flood.at_once >= 0.9 * flood.asked, "few are taken for others"
    assert flood.in_time >= 0.9 * flood.asked


def test_who_asks_again_comes_before_a_flood_of_ever_new_sources() -> None:
    flood = Flood(200_000)
    flood.run(2.0)
    assert flood.at_once <= 0.2 * flood.asked, "nothing tells the first I1 from the flood's"
    assert flood.in_time >= 0.9 * flood.asked


def test_a_source_is_new_again_after_the_memory_has_let_it_go() -> None:
    table = limits(rate=10, burst=4, source_rate=20, source_burst=40)
    for n in range(1, 20):  # more than a place holds
        table.allows(address(n), S + n)
    for second in range(20):
        table.allows(address(1 << 20 | second), S + second * S)
    later_ns = S + 20 * S
    assert sum(table.allows(address(n), later_ns + n) for n in range(1, 10)) == 2, "all known"
    later_ns += 100 * S
    assert sum(table.allows(address(n), later_ns + n) for n in range(1, 10)) == 3, "all new"


@pytest.mark.parametrize("units", [32, 63, 64, 95, 126, 1000])
def test_times_never_come_round_again(units: int) -> None:
    """The stamps of 63 units do; whoever came then is forgotten before that."""
    table = limits(rate=1000, burst=4, source_rate=20, source_burst=40)
    unit_ns = 1 << 30
    for n in range(1, 10):
        table.allows(address(n), S + n)
    for unit in range(1, units):
        table.allows(address(1 << 20 | unit), S + unit * unit_ns)
    then_ns = S + units * unit_ns
    assert table.allows(address(100), then_ns)
    assert table.allows(address(101), then_ns + 1)
    assert not table.allows(address(1 << 20 | (units - 12)), then_ns + 2), "known"
    assert table.allows(address(1), then_ns + 3), "new"


def test_after_a_long_silence_all_are_new() -> None:
    table = limits(rate=1000, burst=4, source_rate=20, source_burst=40)
    for n in range(1, 20):
        table.allows(address(n), S + n)
    then_ns = S + 63 * (1 << 30)  # the same stamp
    assert [table.allows(address(n), then_ns + n) for n in range(1, 4)] == [True, True, True]


@pytest.mark.parametrize("pause", [1, 7, 15, 16, 17, 30, 31, 33, 62, 63, 64])
def test_seldom_or_often_the_horizon_is_the_same(pause: int) -> None:
    """However long nobody came that the table does not know, what is old is not taken for new."""
    table = limits(rate=1000, burst=4, source_rate=20, source_burst=40)
    slow = SlowLimits(S // 1000, 4, S // 20, 40, PLACE)
    for unit in range(0, 260, pause):
        for n in range(3):
            now_ns = S + unit * (1 << 30) + n
            fresh = address(1 << 20 | unit << 4 | n)
            assert table.allows(fresh, now_ns) == slow.allows(fresh, now_ns)
    now_ns = S + 260 * (1 << 30)
    for unit in range(0, 260, pause):
        now_ns += S // 100
        old = [address(1 << 20 | unit << 4 | n) for n in range(3)]
        fast_says = [table.allows(one, now_ns + n) for n, one in enumerate(old)]
        assert fast_says == [slow.allows(one, now_ns + n) for n, one in enumerate(old)], unit
