"""`checksum` against RFC 1071 by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipgw._fastpath.checksum import adjusted, internet_sum
from tests.reference.checksum import checksum, ones_sum


def test_the_example_of_rfc_1071() -> None:
    assert internet_sum(bytes.fromhex("0001f203f4f5f6f7")) == 0xDDF2


@pytest.mark.parametrize("length", [*range(40), 1499, 1500, 9001, 65535])
@pytest.mark.parametrize("octet", [0, 1, 0xFF])
def test_every_length_of_equal_octets(length: int, octet: int) -> None:
    octets = bytes([octet]) * length
    assert internet_sum(octets) == ones_sum(octets)


@given(st.binary(max_size=200), st.integers(0, 2**32 - 1), st.integers(0, 7))
def test_any_octets_at_any_alignment(octets: bytes, start: int, skip: int) -> None:
    view = memoryview(bytes(skip) + octets)[skip:]
    assert internet_sum(view, start) == ones_sum(octets, start)


@given(
    st.binary(min_size=20, max_size=60).filter(lambda b: len(b) % 2 == 0 and any(b)),
    st.binary(min_size=8, max_size=8).filter(any),
)
def test_adjusting_equals_computing_anew(octets: bytes, other: bytes) -> None:
    before = checksum(octets)
    changed = other + octets[8:]
    assert adjusted(before, ones_sum(octets[:8]), ones_sum(other)) == checksum(changed)
