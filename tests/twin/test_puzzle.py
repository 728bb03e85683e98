"""The puzzle kernel against the slow one: every hash, K 0 to 14, both versions, wrong lengths."""

from __future__ import annotations

import hashlib
import random
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hipgw._fastpath.hashes import compress_times, hash_times
from hipgw._fastpath.puzzle import LOW_BITS, OPENHIP_BITS, check, check_v1, solve, solve_v1
from tests.reference.puzzle import (
    DIGEST_NAMES,
    Rule,
    both_are_zero,
    counted,
    is_solved,
    low_bits_are_zero,
    openhip_bits_are_zero,
    steps_to_solution,
)

SIZES = list(DIGEST_NAMES)
BLOCK_OCTETS = {20: 64, 32: 64, 48: 128}
RULES_V1: dict[int, Rule] = {
    LOW_BITS: low_bits_are_zero,
    OPENHIP_BITS: openhip_bits_are_zero,
    LOW_BITS | OPENHIP_BITS: both_are_zero,
}
HITS = bytes(range(16)), bytes(range(100, 116))

hits = st.binary(min_size=16, max_size=16)


def nonces(octets: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=octets, max_size=octets)


@pytest.mark.parametrize("k", range(15))
@pytest.mark.parametrize("size", SIZES)
def test_solve_finds_the_first_solution(size: int, k: int) -> None:
    rng = random.Random(1000 * size + k)
    i, hit_i, hit_r, start = (rng.randbytes(n) for n in (size, 16, 16, size))
    steps = steps_to_solution(size, k, (i, hit_i, hit_r), start)
    found = counted(start, steps)
    assert solve(size, k, i, hit_i, hit_r, start, steps) is None
    assert solve(size, k, i, hit_i, hit_r, start, steps + 1) == found
    assert solve(size, k, i, hit_i, hit_r, start, 1 << 40) == found
    assert check(size, k, i, hit_i, hit_r, found)


@pytest.mark.parametrize("k", range(15))
@pytest.mark.parametrize("rules", [LOW_BITS, OPENHIP_BITS])
def test_solve_v1_finds_the_first_solution(rules: int, k: int) -> None:
    rng = random.Random(1000 * rules + k)
    i, hit_i, hit_r, start = (rng.randbytes(n) for n in (8, 16, 16, 8))
    steps = steps_to_solution(20, k, (i, hit_i, hit_r), start, RULES_V1[rules])
    found = counted(start, steps)
    assert solve_v1(rules, k, i, hit_i, hit_r, start, steps) is None
    assert solve_v1(rules, k, i, hit_i, hit_r, start, steps + 1) == found
    assert check_v1(rules, k, i, hit_i, hit_r, found)


@pytest.mark.parametrize("k", range(8))
def test_solve_v1_by_both_rules(k: int) -> None:
    i, start = bytes(8), b"\x80" + bytes(7)
    steps = steps_to_solution(20, k, (i, *HITS), start, both_are_zero)
    both = LOW_BITS | OPENHIP_BITS
    assert solve_v1(both, k, i, *HITS, start, 1 << 40) == counted(start, steps)


@settings(max_examples=300)
@given(data=st.data(), size=st.sampled_from(SIZES), hit_i=hits, hit_r=hits)
def test_check_is_the_rule(data: st.DataObject, size: int, hit_i: bytes, hit_r: bytes) -> None:
    i, j = data.draw(nonces(size)), data.draw(nonces(size))
    for k in (*range(15), 31, 32, 33, 63, 64, 65, 8 * size):
        assert check(size, k, i, hit_i, hit_r, j) is is_solved(size, k, (i, hit_i, hit_r), j)


@settings(max_examples=300)
@given(i=nonces(8), hit_i=hits, hit_r=hits, j=nonces(8))
def test_check_v1_is_the_rule(i: bytes, hit_i: bytes, hit_r: bytes, j: bytes) -> None:
    for rules, rule in RULES_V1.items():
        for k in (*range(15), 63, 64):
            expected = is_solved(20, k, (i, hit_i, hit_r), j, rule)
            assert check_v1(rules, k, i, hit_i, hit_r, j) is expected


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("left", [0, 1, 2, 0xFF, 0xFFFF])
def test_the_counter_carries_and_wraps(size: int, left: int) -> None:
    # J with `left` more steps before its last 64 bits are zero again; the octets before them stay.
    i = bytes([left & 0xFF]) * size
    for front in (bytes(size - 8), b"\xff" * (size - 8)):
        for last in (2**64 - 1 - left, 2**63 - 1 - left, 2**32 - 1 - left, 0xFF, 0):
            start = front + last.to_bytes(8, "big")
            found = counted(start, steps_to_solution(size, 5, (i, *HITS), start))
            assert solve(size, 5, i, *HITS, start, 1 << 40) == found
            assert found[:-8] == front


@pytest.mark.parametrize("size", SIZES)
def test_past_the_wrap_every_value_is_tried_once(size: int) -> None:
    i, start, k = b"\x11" * size, b"\xff" * size, 9
    steps = steps_to_solution(size, k, (i, *HITS), start)
    assert steps > 1  # so the search does wrap
    assert solve(size, k, i, *HITS, start, steps) is None
    assert solve(size, k, i, *HITS, start, steps + 1) == counted(start, steps)


@pytest.mark.parametrize("rules", RULES_V1)
def test_the_counter_of_v1_is_all_of_j(rules: int) -> None:
    i, start, k = b"\x11" * 8, b"\xff" * 8, 4
    steps = steps_to_solution(20, k, (i, *HITS), start, RULES_V1[rules])
    assert solve_v1(rules, k, i, *HITS, start, 1 << 40) == counted(start, steps)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tries", [-(1 << 63), -1, 0])
