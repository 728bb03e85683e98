"""`esp_seal_batch` against the reference, which also opens what it made."""

from __future__ import annotations

import numpy as np
import pytest

from hipgw._fastpath.contexts import SealContext, shape_of_suite
from tests.reference.esp import ALIGN, CBC, COUNTER_IV, ICV, IV, KEYS, SUITES, Inbound, Keys, seal
from tests.twin.batches import DROP, FORWARD, Batch

BATCH_SIZES = [0, 1, 2, 67, 255, 256]
LENGTHS = [*range(301), 1420, 8900]
SPI = 0x1000_0005


def keys_of(suite: int, mark: int = 0) -> Keys:
    encryption, authentication = KEYS[suite]
    rng = np.random.default_rng(suite * 1000 + mark)
    return Keys(suite, rng.bytes(encryption), rng.bytes(authentication))


def context_of(keys: Keys, sequence: int = 0) -> SealContext:
    context = SealContext()
    assert context.add(SPI, keys.suite, keys.encryption, keys.authentication, sequence) == 0
    return context


def payloads_of(lengths: list[int]) -> list[bytes]:
    rng = np.random.default_rng(len(lengths))
    return [rng.bytes(length) for length in lengths]


def expected(keys: Keys, packet: bytes, sequence: int, payload: bytes, next_header: int) -> bytes:
    """What the reference makes with the IV that the kernel chose."""
    iv = packet[8 : 8 + IV[keys.suite]]
    return seal(keys, SPI, sequence, payload, next_header=next_header, iv=iv)


@pytest.mark.parametrize("suite", SUITES)
def test_shapes(suite: int) -> None:
    assert shape_of_suite(suite) == (*KEYS[suite], IV[suite], ICV[suite], ALIGN[suite])


@pytest.mark.parametrize(
    "suite", [0, 2, 6, 16, 0x100, 0x104, 0x107, 0x10D, 0x201, 0x20D, 0x307, 65535, -1]
)
def test_suites_that_are_not_carried(suite: int) -> None:
    assert shape_of_suite(suite) == (0, 0, 0, 0, 0)
    with pytest.raises(ValueError, match="cannot be used"):
        SealContext().add(SPI, suite, b"", b"")


@pytest.mark.parametrize("suite", SUITES)
def test_every_length(suite: int) -> None:
    keys = keys_of(suite)
    context = context_of(keys)
    payloads = payloads_of(LENGTHS)
    batch = Batch.of(payloads, next_header=17, family=6)
    assert context.seal_batch(batch.arena, batch.raw) == len(payloads)
    for index, payload in enumerate(payloads):
        packet = batch.packet(index)
        assert packet == expected(keys, packet, index + 1, payload, 17), len(payload)
    assert batch.untouched_outside()
    opened = Inbound(keys).open_batch(batch.packets())
    assert opened == [(payload, 17) for payload in payloads]


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("size", BATCH_SIZES)
def test_every_batch_size(suite: int, size: int) -> None:
    keys = keys_of(suite)
    context = context_of(keys, 1000)
    payloads = payloads_of([(7 * i) % 90 for i in range(size)])
    batch = Batch.of(payloads, next_header=6, family=4)
    assert context.seal_batch(batch.arena, batch.raw, 77) == size
    for index, payload in enumerate(payloads):
        packet = batch.packet(index)
        assert packet == expected(keys, packet, 1001 + index, payload, 6)
    octets = sum(len(payload) + 20 for payload in payloads)
    assert context.statistics(0) == (1000 + size, size, octets, 77 if size else 0)


def test_associations_of_all_suites_take_turns() -> None:
    keys = [keys_of(suite, mark) for mark in range(3) for suite in SUITES]
    context = SealContext()
    for key in keys:
        context.add(SPI, key.suite, key.encryption, key.authentication)
    rng = np.random.default_rng(5)
    index = np.sort(rng.integers(0, len(keys), 256).reshape(8, 32)).ravel()
    payloads = payloads_of([int(n) for n in rng.integers(0, 120, 256)])
    batch = Batch.of(payloads, sa_index=index, next_header=6, family=6)
    assert context.seal_batch(batch.arena, batch.raw) == 256
    sent = [0] * len(keys)
    for i, payload in enumerate(payloads):
        sent[index[i]] += 1
        packet = batch.packet(i)
        assert packet == expected(keys[index[i]], packet, sent[index[i]], payload, 6)
    for number, count in enumerate(sent):
        own = sum(len(p) + 40 for p, at in zip(payloads, index, strict=True) if at == number)
        assert context.statistics(number)[:3] == (count, count, own)


