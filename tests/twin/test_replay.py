"""`replay` against a plain set (RFC 6479, RFC 4303 section 3.4.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipgw._fastpath.reasons import REASON_NAMES
from hipgw._fastpath.replay import WINDOW_NUMBERS, ReplayWindow
from tests.reference.replay import SetWindow, high_half

STEPS = st.one_of(
    st.integers(-2100, 70),
    st.integers(-3, 3),
    st.sampled_from([63, 64, 65, 1983, 1984, 1985, 2048]),
)


def test_it_protects_at_least_what_the_issue_asks_for() -> None:
    assert WINDOW_NUMBERS == 1984


@given(st.integers(0, 2**64 - 2**20), st.lists(STEPS | st.integers(0, 100_000), max_size=200))
def test_any_walk(start: int, steps: list[int]) -> None:
    window, model = ReplayWindow(), SetWindow(WINDOW_NUMBERS)
    sequence = start
    for step in steps:
        sequence = max(0, min(model.top + step, 2**64 - 1)) if model.top else sequence
        assert REASON_NAMES[window.check(sequence)] == model.check(sequence)
        assert REASON_NAMES[window.accept(sequence)] == model.accept(sequence)
        assert window.top == model.top


@given(st.lists(st.integers(0, 4500), min_size=1, max_size=400))
def test_any_numbers(numbers: list[int]) -> None:
    window, model = ReplayWindow(), SetWindow(WINDOW_NUMBERS)
    for number in numbers:
        assert REASON_NAMES[window.accept(number)] == model.accept(number)


@pytest.mark.parametrize("top", [1, 63, 64, 65, 1983, 1984, 2047, 2048, 5000, 2**32 - 1, 2**64 - 1])
def test_the_whole_window_left_of_the_top(top: int) -> None:
    window = ReplayWindow()
    assert window.accept(top) == 0
    for number in range(max(1, top - 1983), top):
        assert window.accept(number) == 0, number
        assert REASON_NAMES[window.accept(number)] == "esp_replayed"
    if top > 1984:
        assert REASON_NAMES[window.accept(top - 1984)] == "too_old"


@pytest.mark.parametrize("jump", [1, 63, 64, 65, 1984, 1985, 2047, 2048, 2049, 2111, 4096, 100_000])
def test_a_jump_after_a_full_window(jump: int) -> None:
    window, model = ReplayWindow(), SetWindow(WINDOW_NUMBERS)
    for number in [*range(1, 2200), 2199 + jump]:
        assert REASON_NAMES[window.accept(number)] == model.accept(number)
    for number in range(model.top - 2000, model.top + 70):
        assert REASON_NAMES[window.check(number)] == model.check(number), number


def test_a_jump_forgets_no_more_than_it_must() -> None:
    window = ReplayWindow()
    assert window.accept(10_000) == 0
    assert window.accept(11_900) == 0
    assert REASON_NAMES[window.accept(10_000)] == "esp_replayed"
    assert window.accept(10_001) == 0


def test_zero_is_never_accepted() -> None:
    assert REASON_NAMES[ReplayWindow().accept(0)] == "esp_replayed"


HALF = 2**32
REPLAYED = REASON_NAMES.index("esp_replayed")
EDGES = [0, 1, 2, 1982, 1983, 1984, 1985, 2**31, HALF - 1985, HALF - 1984, HALF - 2, HALF - 1]


@pytest.mark.parametrize("high", [0, 1, 2, 7, HALF - 2, HALF - 1])
@pytest.mark.parametrize("low", EDGES)
def test_the_upper_half_is_inferred_as_the_rfc_has_it(high: int, low: int) -> None:
    window = ReplayWindow()
    top = high * HALF + low
    assert window.accept(top) == (0 if top else REPLAYED)
    for step in range(-2000, 2001):
        check_full(window, top, (low + step) % HALF)
    for found in EDGES:
        check_full(window, top, found)


def check_full(window: ReplayWindow, top: int, low: int) -> None:
    high = high_half(top, low, WINDOW_NUMBERS)
    if high == HALF:
        found = window.full(low)
        assert found is not None, "2^64 is not passed"
        assert found < HALF
        assert window.check(found) != 0
    else:
        assert window.full(low) == (None if high is None else high * HALF + low)


@given(st.integers(0, 2**64 - 1), st.integers(0, HALF - 1))
def test_any_upper_half(top: int, low: int) -> None:
    window = ReplayWindow()
    window.accept(top)
    check_full(window, top, low)
