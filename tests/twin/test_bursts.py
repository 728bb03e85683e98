"""AES-CBC and HMAC of many packets at once, by intel-ipsec-mb, against the reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hipgw._fastpath import bursts, ipsec_mb
from hipgw._fastpath.contexts import OpenContext, SealContext
from tests.reference.esp import ALIGN, ICV, IV, SUITES, Inbound, Keys, seal
from tests.twin.batches import FORWARD, Batch
from tests.twin.test_esp_seal import SPI, keys_of, payloads_of

LIBCRYPTO = ""
CASES = [(suite, name) for suite in bursts.suites() for name in bursts.variants()]
ALL_BACKENDS = [(suite, name) for suite in bursts.suites() for name in (*bursts.variants(), "")]
each = pytest.mark.parametrize(("suite", "name"), CASES)


@pytest.fixture(autouse=True)
def fixture_as_before() -> Iterator[None]:
    before = {suite: bursts.variant(suite) for suite in bursts.suites()}
    yield
    for suite, was in before.items():
        bursts.use(suite, *was)


def sealer(name: str, *keys: Keys, least: int = 1) -> SealContext:
    context = SealContext()
    for one in keys:
        if one.suite in bursts.suites():
            bursts.use(one.suite, name, seal_least=least)
        context.add(SPI, one.suite, one.encryption, one.authentication)
    return context


def opener(name: str, *keys: Keys, least: int = 1) -> OpenContext:
    context = OpenContext()
    for one in keys:
        if one.suite in bursts.suites():
            bursts.use(one.suite, name, open_least=least)
        context.add(SPI, one.suite, one.encryption, one.authentication)
    return context


def good(keys: Keys, sequence: int, payload: bytes) -> bytes:
    iv = bytes((sequence * 5 + i) % 256 for i in range(IV[keys.suite]))
    return seal(keys, SPI, sequence, payload, next_header=17, iv=iv)


def reasons(context: OpenContext, packets: Sequence[bytes]) -> list[str]:
    batch = Batch.of(packets, room=0)
    context.open_batch(batch.arena, batch.raw)
    return [batch.reason(index) for index in range(len(packets))]


def test_variants_are_there_where_the_library_is() -> None:
    """`make setup` installs it on amd64; without it the other tests of this file are empty."""
    assert bool(bursts.variants()) == bool(ipsec_mb.version())
    assert len(set(bursts.variants())) == len(bursts.variants())
    assert set(bursts.suites()) < set(SUITES)


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="no variant 'neon'"):
        bursts.use(8, "neon")
    for name in bursts.variants():
        with pytest.raises(ValueError, match="no bursts for ESP suite 13"):
            bursts.use(13, name)
    bursts.use(13, LIBCRYPTO)
    assert bursts.variant(13) == (LIBCRYPTO, 1, 1)


@each
def test_every_batch_size_is_sealed_as_the_reference_does(suite: int, name: str) -> None:
    keys = keys_of(suite)
    context = sealer(name, keys)
    sent = 0
    for size in (*range(1, 65), 127, 128, 129, 256):
        payloads = payloads_of([(size * 37 + 13 * i) % 200 for i in range(size)])
        batch = Batch.of(payloads, next_header=17, family=6)
        assert context.seal_batch(batch.arena, batch.raw) == size
        for payload, packet in zip(payloads, batch.packets(), strict=True):
            sent += 1
            iv = packet[8 : 8 + IV[suite]]
            assert packet == seal(keys, SPI, sent, payload, next_header=17, iv=iv), size
        assert batch.untouched_outside()


@each
def test_every_batch_size_of_the_reference_is_opened(suite: int, name: str) -> None:
    keys = keys_of(suite)
    context = opener(name, keys)
    sent = 0
    for size in (*range(1, 65), 127, 128, 129, 256):
        payloads = payloads_of([(size * 41 + 17 * i) % 200 for i in range(size)])
        packets = [good(keys, sent + 1 + i, payload) for i, payload in enumerate(payloads)]
        sent += size
        batch = Batch.of(packets)
        assert context.open_batch(batch.arena, batch.raw) == size
        assert batch.packets() == payloads, "in their order"


@each
def test_large_packets_among_small_ones(suite: int, name: str) -> None:
    keys = keys_of(suite)
    payloads = payloads_of([8900, 1, 1420, 60000, 0, 8899, 17, 1500] * 3)
    batch = Batch.of(payloads, next_header=17, family=6)
    assert sealer(name, keys).seal_batch(batch.arena, batch.raw) == len(payloads)
    assert Inbound(keys).open_batch(batch.packets()) == [(payload, 17) for payload in payloads]
    assert opener(name, keys).open_batch(batch.arena, batch.raw) == len(payloads)
    assert batch.packets() == payloads


@each
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_all_backends_understand_each_other(suite: int, name: str, data: st.DataObject) -> None:
    """Random sizes and batches, at any alignment, with packets that are not forwarded."""
    payloads = data.draw(st.lists(st.binary(max_size=300), min_size=1, max_size=64))
    room = data.draw(st.integers(64, 79))
    verdicts = data.draw(
        st.lists(st.sampled_from([0, 0, 0, 1]), min_size=len(payloads), max_size=len(payloads))
    )
    keys, forward = keys_of(suite), verdicts.count(FORWARD)
    for seals, opens in ((name, LIBCRYPTO), (LIBCRYPTO, name), (name, name)):
        batch = Batch.of(payloads, room, next_header=17, family=6, verdict=verdicts)
        assert sealer(seals, keys).seal_batch(batch.arena, batch.raw) == forward
        assert batch.untouched_outside()
        assert opener(opens, keys).open_batch(batch.arena, batch.raw) == forward
        assert batch.packets() == payloads


@each
def test_the_same_is_refused_at_every_octet(suite: int, name: str) -> None:
    """One packet of a burst is wrong: it is dropped, and not decrypted; its neighbours are good."""
    keys = keys_of(suite)
    clear = b"what nobody may read of a forged packet"
    packet = good(keys, 500, clear)
    others = [good(keys, 100 + i, bytes(i)) for i in range(20)]
    context = opener(name, keys)
    for at in range(8, len(packet)):
        forged = packet[:at] + bytes([packet[at] ^ 0x10]) + packet[at + 1 :]
        batch = Batch.of([forged] * 2 + [others[at % 20]])
        context.open_batch(batch.arena, batch.raw)
        assert [batch.reason(0), batch.reason(1)] == ["icv_wrong"] * 2, at
        assert batch.packet(0) == forged
    assert reasons(opener(name, keys), [*others, packet]) == ["none"] * 21


@each
def test_each_octet_of_the_icv_in_each_place_of_a_burst(suite: int, name: str) -> None:
    keys = keys_of(suite)
    packets = [good(keys, 1 + i, bytes(range(i))) for i in range(2 * ICV[suite])]
    spoilt = [
        packet[: -1 - i // 2] + bytes([packet[-1 - i // 2] ^ 1]) + packet[len(packet) - i // 2 :]
        if i % 2
        else packet
        for i, packet in enumerate(packets)
    ]
    assert reasons(opener(name, keys), spoilt) == ["none", "icv_wrong"] * ICV[suite]


@each
def test_packets_cut_short(suite: int, name: str) -> None:
    keys = keys_of(suite)
    packet = good(keys, 9, bytes(range(50)))
    cut = [packet[:length] for length in range(len(packet))]
    found = reasons(opener(name, keys), cut)
    assert found == Inbound(keys).open_batch(cut)
    assert {*found} == {"runt", "length_wrong", "icv_wrong"}
    longer = [packet + bytes(extra) for extra in range(1, 40)]
    for extra, reason in enumerate(reasons(opener(name, keys), longer), start=1):
        assert reason == ("length_wrong" if extra % ALIGN[suite] else "icv_wrong")


@pytest.mark.parametrize("name", bursts.variants())
def test_sas_of_all_suites_take_turns(name: str) -> None:
    """A burst holds packets of several SAs; other suites cut it."""
    keys = [keys_of(suite, mark) for mark in range(3) for suite in SUITES]
    rng = np.random.default_rng(7)
    index = [int(n) for n in rng.integers(0, len(keys), 256)]
    payloads = payloads_of([int(n) for n in rng.integers(0, 120, 256)])
    for least in (1, 2, 8):
        batch = Batch.of(payloads, sa_index=index, next_header=6, family=6)
        assert sealer(name, *keys, least=least).seal_batch(batch.arena, batch.raw) == 256
        sent = [0] * len(keys)
        for at, payload, packet in zip(index, payloads, batch.packets(), strict=True):
            sent[at] += 1
            iv = packet[8 : 8 + IV[keys[at].suite]]
            assert packet == seal(keys[at], SPI, sent[at], payload, next_header=6, iv=iv)
        assert opener(name, *keys, least=least).open_batch(batch.arena, batch.raw) == 256
        assert batch.packets() == payloads


@each
def test_runs_of_sas_of_one_suite_are_one_burst(suite: int, name: str) -> None:
    """Sixty SAs, a packet of each at a time, under keys of their own."""
    keys = [keys_of(suite, mark) for mark in range(60)]
    payloads = payloads_of([7 * i % 90 for i in range(240)])
    index = [i % 60 for i in range(240)]
    batch = Batch.of(payloads, sa_index=index, next_header=6, family=6)
    assert sealer(name, *keys).seal_batch(batch.arena, batch.raw) == 240
    for i, packet in enumerate(batch.packets()):
        assert Inbound(keys[i % 60]).open_batch([packet]) == [(payloads[i], 6)]
    wrong = Batch.of(batch.packets(), sa_index=index[1:] + index[:1])
    assert opener(name, *keys).open_batch(wrong.arena, wrong.raw) == 0
    assert opener(name, *keys).open_batch(batch.arena, batch.raw) == 240


@each
def test_short_runs_stay_with_libcrypto(suite: int, name: str) -> None:
    """Either side of the limit, the octets are right, and replay is seen across it."""
    keys = keys_of(suite)
    seals, opens = sealer(name, keys, least=4), opener(name, keys, least=6)
    for size in (1, 3, 4, 5, 6, 7, 1):
        payloads = payloads_of([11 * i for i in range(size)])
        batch = Batch.of(payloads, next_header=17, family=6)
        assert seals.seal_batch(batch.arena, batch.raw) == size
        packets = batch.packets()
        assert opens.open_batch(batch.arena, batch.raw) == size
        assert batch.packets() == payloads
        assert reasons(opens, packets) == ["esp_replayed"] * size


@pytest.mark.parametrize("name", bursts.variants())
@pytest.mark.parametrize("suite", [suite for suite in bursts.suites() if IV[suite]])
def test_ivs_look_random_and_never_repeat(suite: int, name: str) -> None:
    contexts = [sealer(name, keys_of(suite)) for _ in range(2)]
    ivs = []
    for context in contexts * 4:
        batch = Batch.of([bytes(16)] * 256, next_header=17, family=6)
        assert context.seal_batch(batch.arena, batch.raw) == 256
        ivs += [packet[8:24] for packet in batch.packets()]
    assert len(set(ivs)) == len(ivs), "same keys, same numbers, same payloads: still other IVs"
    bits = np.unpackbits(np.frombuffer(b"".join(ivs), np.uint8)).reshape(-1, 128)
    assert (abs(bits.mean(axis=0) - 0.5) < 0.07).all(), "each bit is a fair coin"


@pytest.mark.parametrize(("suite", "name"), ALL_BACKENDS)
def test_sas_of_both_libraries_stand_side_by_side(suite: int, name: str) -> None:
    keys = keys_of(suite)
    context = sealer(name, keys)
    bursts.use(suite, LIBCRYPTO)  # keyed already: it stays with what it was keyed for
    context.add(SPI, suite, keys.encryption, keys.authentication)
    batch = Batch.of([b"same"] * 4, next_header=17, family=6, sa_index=[0, 1, 0, 1])
    assert context.seal_batch(batch.arena, batch.raw) == 4
    for packet in batch.packets():
        assert Inbound(keys).open_batch([packet]) == [(b"same", 17)]
