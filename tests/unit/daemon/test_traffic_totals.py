"""Totals of an association only grow, whatever happens to its security associations."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hipgw.daemon.traffic_totals import Carried, TrafficTotals
from hipgw.values import Direction, Hit, SaStatistics, Spi

LOCAL, PEER, OTHER = (Hit.parse(f"2001:22::{n}") for n in (1, 2, 3))
OUT = (Direction.OUT, LOCAL, PEER)


def entry(spi: int, packets: int, peer: Hit = PEER) -> SaStatistics:
    used_s = float(packets) if packets else None
    return SaStatistics(
        Direction.OUT, Spi(spi), LOCAL, peer, packets, 100 * packets, packets, used_s
    )


def test_a_replaced_sa_stays_in_the_total() -> None:
    totals = TrafficTotals()
    assert totals.with_present(OUT, [entry(300, 5)]) == Carried(5, 500, 5.0)
    totals.add(entry(300, 5))
    assert totals.with_present(OUT, [entry(301, 0)]) == Carried(5, 500, 5.0)
    assert totals.with_present(OUT, [entry(301, 2)]) == Carried(7, 700, 5.0)
    assert totals.with_present(OUT, [entry(301, 2), entry(302, 1)]).packets == 8


def test_an_association_without_sas_is_forgotten() -> None:
    totals = TrafficTotals()
    totals.add(entry(300, 5))
    totals.add(entry(300, 5, OTHER))
    totals.forget(LOCAL, PEER)
    assert totals.with_present(OUT, []) == Carried()
    assert totals.with_present((Direction.OUT, LOCAL, OTHER), []).packets == 5


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=30))
def test_the_total_is_what_was_carried(steps: list[tuple[int, bool]]) -> None:
    totals, spi, here, carried = TrafficTotals(), 300, 0, 0
    for more, is_rekeyed in steps:
        here += more
        carried += more
        assert totals.with_present(OUT, [entry(spi, here)]).packets == carried
        if is_rekeyed:
            totals.add(entry(spi, here))
            spi, here = spi + 1, 0
