"""Properties hold on a machine of any speed: see tests/conftest.py."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference.checksum import checksum


@settings(max_examples=2)
@given(octets=st.binary(max_size=20))
def test_a_slow_example_is_no_failure(octets: bytes) -> None:
    time.sleep(0.25)
    assert 0 <= checksum(octets) <= 0xFFFF