@pytest.mark.parametrize("suite", SUITES)
def test_what_is_not_forwarded_stays_as_it_is(suite: int) -> None:
    keys = keys_of(suite)
    context = context_of(keys)
    payloads = payloads_of([50] * 9)
    verdicts = [DROP, FORWARD, 2, FORWARD, DROP, DROP, FORWARD, 2, DROP]
    batch = Batch.of(payloads, verdict=verdicts, reason=9, next_header=17, family=6)
    before = batch.desc.copy()
    assert context.seal_batch(batch.arena, batch.raw) == 3
    sequence = 0
    for index, verdict in enumerate(verdicts):
        if verdict == FORWARD:
            sequence += 1
            packet = batch.packet(index)
            assert packet == expected(keys, packet, sequence, payloads[index], 17)
        else:
            assert batch.desc[index] == before[index]
            assert batch.packet(index) == payloads[index]


@pytest.mark.parametrize("suite", SUITES)
def test_the_last_sequence_number_is_used_once(suite: int) -> None:
    keys = keys_of(suite)
    context = context_of(keys, 0xFFFF_FFFD)
    batch = Batch.of([b"x" * 30] * 4, next_header=17, family=6)
    assert context.seal_batch(batch.arena, batch.raw) == 2
    assert [p[4:8].hex() for p in batch.packets()[:2]] == ["fffffffe", "ffffffff"]
    assert [batch.reason(i) for i in range(4)] == ["none"] * 2 + ["sequence_spent"] * 2
    assert batch.packets()[2:] == [b"x" * 30] * 2
    again = Batch.of([b"x"], next_header=17, family=6)
    assert context.seal_batch(again.arena, again.raw) == 0
    assert context.statistics(0)[:2] == (0xFFFF_FFFF, 2)


def ivs_of(context: SealContext, suite: int, count: int) -> list[bytes]:
    ivs: list[bytes] = []
    while len(ivs) < count:
        batch = Batch.of([bytes(16)] * 256, next_header=17, family=6)
        assert context.seal_batch(batch.arena, batch.raw) == 256
        ivs += [packet[8 : 8 + IV[suite]] for packet in batch.packets()]
    return ivs[:count]


@pytest.mark.parametrize("suite", CBC)
def test_cbc_ivs_never_repeat_and_look_random(suite: int) -> None:
    keys, width = keys_of(suite), IV[suite] * 8
    one, other = (ivs_of(context_of(keys), suite, 4096) for _ in range(2))
    assert len({*one, *other}) == 8192, "same keys, same numbers, same payloads: still other IVs"
    numbers = [int.from_bytes(iv) for iv in one]
    for step in (1, 2, 256):
        pairs = list(zip(numbers, numbers[step:], strict=False))
        assert len({(b - a) % 2**width for a, b in pairs}) == len(pairs), "no counter shows"
        assert len({a ^ b for a, b in pairs}) == len(pairs)
    bits = np.unpackbits(np.frombuffer(b"".join(one), np.uint8)).reshape(-1, width)
    assert abs(bits.mean() - 0.5) < 0.01
    assert (abs(bits.mean(axis=0) - 0.5) < 0.06).all(), "each bit is a fair coin"


@pytest.mark.parametrize("suite", CBC)
def test_a_cbc_iv_does_not_follow_from_the_packet_before(suite: int) -> None:
    """The chain runs on, so without R equal plaintext would make the IV a known function."""
    contexts = [context_of(keys_of(suite)) for _ in range(2)]
    firsts = [ivs_of(context, suite, 2) for context in contexts]
    assert firsts[0][1] != firsts[1][1]


@pytest.mark.parametrize("suite", COUNTER_IV)
def test_a_counter_iv_is_the_64_bit_sequence_number(suite: int) -> None:
    context = context_of(keys_of(suite), 0x0102_0304)
    batch = Batch.of([b""], next_header=6, family=6)
    assert context.seal_batch(batch.arena, batch.raw) == 1
    assert batch.packet(0)[8:16].hex() == "0000000001020305"


@pytest.mark.parametrize("suite", SUITES)
def test_keys_of_a_wrong_length_are_refused(suite: int) -> None:
    encryption, authentication = KEYS[suite]
    for e, a in [(1, 0), (-1, 0), (0, 1), (0, -1)]:
        if encryption + e < 0 or authentication + a < 0:
            continue
        with pytest.raises(ValueError, match="cannot be used"):
            SealContext().add(SPI, suite, bytes(encryption + e), bytes(authentication + a))


@pytest.mark.parametrize(
    "fields",
    [{"offset": 63}, {"length": 11}, {"length": 2**32 - 1}, {"offset": 2**32 - 1}, {"sa_index": 1}],
)
def test_a_descriptor_that_leaves_arena_or_table_is_refused(fields: dict[str, int]) -> None:
    context = context_of(keys_of(13))
    batch = Batch.of([b"0123456789"], next_header=6, family=6)
    for name, value in fields.items():
        batch.desc[name] = value
    before = batch.arena.copy()
    with pytest.raises(ValueError, match="descriptor 0"):
        context.seal_batch(batch.arena, batch.raw)
    assert (batch.arena == before).all()
    with pytest.raises(ValueError, match="multiple of 20"):
        context.seal_batch(batch.arena, batch.raw[:19])
