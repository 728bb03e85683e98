"""Medians, intervals, and what is called a difference."""

from __future__ import annotations

import random
import statistics

import pytest

from hipgw.perf.figures import (
    CONFIDENCE,
    ROUNDS_LEAST,
    Verdict,
    interval,
    ratio,
    ratio_line,
    series,
    unpaired_ratio,
)


@pytest.mark.parametrize(
    ("rounds", "place"),
    # Tables of the sign test: the k-th smallest and largest hold the median in 90 of 100 cases.
    [(1, 0), (3, 0), (5, 0), (7, 0), (8, 1), (10, 1), (11, 2), (13, 3), (15, 3), (20, 5), (25, 7)],
)
def test_the_interval_is_that_of_order_statistics(rounds: int, place: int) -> None:
    values = list(range(rounds))
    random.Random(1).shuffle(values)
    assert interval(values) == (place, rounds - 1 - place)


def test_no_rounds() -> None:
    with pytest.raises(ValueError, match="no rounds"):
        interval([])
    with pytest.raises(ValueError, match="no rounds"):
        ratio(series("a", "", []), series("b", "", []))


@pytest.mark.parametrize("rounds", [5, 8, 13])
def test_noise_is_rarely_called_a_difference(rounds: int) -> None:
    """Two of the same, with spikes: at most 10 of 100 runs call one, whatever the noise is like."""
    drawn = random.Random(rounds)
    called = 0
    for _ in range(2000):
        ours, theirs = (
            series(name, "Mbit/s", [1000 * drawn.lognormvariate(0, 0.5) for _ in range(rounds)])
            for name in "ab"
        )
        found = ratio(ours, theirs)
        assert found is not None
        called += found.verdict in {Verdict.MORE, Verdict.LESS}
    assert called / 2000 < 1 - CONFIDENCE + 0.02


def test_a_difference_is_called_through_noise_that_both_share() -> None:
    drawn = random.Random(3)
    busy = [drawn.uniform(0.3, 1.0) for _ in range(7)]
    ours = series("a", "Mbit/s", [1200 * share for share in busy])
    theirs = series("b", "Mbit/s", [1000 * share for share in busy])
    found = ratio(ours, theirs)
    assert found is not None
    assert found.verdict is Verdict.MORE
    assert found.median == pytest.approx(1.2)
    other_way = ratio(theirs, ours)
    assert other_way is not None
    assert other_way.verdict is Verdict.LESS
    unpaired = unpaired_ratio(ours, theirs)  # the same values, their pairing forgotten
    assert unpaired is not None
    assert unpaired.verdict is Verdict.NOISE


def test_too_few_rounds_call_nothing() -> None:
    ours = series("a", "", [2.0] * (ROUNDS_LEAST - 1))
    theirs = series("b", "", [1.0] * (ROUNDS_LEAST - 1))
    found = ratio(ours, theirs)
    assert found is not None
    assert found.verdict is Verdict.TOO_FEW
    assert "(too few rounds)" in ratio_line(ours, theirs)


def test_noise_is_said() -> None:
    ours = series("a", "", [0.9, 1.1, 1.0, 0.95, 1.2])
    assert ratio_line(ours, series("b", "", [1.0] * 5)) == (
        "a / b: 1 [0.9 .. 1.2] (inside the noise)"
    )


def test_nothing_to_divide_by() -> None:
    ours, lossless = series("a", "%", [1.0] * 5), series("b", "%", [0.0] * 5)
    assert ratio(ours, lossless) is None
    assert unpaired_ratio(ours, lossless) is None
    assert "nothing to compare with" in ratio_line(ours, lossless)


def test_rounds_that_are_no_pairs() -> None:
    with pytest.raises(ValueError, match="longer"):
        ratio(series("a", "", [1.0] * 5), series("b", "", [1.0] * 6))


def test_a_figure_has_its_median() -> None:
    figure = series("a", "ms", [3.0, 1.0, 2.0], "ping")
    assert figure.median == statistics.median([1, 2, 3])
    assert figure.as_json()["median"] == 2
    assert "2.0 ms" in str(figure)
