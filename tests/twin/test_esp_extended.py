"""Extended sequence numbers in ESP against the reference, every backend (RFC 4303 2.2.1, A2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hipgw._fastpath import bursts, ipsec_mb
from hipgw._fastpath.contexts import OpenContext, SealContext
from tests.reference.esp import ALIGN, GCM, IV, SUITES, Inbound, Keys, seal
from tests.reference.replay import SetWindow
from tests.twin.batches import FORWARD, Batch
from tests.twin.test_esp_seal import SPI, keys_of, payloads_of

HALF = 2**32
LIBCRYPTO = ""
WINDOW = 1984
NEARLY = 5 * HALF - 6
"""Six numbers later the upper half is another one."""

Outcome = tuple[bytes, int] | str


def backends_of(suite: int) -> tuple[str, ...]:
    if suite in GCM:
        return (LIBCRYPTO, *ipsec_mb.variants())
    return (LIBCRYPTO, *(bursts.variants() if suite in bursts.suites() else ()))


EVERYWHERE = [(suite, name) for suite in SUITES for name in backends_of(suite)]
each = pytest.mark.parametrize(("suite", "name"), EVERYWHERE)


@pytest.fixture(autouse=True)
def fixture_as_before() -> Iterator[None]:
    gcm = ipsec_mb.variant()
    before = {suite: bursts.variant(suite) for suite in bursts.suites()}
    yield
    ipsec_mb.use(gcm)
    for suite, was in before.items():
        bursts.use(suite, *was)


def extended(suite: int, mark: int = 0) -> Keys:
    return replace(keys_of(suite, mark), is_extended=True)


def choose(suite: int, name: str) -> None:
    if suite in GCM:
        ipsec_mb.use(name)
    elif suite in bursts.suites():
        bursts.use(suite, name)


def sealer(name: str, *keys: Keys, sequence: int = 0) -> SealContext:
    context = SealContext()
    for one in keys:
        choose(one.suite, name if name in backends_of(one.suite) else LIBCRYPTO)
        context.add(
            SPI, one.suite, one.encryption, one.authentication, sequence, extended=one.is_extended
        )
    return context


def opener(name: str, *keys: Keys, top: int = 0) -> OpenContext:
    context = OpenContext()
    for one in keys:
        choose(one.suite, name if name in backends_of(one.suite) else LIBCRYPTO)
        context.add(
            SPI, one.suite, one.encryption, one.authentication, top, extended=one.is_extended
        )
    return context


def model(keys: Keys, top: int) -> Inbound:
    window = SetWindow(WINDOW)
    window.accept(top)
    return Inbound(keys, window)


def good(keys: Keys, sequence: int, payload: bytes) -> bytes:
    iv = bytes((sequence * 5 + i) % 256 for i in range(IV[keys.suite]))
    return seal(keys, SPI, sequence, payload, next_header=17, iv=iv)


def outcomes(context: OpenContext, packets: Sequence[bytes]) -> list[Outcome]:
    batch = Batch.of(packets, room=0)
    context.open_batch(batch.arena, batch.raw, 5)
    return [
        (batch.packet(i), 17) if batch.desc[i]["verdict"] == FORWARD else batch.reason(i)
        for i in range(len(packets))
    ]


@each
def test_the_counter_passes_two_to_the_thirty_two(suite: int, name: str) -> None:
    keys = extended(suite)
    context, receiver = sealer(name, keys, sequence=NEARLY - 1), opener(name, keys, top=NEARLY - 1)
    payloads = payloads_of([3, 40, 0, 1420, 17, 64, 65, 1, 300, 20, 8900, 2])
    batch = Batch.of(payloads, next_header=17, family=6)
    assert context.seal_batch(batch.arena, batch.raw) == len(payloads)
    for i, packet in enumerate(batch.packets()):
        iv = packet[8 : 8 + IV[suite]]
        assert packet == seal(keys, SPI, NEARLY + i, payloads[i], next_header=17, iv=iv), i
    assert batch.untouched_outside()
    assert context.statistics(0)[0] == NEARLY + 11
    assert receiver.open_batch(batch.arena, batch.raw) == len(payloads)
    assert batch.packets() == payloads
    assert receiver.statistics(0)[0] == NEARLY + 11


@each
def test_late_packets_replays_and_forged_upper_halves(suite: int, name: str) -> None:
    """From before the wrap: late ones come through, others as they would at any other number."""
    keys = extended(suite)
    context, told = opener(name, keys, top=NEARLY), model(keys, NEARLY)
    late = [good(keys, NEARLY - n, b"late") for n in (1, 3, 1982, 1983)]
    after = [good(keys, NEARLY + n, b"after") for n in (9, 7, 8, 500, 1970)]
    rounds: list[list[bytes]] = [
        [after[0]],
        [late[0], late[1], after[0], after[1]],
        [late[0], *after, *late],
        [good(keys, NEARLY + 9 + high * HALF, b"other half") for high in (-1, 1, 2)],
        [good(keys, n, b"none") for n in (5 * HALF, 5 * HALF, 5 * HALF + 1)],
    ]
    for packets in rounds:
        found = outcomes(context, packets)
        assert found == told.open_batch(packets)
        assert context.statistics(0)[0] == told.window.top
    assert outcomes(context, rounds[3]) == ["esp_replayed"] * 3
    fresh = [good(keys, NEARLY + 3000 + high * HALF, b"other half") for high in (-1, 1, 2)]
    assert outcomes(context, fresh) == ["icv_wrong"] * 3
    assert context.statistics(0)[0] == told.window.top, "a stranger moves nothing"
    right = good(keys, NEARLY + 3000, b"mine")
    assert outcomes(context, [right, right]) == [(b"mine", 17), "esp_replayed"]


@each
def test_both_ends_need_it(suite: int, name: str) -> None:
    long, short = extended(suite), keys_of(suite)
    for one, other in ((long, short), (short, long)):
        packets = [good(one, n, bytes(n)) for n in range(1, 20)]
        assert set(outcomes(opener(name, other), packets)) == {"icv_wrong"}
        assert outcomes(opener(name, one), packets) == [(bytes(n), 17) for n in range(1, 20)]


@each
def test_every_octet_counts_and_what_is_refused_stays_as_it_was(suite: int, name: str) -> None:
    keys = extended(suite)
    packet = good(keys, NEARLY, b"a small packet")
    context = opener(name, keys, top=NEARLY - 100)
    forged = [packet[:at] + bytes([packet[at] ^ 4]) + packet[at + 1 :] for at in range(len(packet))]
    for start in range(0, len(forged), 24):
        assert set(outcomes(context, forged[start : start + 24])) == {"icv_wrong"}
    assert outcomes(context, [packet]) == [(b"a small packet", 17)]


@pytest.mark.parametrize(
    ("suite", "name"), [(s, n) for s, n in EVERYWHERE if s in bursts.suites() and n]
)
def test_a_burst_leaves_the_icvs_of_what_it_refuses_alone(suite: int, name: str) -> None:
    keys, others = extended(suite), keys_of(suite, 1)
    packets = [good((keys, others)[i % 2], 1 + i, bytes(30 + i)) for i in range(20)]
    spoilt = [packet[:-1] + bytes([packet[-1] ^ 1]) for packet in packets]
    batch = Batch.of(spoilt, sa_index=[i % 2 for i in range(20)])
    context = opener(name, keys, others)
    assert context.open_batch(batch.arena, batch.raw) == 0
    assert batch.packets() == spoilt
    batch = Batch.of(packets, sa_index=[i % 2 for i in range(20)])
    assert context.open_batch(batch.arena, batch.raw) == 20


@pytest.mark.parametrize("name", sorted({name for _, name in EVERYWHERE}))
def test_sas_with_and_without_take_turns(name: str) -> None:
    keys = [
        make(suite, mark) for make in (extended, keys_of) for mark in (0, 1) for suite in SUITES
    ]
    keys = keys[:64]
    rng = np.random.default_rng(11)
    index = [int(n) for n in np.sort(rng.integers(0, len(keys), 256).reshape(32, 8)).ravel()]
    payloads = payloads_of([int(n) for n in rng.integers(0, 120, 256)])
    batch = Batch.of(payloads, sa_index=index, next_header=17, family=6)
    assert sealer(name, *keys).seal_batch(batch.arena, batch.raw) == 256
    sent = [0] * len(keys)
    for at, payload, packet in zip(index, payloads, batch.packets(), strict=True):
        sent[at] += 1
        iv = packet[8 : 8 + IV[keys[at].suite]]
        assert packet == seal(keys[at], SPI, sent[at], payload, next_header=17, iv=iv)
    assert opener(name, *keys).open_batch(batch.arena, batch.raw) == 256
    assert batch.packets() == payloads


@each
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_any_walk_across_the_edge(suite: int, name: str, data: st.DataObject) -> None:
    """Jumps as large as they come, either way, in batches; strangers with any number among them."""
    keys = extended(suite)
    top = data.draw(st.sampled_from([1, 1983, HALF - 1985, HALF - 2, 3 * HALF, NEARLY]))
    context, told = opener(name, keys, top=top), model(keys, top)
    steps = st.integers(-2100, 2100) | st.integers(-HALF, HALF) | st.sampled_from([HALF, -HALF])
    for _ in range(3):
        packets = []
        for step in data.draw(st.lists(steps, min_size=1, max_size=12)):
            packet = good(keys, max(told.window.top + step, 0), bytes(abs(step) % 40))
            if data.draw(st.integers(0, 5)) == 0:
                packet = packet[:4] + data.draw(st.binary(min_size=4, max_size=4)) + packet[8:]
            packets.append(packet)
        assert outcomes(context, packets) == told.open_batch(packets)
        assert context.statistics(0)[0] == told.window.top


@each
def test_the_end_of_all_numbers(suite: int, name: str) -> None:
    keys, last = extended(suite), 2**64 - 1
    context = sealer(name, keys, sequence=last - 2)
    batch = Batch.of([b"x"] * 4, next_header=17, family=6)
    assert context.seal_batch(batch.arena, batch.raw) == 2
    assert [batch.reason(i) for i in range(4)] == ["none"] * 2 + ["sequence_spent"] * 2
    receiver = opener(name, keys, top=last - 2)
    assert outcomes(receiver, batch.packets()[:2]) == [(b"x", 17)] * 2
    again = good(keys, 5, b"x" * ALIGN[suite])
    assert outcomes(receiver, [again]) == ["too_old"]
    assert receiver.statistics(0)[0] == last
