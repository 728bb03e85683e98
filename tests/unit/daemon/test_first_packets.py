"""Packets that wait for a base exchange: in order, bounded, and accounted for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hipgw.daemon.first_packets import PACKET_COST_OCTETS, FirstPackets
from hipgw.values import Hit

US = Hit(bytes(15) + b"\x01")


def pair(number: int) -> tuple[Hit, Hit]:
    return US, Hit(bytes(14) + number.to_bytes(2, "big"))


def test_packets_come_out_in_the_order_they_came() -> None:
    queue = FirstPackets()
    for number in range(5):
        assert queue.put(pair(1), bytes([number]) * 100)
    queue.put(pair(2), b"other")
    assert [packet[0] for packet in queue.take(pair(1))] == [0, 1, 2, 3, 4]
    assert queue.take(pair(1)) == []
    assert queue.pairs() == [pair(2)]


def test_a_full_queue_keeps_the_first_packets() -> None:
    queue = FirstPackets(peer_packets=3)
    results = [queue.put(pair(1), bytes([number])) for number in range(5)]
    assert results == [True, True, True, False, False]
    assert queue.counters == {"queue_full": 2}
    assert [packet[0] for packet in queue.take(pair(1))] == [0, 1, 2]


def test_octets_are_bounded_per_peer_and_in_total() -> None:
    queue = FirstPackets(peer_octets=3000, total_octets=5000)
    assert queue.put(pair(1), bytes(1500))
    assert queue.put(pair(1), bytes(1500))
    assert not queue.put(pair(1), bytes(1500))
    assert queue.put(pair(2), bytes(1500))
    assert not queue.put(pair(3), bytes(1500))
    queue.drop(pair(1))
    assert queue.put(pair(3), bytes(1500))


def test_tiny_packets_to_many_peers_cannot_pass_the_total() -> None:
    queue = FirstPackets(total_octets=PACKET_COST_OCTETS * 10)
    kept = sum(queue.put(pair(number), b"") for number in range(1000))
    assert kept == 10
    assert len(queue.pairs()) == 10


def test_packets_of_a_failed_exchange_are_counted() -> None:
    queue = FirstPackets()
    queue.put(pair(1), b"a")
    queue.put(pair(1), b"b")
    assert queue.drop(pair(1)) == 2
    assert queue.drop(pair(1)) == 0
    assert queue.counters["queue_failed"] == 2
    assert queue.octets == 0


@given(
    st.lists(
        st.tuples(st.sampled_from(["put", "take", "drop"]), st.integers(0, 3), st.integers(0, 900)),
        max_size=80,
    )
)
def test_accounts_always_balance(steps: list[tuple[str, int, int]]) -> None:
    queue = FirstPackets(peer_packets=5, peer_octets=2000, total_octets=4000)
    waiting = 0
    for action, who, octets in steps:
        if action == "put":
            waiting += queue.put(pair(who), bytes(octets))
        elif action == "take":
            waiting -= len(queue.take(pair(who)))
        else:
            waiting -= queue.drop(pair(who))
        assert len(queue) == waiting
        assert 0 <= queue.octets <= 4000
        assert (queue.octets == 0) == (waiting == 0)
