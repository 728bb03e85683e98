"""Invariant: no input begins with "bad"; broken on purpose, to see that the runner sees it."""

from __future__ import annotations

from collections.abc import Iterator

from tests.fuzz.target import Target


def run(octets: bytes) -> None:
    """Fail on what the seed is one change away from."""
    assert not octets.startswith(b"bad")


def seeds() -> Iterator[bytes]:
    """One good and one bad input."""
    yield b"good"
    yield b"bad"


TARGET = Target("planted", run, seeds, octets_most=16)
