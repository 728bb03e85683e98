"""AES-GCM by intel-ipsec-mb against libcrypto: the same octets, the same refusals."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hipgw._fastpath import ipsec_mb
from hipgw._fastpath.contexts import OpenContext, SealContext
from tests.twin.batches import Batch

GCM = (12, 13)
KEY = bytes(range(100, 120))
LIBCRYPTO = ""


@pytest.fixture(autouse=True)
def fixture_as_before() -> Iterator[None]:
    before = ipsec_mb.variant()
    yield
    ipsec_mb.use(before)


def sealed(variant: str, suite: int, payloads: list[bytes], sequence: int = 0) -> list[bytes]:
    ipsec_mb.use(variant)
    context = SealContext()
    context.add(0x1234, suite, KEY, b"", sequence)
    batch = Batch.of(payloads, next_header=17, family=6)
    assert context.seal_batch(batch.arena, batch.raw) == len(payloads)
    return batch.packets()


def opened(variant: str, suite: int, packets: list[bytes]) -> Batch:
    ipsec_mb.use(variant)
    context = OpenContext()
    context.add(0x1234, suite, KEY, b"")
    batch = Batch.of(packets)
    context.open_batch(batch.arena, batch.raw)
    return batch


def test_the_library_is_here_where_it_exists() -> None:
    """`make setup` installs it on amd64; without it the other tests of this file are empty."""
    assert bool(ipsec_mb.version()) == bool(ipsec_mb.variants())
    assert len(set(ipsec_mb.variants())) == len(ipsec_mb.variants())


def test_a_variant_of_another_machine_is_refused() -> None:
    with pytest.raises(ValueError, match="no variant 'neon'"):
        ipsec_mb.use("neon")


@pytest.mark.parametrize("suite", GCM)
@pytest.mark.parametrize("variant", ipsec_mb.variants())
def test_every_length_gives_the_octets_of_libcrypto(variant: str, suite: int) -> None:
    payloads = [bytes(n % 253 for n in range(length)) for length in (*range(1, 200), 1420, 8900)]
    theirs = sealed(LIBCRYPTO, suite, payloads)
    assert sealed(variant, suite, payloads) == theirs
    batch = opened(variant, suite, theirs)
    assert batch.packets() == payloads


@pytest.mark.parametrize("suite", GCM)
@pytest.mark.parametrize("variant", ipsec_mb.variants())
def test_every_bit_counts(variant: str, suite: int) -> None:
    (packet,) = sealed(variant, suite, [b"payload of a packet"])
    flipped = [
        packet[:at] + bytes([packet[at] ^ 1 << bit]) + packet[at + 1 :]
        for at in range(8, len(packet))
        for bit in range(8)
    ]
    batch = opened(variant, suite, flipped)
    assert {batch.reason(index) for index in range(len(flipped))} == {"icv_wrong"}
    assert not any(b"payload" in packet for packet in batch.packets())


@pytest.mark.parametrize("variant", ipsec_mb.variants())
@settings(max_examples=40)
@given(
    payloads=st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=40),
    sequence=st.integers(0, 2**32 - 100),
)
def test_any_batch(variant: str, payloads: list[bytes], sequence: int) -> None:
    assert sealed(variant, 13, payloads, sequence) == sealed(LIBCRYPTO, 13, payloads, sequence)


def test_sas_of_both_libraries_stand_side_by_side() -> None:
    for variant in (LIBCRYPTO, *ipsec_mb.variants()):
        ipsec_mb.use(variant)
        context = SealContext()
        context.add(0x1234, 13, KEY, b"")
        ipsec_mb.use(LIBCRYPTO)  # keyed already: it stays with what it was keyed for
        context.add(0x1234, 13, KEY, b"")
        batch = Batch.of([b"same"] * 2, next_header=17, family=6, sa_index=[0, 1])
        assert context.seal_batch(batch.arena, batch.raw) == 2
        assert batch.packet(0) == batch.packet(1)
