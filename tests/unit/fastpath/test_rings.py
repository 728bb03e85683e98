"""The ring of records against a queue."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipgw._fastpath.rings import RecordRing

CAPACITY = 4096
HEAD = 52
LONGEST = 200


def padded(octets: bytes) -> int:
    return (HEAD + len(octets) + 7) // 8 * 8


@given(st.lists(st.one_of(st.none(), st.binary(max_size=LONGEST)), max_size=300))
def test_what_goes_in_comes_out_in_order(steps: list[bytes | None]) -> None:
    """None pops; octets push. A refused push leaves nothing behind."""
    ring = RecordRing(CAPACITY)
    queue: deque[tuple[int, bytes]] = deque()
    for kind, step in enumerate(steps, start=1):
        if step is None:
            assert ring.pop() == (queue.popleft() if queue else None)
        elif ring.push(kind, step):
            queue.append((kind, step))
        else:
            # Records do not wrap: less than one record's worth is skipped at the end, which can
            # lie before the oldest record or after the newest.
            held = sum(padded(octets) for _, octets in queue)
            assert held + padded(step) + 2 * padded(bytes(LONGEST)) > CAPACITY
    while queue:
        assert ring.pop() == queue.popleft()
    assert ring.pop() is None


def test_an_empty_ring_takes_exactly_its_capacity() -> None:
    ring = RecordRing(CAPACITY)
    assert ring.capacity == CAPACITY
    assert ring.push(1, bytes(CAPACITY - HEAD))
    assert not ring.push(1, b"")
    assert ring.pop() == (1, bytes(CAPACITY - HEAD))
    assert not ring.push(1, bytes(CAPACITY - HEAD + 1))


def test_a_full_ring_takes_again_what_was_popped() -> None:
    ring = RecordRing(CAPACITY)
    for _ in range(3):
        count = 0
        while ring.push(2, b"x" * 100):
            count += 1
        assert count >= CAPACITY // padded(b"x" * 100) - 1
        for _ in range(count):
            assert ring.pop() == (2, b"x" * 100)


def test_the_skip_kind_is_not_for_callers() -> None:
    with pytest.raises(ValueError, match="kind 0"):
        RecordRing(CAPACITY).push(0, b"")
