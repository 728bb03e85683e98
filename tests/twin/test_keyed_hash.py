"""SipHash-1-3 of words against the slow one, which is held to the paper's vector."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipgw._fastpath.hash_table import keyed_hash
from tests.reference.siphash import siphash

WORD = st.integers(0, (1 << 64) - 1)


def test_the_reference_gives_the_vector_of_the_paper() -> None:
    # Appendix A: SipHash-2-4, key 00..0f, message 00..0e.
    assert siphash(bytes(range(15)), bytes(range(16)), 2, 4) == 0xA129CA6149BE45E5


@given(words=st.lists(WORD, max_size=6), key=st.binary(min_size=16, max_size=16))
def test_words_hash_as_their_octets(words: list[int], key: bytes) -> None:
    array = np.array(words, dtype=np.uint64)
    octets = b"".join(word.to_bytes(8, "little") for word in words)
    assert keyed_hash(array, key) == siphash(octets, key, 1, 3)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 16"):
        keyed_hash(np.zeros(1, dtype=np.uint64), b"short")
