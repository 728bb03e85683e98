"""`esp_open_batch` against the reference, with what peers and strangers may send."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hipgw._fastpath.contexts import OpenContext, SealContext
from tests.reference.esp import ALIGN, IV, SUITES, Inbound, Keys, seal
from tests.twin.batches import FORWARD, Batch
from tests.twin.test_esp_seal import BATCH_SIZES, LENGTHS, SPI, keys_of, payloads_of

Outcome = tuple[bytes, int] | str


def context_of(keys: Keys) -> OpenContext:
    context = OpenContext()
    assert context.add(SPI, keys.suite, keys.encryption, keys.authentication) == 0
    return context


def good(keys: Keys, sequence: int, payload: bytes, next_header: int = 17) -> bytes:
    iv = bytes((sequence * 7 + i) % 256 for i in range(IV[keys.suite]))
    return seal(keys, SPI, sequence, payload, next_header=next_header, iv=iv)


def outcomes(context: OpenContext, packets: Sequence[bytes], room: int = 0) -> list[Outcome]:
    """What the kernel says of each packet, in the words of the reference."""
    batch = Batch.of(packets, room=room)
    stay = context.open_batch(batch.arena, batch.raw, 5)
    found: list[Outcome] = [
        (batch.packet(i), int(batch.desc[i]["next_header"]))
        if batch.desc[i]["verdict"] == FORWARD
        else batch.reason(i)
        for i in range(len(packets))
    ]
    assert stay == sum(not isinstance(outcome, str) for outcome in found)
    return found


@pytest.mark.parametrize("suite", SUITES)
def test_every_length(suite: int) -> None:
    keys = keys_of(suite)
    payloads = payloads_of(LENGTHS)
    packets = [good(keys, i + 1, payload, i % 59) for i, payload in enumerate(payloads)]
    batch = Batch.of(packets)
    assert context_of(keys).open_batch(batch.arena, batch.raw) == len(packets)
    assert batch.packets() == payloads
    assert [int(n) for n in batch.desc["next_header"]] == [i % 59 for i in range(len(packets))]
    whole = Batch.of(packets)
    outside = np.ones(len(whole.arena), bool)
    for row in whole.desc:
        outside[int(row["offset"]) : int(row["offset"]) + int(row["length"])] = False
    assert (batch.arena[outside] == whole.arena[outside]).all(), "wrote outside a packet"


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("size", BATCH_SIZES)
def test_every_batch_size(suite: int, size: int) -> None:
    keys = keys_of(suite)
    context = context_of(keys)
    payloads = payloads_of([(11 * i) % 70 for i in range(size)])
    packets = [good(keys, i + 1, payload) for i, payload in enumerate(payloads)]
    assert outcomes(context, packets) == [(payload, 17) for payload in payloads]
    assert context.statistics(0) == (size, size, 5 if size else 0)
    assert outcomes(context, packets) == ["esp_replayed"] * size


def test_associations_of_all_suites_take_turns() -> None:
    keys = [keys_of(suite, mark) for mark in range(3) for suite in SUITES]
    context = OpenContext()
    for key in keys:
        context.add(SPI, key.suite, key.encryption, key.authentication)
    rng = np.random.default_rng(6)
    index = [int(n) for n in np.sort(rng.integers(0, len(keys), 256).reshape(16, 16)).ravel()]
    payloads = payloads_of([int(n) for n in rng.integers(0, 120, 256)])
    sequences = [index[: i + 1].count(at) for i, at in enumerate(index)]
    packets = [good(keys[at], sequences[i], payloads[i]) for i, at in enumerate(index)]
    batch = Batch.of(packets, sa_index=index)
    assert context.open_batch(batch.arena, batch.raw) == 256
    assert batch.packets() == payloads


@pytest.mark.parametrize("suite", SUITES)
def test_kernel_opens_what_kernel_sealed(suite: int) -> None:
    keys = keys_of(suite)
    sealer = SealContext()
    sealer.add(SPI, suite, keys.encryption, keys.authentication)
    context = context_of(keys)
    for _ in range(3):
        payloads = payloads_of([i % 100 for i in range(256)])
        batch = Batch.of(payloads, next_header=6, family=6)
        assert sealer.seal_batch(batch.arena, batch.raw) == 256
        assert context.open_batch(batch.arena, batch.raw) == 256
        assert batch.packets() == payloads


@pytest.mark.parametrize("suite", SUITES)
def test_random_octets_of_every_short_length(suite: int) -> None:
    keys = keys_of(suite)
    rng = np.random.default_rng(suite)
    packets = [rng.bytes(length) for length in range(81) for _ in range(3)]
    context = context_of(keys)
    found = outcomes(context, packets)
    assert found == Inbound(keys).open_batch(packets)
    assert set(found) == {"runt", "length_wrong", "icv_wrong"}
    assert context.statistics(0) == (0, 0, 0), "a stranger changes nothing"


@pytest.mark.parametrize("suite", SUITES)
def test_a_good_packet_cut_at_every_length(suite: int) -> None:
    keys = keys_of(suite)
    packet = good(keys, 9, bytes(range(50)))
    for length in range(len(packet)):
        found = outcomes(context_of(keys), [packet[:length]])
        assert found == Inbound(keys).open_batch([packet[:length]])
        assert isinstance(found[0], str), length


@pytest.mark.parametrize("suite", SUITES)
def test_a_good_packet_with_every_bit_flipped(suite: int) -> None:
    keys = keys_of(suite)
    packet = good(keys, 0x0102_0304, b"a small packet")
    context = context_of(keys)
    for at in range(len(packet) * 8):
        flipped = bytearray(packet)
        flipped[at // 8] ^= 0x80 >> at % 8
        assert outcomes(context, [bytes(flipped)]) == ["icv_wrong"], at
    assert outcomes(context, [packet]) == [(b"a small packet", 17)], "and the window did not move"


@pytest.mark.parametrize("suite", SUITES)
def test_octets_appended_to_a_good_packet(suite: int) -> None:
    keys = keys_of(suite)
    packet = good(keys, 9, b"payload")
    for extra in range(1, 40):
        wrong = "length_wrong" if extra % ALIGN[suite] else "icv_wrong"
        assert outcomes(context_of(keys), [packet + bytes(extra)]) == [wrong]


@pytest.mark.parametrize("suite", SUITES)
def test_a_duplicate_inside_one_batch(suite: int) -> None:
    keys = keys_of(suite)
    one, two = good(keys, 1, b"one"), good(keys, 2, b"two")
    spoilt = two[:-1] + bytes([two[-1] ^ 1])
    found = outcomes(context_of(keys), [one, two, one, spoilt, two])
    assert found == [
        (b"one", 17), (b"two", 17), "esp_replayed", "icv_wrong", "esp_replayed",
    ]  # fmt: skip


@pytest.mark.parametrize("suite", SUITES)
def test_a_forged_number_does_not_move_the_window(suite: int) -> None:
    keys = keys_of(suite)
    forged = bytearray(good(keys, 5, b"five"))
    forged[4:8] = b"\xff\xff\xff\xff"
    context = context_of(keys)
    assert outcomes(context, [bytes(forged), good(keys, 1, b"one")]) == ["icv_wrong", (b"one", 17)]
    assert context.statistics(0)[0] == 1


@pytest.mark.parametrize("suite", SUITES)
def test_the_window_closes_within_a_batch(suite: int) -> None:
    keys = keys_of(suite)
    packets = [good(keys, n, b"x") for n in (5000, 5000 - 1983, 5000 - 1984, 0, 2**32 - 1, 4999)]
    found = outcomes(context_of(keys), packets)
    assert found == [(b"x", 17), (b"x", 17), "too_old", "esp_replayed", (b"x", 17), "too_old"]


@pytest.mark.parametrize("suite", SUITES)
def test_dummy_packets_end_after_they_are_marked(suite: int) -> None:
    keys = keys_of(suite)
    context = context_of(keys)
    packet = good(keys, 3, bytes(40), next_header=59)
    assert outcomes(context, [packet]) == ["dummy"]
    assert outcomes(context, [packet]) == ["esp_replayed"]
    assert context.statistics(0) == (3, 0, 5)


@pytest.mark.parametrize("suite", SUITES)
def test_authentic_padding_of_any_length_and_content(suite: int) -> None:
    keys = keys_of(suite)
    for sequence, length in enumerate(range(ALIGN[suite] - 2, 45, ALIGN[suite]), start=1):
        for claimed in range(256):
            packet = seal(
                keys, SPI, sequence, b"", next_header=17, iv=bytes(IV[suite]),
                padding=b"\xee" * length, pad_length=claimed,
            )  # fmt: skip
            right = "padding_wrong" if claimed > length else (b"\xee" * (length - claimed), 17)
            assert outcomes(context_of(keys), [packet]) == [right]


@pytest.mark.parametrize("suite", SUITES)
def test_an_authentic_packet_with_wrong_padding_is_marked_too(suite: int) -> None:
    """RFC 4303 section 3.4.3: the window moves when the ICV is right, whatever follows."""
    keys = keys_of(suite)
    packet = seal(keys, SPI, 4, bytes(30), next_header=6, iv=bytes(IV[suite]), pad_length=255)
    context = context_of(keys)
    assert outcomes(context, [packet]) == ["padding_wrong"]
    assert outcomes(context, [packet]) == ["esp_replayed"]
    assert context.statistics(0) == (4, 0, 5)


@settings(deadline=None)
@given(st.sampled_from(SUITES), st.data())
def test_any_mixture_ends_as_in_the_reference(suite: int, data: st.DataObject) -> None:
    keys = keys_of(suite)
    context, reference = context_of(keys), Inbound(keys)
    number = st.one_of(st.integers(0, 40), st.integers(1900, 2100), st.integers(0, 2**32 - 1))
    for _ in range(data.draw(st.integers(1, 3))):
        packets = []
        for sequence in data.draw(st.lists(number, max_size=20)):
            packet = bytearray(
                good(keys, sequence, bytes(sequence % 37), data.draw(st.sampled_from([6, 17, 59])))
            )
            kind = data.draw(st.sampled_from(["good", "good", "good", "flip", "cut"]))
            if kind == "flip":
                packet[data.draw(st.integers(0, len(packet) - 1))] ^= 0x40
            elif kind == "cut":
                del packet[data.draw(st.integers(0, len(packet) - 1)) :]
            packets.append(bytes(packet))
        assert outcomes(context, packets) == reference.open_batch(packets)
        assert context.statistics(0)[0] == reference.window.top
