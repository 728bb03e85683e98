"""Totals of an association only grow, whatever happens to its security associations."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hipgw.daemon.traffic_totals import Carried, SaKey, TrafficTotals, WayKey
from hipgw.values import Direction, Hit, SaStatistics, Spi

LOCAL, PEER, OTHER = (Hit.parse(f"2001:22::{n}") for n in (1, 2, 3))
OUT = (Direction.OUT, LOCAL, PEER)


def entry(spi: int, packets: int, peer: Hit = PEER) -> dict[SaKey, SaStatistics]:
    key = Direction.OUT, Spi(spi), LOCAL, peer
    used_s = float(packets) if packets else None
    return {key: SaStatistics(*key, packets, 100 * packets, packets, used_s)}


def after(totals: TrafficTotals, statistics: dict[SaKey, SaStatistics]) -> dict[WayKey, Carried]:
    totals.note(statistics)
    return totals.by_way()


def test_a_replaced_sa_stays_in_the_total() -> None:
    totals = TrafficTotals()
    assert after(totals, entry(300, 5))[OUT] == Carried(5, 500, 5.0)
    assert after(totals, entry(301, 0))[OUT] == Carried(5, 500, 5.0)
    assert after(totals, entry(301, 2))[OUT] == Carried(7, 700, 5.0)
    assert after(totals, entry(301, 2) | entry(302, 1))[OUT].packets == 8


def test_a_peer_without_sas_is_forgotten() -> None:
    totals = TrafficTotals()
    totals.note(entry(300, 5))
    totals.note(entry(301, 1) | entry(300, 5, OTHER))
    assert after(totals, entry(300, 5, OTHER)).keys() == {(Direction.OUT, LOCAL, OTHER)}
    assert after(totals, entry(302, 1))[OUT].packets == 1


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=30))
def test_the_total_is_what_was_carried(steps: list[tuple[int, bool]]) -> None:
    totals, spi, here, carried = TrafficTotals(), 300, 0, 0
    for more, is_rekeyed in steps:
        here += more
        carried += more
        assert after(totals, entry(spi, here))[OUT].packets == carried
        if is_rekeyed:
            spi, here = spi + 1, 0
