"""Puzzle: bit rule, roles, lengths, limits."""

from __future__ import annotations

import pytest

from hipgw.crypto import puzzle_is_solved, rhash, solve_puzzle
from hipgw.errors import CryptoError
from hipgw.values import RHASH_OCTETS, Hit, HitSuite

SUITES = list(HitSuite)
HIT_I, HIT_R = Hit.parse("2001:21::1"), Hit.parse("2001:22::2")


def nonce(suite: HitSuite, fill: bytes = b"\x5a") -> bytes:
    return fill * RHASH_OCTETS[suite]


@pytest.mark.parametrize("suite", SUITES, ids=lambda s: s.name)
def test_solution_has_k_low_bits_zero(suite: HitSuite) -> None:
    i = nonce(suite)
    j = solve_puzzle(suite, 9, i, HIT_I, HIT_R, start_j=nonce(suite, b"\x01"), tries=20_000)
    assert j is not None
    assert len(j) == RHASH_OCTETS[suite]
    digest = rhash(suite, i + HIT_I.packed + HIT_R.packed + j)
    assert int.from_bytes(digest, "big") % 2**9 == 0
    assert puzzle_is_solved(suite, 9, i, HIT_I, HIT_R, j)


def test_the_first_solution_from_the_start_is_found() -> None:
    suite = HitSuite.RSA_DSA_SHA256
    i, start = nonce(suite), bytes(32)
    found = solve_puzzle(suite, 8, i, HIT_I, HIT_R, start_j=start, tries=10_000)
    assert found is not None
    steps = int.from_bytes(found, "big")
    for step in range(steps):
        assert not puzzle_is_solved(suite, 8, i, HIT_I, HIT_R, step.to_bytes(32, "big"))
    short = solve_puzzle(suite, 8, i, HIT_I, HIT_R, start_j=start, tries=steps)
    assert short is None
    exact = solve_puzzle(suite, 8, i, HIT_I, HIT_R, start_j=start, tries=steps + 1)
    assert exact == found


def test_search_wraps_within_the_last_64_bits() -> None:
    suite = HitSuite.RSA_DSA_SHA256
    start = b"\x07" * 24 + b"\xff" * 8
    j = solve_puzzle(suite, 6, nonce(suite), HIT_I, HIT_R, start_j=start, tries=5_000)
    assert j is not None
    assert j[:24] == start[:24]
    assert puzzle_is_solved(suite, 6, nonce(suite), HIT_I, HIT_R, j)


@pytest.mark.parametrize("suite", SUITES, ids=lambda s: s.name)
def test_k_zero_costs_nothing(suite: HitSuite) -> None:
    start = nonce(suite, b"\x33")
    assert solve_puzzle(suite, 0, nonce(suite), HIT_I, HIT_R, start_j=start, tries=0) == start
    assert puzzle_is_solved(suite, 0, nonce(suite), HIT_I, HIT_R, start)


def test_no_tries_no_solution() -> None:
    suite = HitSuite.RSA_DSA_SHA256
    assert solve_puzzle(suite, 1, nonce(suite), HIT_I, HIT_R, start_j=bytes(32), tries=0) is None


@pytest.mark.parametrize("suite", SUITES, ids=lambda s: s.name)
@pytest.mark.parametrize("k", [0, 1])
def test_wrong_lengths_solve_nothing(suite: HitSuite, k: int) -> None:
    i = nonce(suite)
    for bad in (b"", i[:-1], i + b"\0", i[:8]):
        assert not puzzle_is_solved(suite, k, bad, HIT_I, HIT_R, i)
        assert not puzzle_is_solved(suite, k, i, HIT_I, HIT_R, bad)
        with pytest.raises(CryptoError):
            solve_puzzle(suite, k, bad, HIT_I, HIT_R, start_j=i, tries=1)
        with pytest.raises(CryptoError):
            solve_puzzle(suite, k, i, HIT_I, HIT_R, start_j=bad, tries=1)


@pytest.mark.parametrize("k", [-1, 161, 255, 256, 1000])
def test_k_beyond_the_digest(k: int) -> None:
    suite = HitSuite.ECDSA_LOW_SHA1
    assert not puzzle_is_solved(suite, k, nonce(suite), HIT_I, HIT_R, nonce(suite))
    with pytest.raises(CryptoError):
        solve_puzzle(suite, k, nonce(suite), HIT_I, HIT_R, start_j=nonce(suite), tries=1)


def test_a_hard_k_gives_up() -> None:
    suite = HitSuite.RSA_DSA_SHA256
    i = nonce(suite)
    assert solve_puzzle(suite, 255, i, HIT_I, HIT_R, start_j=i, tries=100) is None
    assert not puzzle_is_solved(suite, 255, i, HIT_I, HIT_R, i)


def test_roles_are_not_interchangeable() -> None:
    suite = HitSuite.RSA_DSA_SHA256
    i = nonce(suite)
    j = solve_puzzle(suite, 12, i, HIT_I, HIT_R, start_j=bytes(32), tries=100_000)
    assert j is not None
    assert not puzzle_is_solved(suite, 12, i, HIT_R, HIT_I, j)
