"""The puzzle of HIPv1: both bit rules, roles, lengths, limits."""

from __future__ import annotations

import hashlib

import pytest

from hipgw.crypto import PuzzleRule, puzzle_v1_is_solved, solve_puzzle_v1
from hipgw.errors import CryptoError
from hipgw.values import Hit

HIT_I, HIT_R = Hit.parse("2001:10::1"), Hit.parse("2001:10::2")
I_OCTETS = b"\x5a" * 8


def digest_of(j: bytes) -> bytes:
    message = I_OCTETS + HIT_I.packed + HIT_R.packed + j
    return hashlib.sha1(message, usedforsecurity=False).digest()


def solve(k: int, rule: PuzzleRule = PuzzleRule.RFC_5201, start: bytes = bytes(8)) -> bytes:
    j = solve_puzzle_v1(k, I_OCTETS, HIT_I, HIT_R, start_j=start, tries=200_000, rule=rule)
    assert j is not None
    return j


def is_solved(k: int, j: bytes, rule: PuzzleRule = PuzzleRule.RFC_5201) -> bool:
    return puzzle_v1_is_solved(k, I_OCTETS, HIT_I, HIT_R, j, rule=rule)


def test_rfc_rule_is_about_the_end_of_the_digest() -> None:
    j = solve(10)
    assert digest_of(j)[-1] == 0
    assert not digest_of(j)[-2] & 3
    assert is_solved(10, j)
    assert not is_solved(10, j, PuzzleRule.OPENHIP)


def test_openhip_rule_is_about_octet_12() -> None:
    j = solve(10, PuzzleRule.OPENHIP)
    assert digest_of(j)[12] == 0
    assert not digest_of(j)[13] & 3
    assert is_solved(10, j, PuzzleRule.OPENHIP)
    assert not is_solved(10, j)


def test_both_rules_at_once() -> None:
    j = solve(6, PuzzleRule.BOTH)
    assert all(is_solved(6, j, rule) for rule in PuzzleRule)


def test_the_first_solution_from_the_start_is_found() -> None:
    steps = int.from_bytes(solve(7), "big")
    for step in range(steps):
        assert not is_solved(7, step.to_bytes(8, "big"))
    asked = (7, I_OCTETS, HIT_I, HIT_R)
    assert solve_puzzle_v1(*asked, start_j=bytes(8), tries=steps) is None
    assert solve_puzzle_v1(*asked, start_j=bytes(8), tries=steps + 1) == steps.to_bytes(8, "big")


def test_search_wraps() -> None:
    j = solve(6, start=b"\xff" * 8)
    assert is_solved(6, j)
    assert j[0] == 0


def test_roles_are_not_exchangeable() -> None:
    j = solve(12)
    assert not puzzle_v1_is_solved(12, I_OCTETS, HIT_R, HIT_I, j)


def test_nothing_asked() -> None:
    for rule in PuzzleRule:
        assert is_solved(0, b"anything", rule)
    assert solve(0, start=b"anything") == b"anything"


@pytest.mark.parametrize(
    ("k", "i", "j"), [(0, 7, 8), (0, 8, 7), (0, 20, 20), (-1, 8, 8), (65, 8, 8)]
)
def test_wrong_sizes(k: int, i: int, j: int) -> None:
    for rule in PuzzleRule:
        assert not puzzle_v1_is_solved(k, bytes(i), HIT_I, HIT_R, bytes(j), rule=rule)
    with pytest.raises(CryptoError):
        solve_puzzle_v1(k, bytes(i), HIT_I, HIT_R, start_j=bytes(j), tries=1)