def test_no_tries_no_solution(size: int, tries: int) -> None:
    assert solve(size, 0, bytes(size), *HITS, bytes(size), tries) is None
    assert solve_v1(LOW_BITS, 0, bytes(8), *HITS, bytes(8), tries) is None


@pytest.mark.parametrize("size", SIZES)
def test_k_of_the_whole_digest_is_out_of_reach(size: int) -> None:
    assert solve(size, 8 * size, bytes(size), *HITS, bytes(size), 1000) is None


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("wrong", [0, 1, 7, 8, 19, 21, 31, 33, 47, 49, 64, 300])
def test_wrong_nonces(size: int, wrong: int) -> None:
    for i, j in ((wrong, size), (size, wrong), (wrong, wrong)):
        assert not check(size, 0, bytes(i), *HITS, bytes(j))
        with pytest.raises(ValueError, match=f"octets and K up to {8 * size}"):
            solve(size, 0, bytes(i), *HITS, bytes(j), 1)


@pytest.mark.parametrize("wrong", [0, 1, 7, 9, 20, 300])
def test_wrong_nonces_of_v1(wrong: int) -> None:
    for i, j in ((wrong, 8), (8, wrong), (wrong, wrong)):
        assert not check_v1(LOW_BITS, 0, bytes(i), *HITS, bytes(j))
        with pytest.raises(ValueError, match="8 octets and K up to 64"):
            solve_v1(LOW_BITS, 0, bytes(i), *HITS, bytes(j), 1)


@pytest.mark.parametrize("size", SIZES)
def test_wrong_k(size: int) -> None:
    nonce = bytes(size)
    for k in (-1, 8 * size + 1, 2**31 - 1, -(2**31)):
        assert not check(size, k, nonce, *HITS, nonce)
        with pytest.raises(ValueError, match="K up to"):
            solve(size, k, nonce, *HITS, nonce, 1)
    for k in (-1, 65, 2**31 - 1):
        assert not check_v1(LOW_BITS, k, bytes(8), *HITS, bytes(8))
        with pytest.raises(ValueError, match="K up to 64"):
            solve_v1(LOW_BITS, k, bytes(8), *HITS, bytes(8), 1)


@pytest.mark.parametrize("size", [-1, 0, 8, 16, 28, 64, 2**31 - 1])
def test_a_hash_that_rhash_never_is(size: int) -> None:
    nonce = bytes(max(0, min(size, 64)))
    with pytest.raises(ValueError, match="20, 32 or 48"):
        check(size, 1, nonce, *HITS, nonce)
    with pytest.raises(ValueError, match="20, 32 or 48"):
        solve(size, 1, nonce, *HITS, nonce, 1)


@pytest.mark.parametrize("octets", [0, 4, 15, 17, 200])
def test_wrong_hits(octets: int) -> None:
    for pair in ((bytes(octets), HITS[1]), (HITS[0], bytes(octets))):
        with pytest.raises(ValueError, match="HITs of 16 octets"):
            check(32, 1, bytes(32), *pair, bytes(32))
        with pytest.raises(ValueError, match="HITs of 16 octets"):
            solve(32, 1, bytes(32), *pair, bytes(32), 1)
        with pytest.raises(ValueError, match="HITs of 16 octets"):
            check_v1(LOW_BITS, 1, bytes(8), *pair, bytes(8))


@pytest.mark.parametrize("rules", [-1, 0, 4])
def test_wrong_rules(rules: int) -> None:
    with pytest.raises(ValueError, match="OPENHIP_BITS"):
        check_v1(rules, 1, bytes(8), *HITS, bytes(8))
    with pytest.raises(ValueError, match="OPENHIP_BITS"):
        solve_v1(rules, 1, bytes(8), *HITS, bytes(8), 1)


def test_other_threads_run_during_a_search() -> None:
    # Nobody is asked to give the GIL up, so the main thread runs only if the search releases it.
    seen: list[str] = []
    begun = threading.Event()

    def search() -> None:
        begun.set()
        solve(48, 384, bytes(48), *HITS, bytes(48), 1_500_000)
        seen.append("search over")

    interval = sys.getswitchinterval()
    thread = threading.Thread(target=search)
    sys.setswitchinterval(1000.0)
    try:
        thread.start()
        begun.wait()
        seen.append("main ran")
    finally:
        sys.setswitchinterval(interval)
        thread.join()
    assert seen == ["main ran", "search over"]


@given(size=st.sampled_from(SIZES), message=st.binary(max_size=300), times=st.integers(1, 3))
def test_the_raw_hash_is_the_hash(size: int, message: bytes, times: int) -> None:
    assert hash_times(size, message, times) == hashlib.new(DIGEST_NAMES[size], message).digest()


@pytest.mark.parametrize("size", SIZES)
def test_raw_compression_is_the_hash_without_padding(size: int) -> None:
    block = BLOCK_OCTETS[size]
    message = b"abc\x80" + bytes(block - 6) + (24).to_bytes(2, "big")
    assert compress_times(size, message, 1) == hashlib.new(DIGEST_NAMES[size], b"abc").digest()
    assert compress_times(size, message, 3) == compress_times(size, 3 * message, 1)
    with pytest.raises(ValueError, match=f"blocks of {block}"):
        compress_times(size, message + b"\0", 1)


@pytest.mark.parametrize("size", SIZES)
def test_raw_rates_of_nothing(size: int) -> None:
    assert hash_times(size, b"abc", 0) == b""
    assert compress_times(size, b"", 5) == compress_times(size, bytes(128), 0)
    for function in (hash_times, compress_times):
        with pytest.raises(ValueError, match="20, 32 or 48"):
            function(16, b"", 1)
