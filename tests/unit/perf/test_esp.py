"""The ESP kernels' bench on small batches, and the bare cipher that it divides by."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from hipgw._fastpath import bursts, ipsec_mb
from hipgw._fastpath.bare_cipher import BareCipher
from hipgw._fastpath.contexts import OpenContext, SealContext, shape_of_suite
from hipgw.dataplane.ciphers import ALIKE, use_variant, variant_of, variants_of
from hipgw.errors import HostError
from hipgw.perf import esp
from hipgw.values import EspSuite
from tests.twin.batches import Batch

SUITES = tuple(EspSuite)
CHOICES = [(suite, name) for suite in SUITES for name in (*variants_of(suite), "")]
PAYLOADS = [bytes(n % 253 for n in range(length)) for length in (1, 15, 16, 64, 1420)]


@pytest.fixture(autouse=True)
def fixture_as_before() -> Iterator[None]:
    before = {suite: variant_of(suite) for suite in SUITES}
    yield
    for suite, was in before.items():
        use_variant(suite, *was)


def keys_of(suite: EspSuite) -> tuple[bytes, bytes]:
    encryption, authentication, *_ = shape_of_suite(suite)
    return bytes(range(encryption)), bytes(range(authentication))


def sealed(suite: EspSuite) -> Batch:
    context = SealContext()
    context.add(0x1234, suite, *keys_of(suite))
    batch = Batch.of(PAYLOADS, next_header=17, family=6)
    assert context.seal_batch(batch.arena, batch.raw) == len(PAYLOADS)
    return batch


each = pytest.mark.parametrize(
    ("suite", "name"), CHOICES, ids=lambda value: getattr(value, "name", value) or "libcrypto"
)


@each
def test_the_bare_cipher_opens_and_seals_the_octets_of_esp(suite: EspSuite, name: str) -> None:
    """Opened by the bare cipher, sealed by it again: the packet is as before."""
    use_variant(suite, name)
    batch = sealed(suite)
    before = batch.packets()
    start = 8 + shape_of_suite(suite)[2]
    opener = BareCipher(suite, *keys_of(suite), seal=False)
    assert opener.run_batch(batch.arena, batch.raw) == len(PAYLOADS)
    clear = [
        packet[start : start + len(payload)]
        for packet, payload in zip(batch.packets(), PAYLOADS, strict=True)
    ]
    assert clear == PAYLOADS
    sealer = BareCipher(suite, *keys_of(suite), seal=True)
    assert sealer.run_batch(batch.arena, batch.raw) == len(PAYLOADS)
    assert batch.packets() == before


@each
def test_the_bare_cipher_refuses_what_esp_refuses(suite: EspSuite, name: str) -> None:
    use_variant(suite, name)
    batch = sealed(suite)
    batch.arena[int(batch.desc[1]["offset"]) + int(batch.desc[1]["length"]) - 1] ^= 1
    copy = batch.arena.copy(), batch.desc.copy()
    bare = BareCipher(suite, *keys_of(suite), seal=False)
    assert bare.run_batch(batch.arena, batch.raw) == len(PAYLOADS) - 1
    context = OpenContext()
    context.add(0x1234, suite, *keys_of(suite))
    assert context.open_batch(copy[0], copy[1].view(np.uint8)) == len(PAYLOADS) - 1


def test_bare_cipher_stays_in_the_arena() -> None:
    suite = EspSuite.AES_GCM_16
    bare = BareCipher(suite, *keys_of(suite), seal=True)
    batch = sealed(suite)
    assert bare.run_batch(batch.arena, batch.raw[:0]) == 0
    batch.desc[0]["length"] = 35  # no room for header, IV, one block and ICV
    with pytest.raises(ValueError, match="descriptor 0 is no sealed packet"):
        bare.run_batch(batch.arena, batch.raw)
    batch.desc[0]["length"] = len(batch.arena)
    with pytest.raises(ValueError, match="leave the arena"):
        bare.run_batch(batch.arena, batch.raw)


def test_bare_cipher_wants_the_keys_of_the_suite() -> None:
    with pytest.raises(ValueError, match="keys of 3 and 0 octets cannot be used"):
        BareCipher(EspSuite.AES_GCM_16, b"abc", b"", seal=True)


def test_every_case_is_measured() -> None:
    plan = esp.EspPlan(
        rounds=2,
        suites=(EspSuite.AES_GCM_16, EspSuite.AES_128_CBC_HMAC_SHA256),
        sizes=(64, 1420),
        batches=(1, 8),
        round_s=0,
    )
    cases = list(plan.cases())
    variants = len(ipsec_mb.variants()) + len(bursts.variants())
    assert len(cases) == (2 + variants) * 2 * 2 * 2
    done: list[str] = []
    before = [variant_of(suite) for suite in SUITES]
    report = esp.run(plan, step=done.append)
    assert done == [case.group for case in cases]
    assert [variant_of(suite) for suite in SUITES] == before
    assert len(report.figures) == 2 * len(cases) + variants * 2 * 2 * 2
    for figure in report.figures:
        assert len(figure.rounds) == 2
        assert min(figure.rounds) > 0
        assert figure.also[0][0] == "Gbit/s"
    beside = {
        ("ESP kernel with libcrypto", "bare cipher"),
        ("ESP kernel", "ESP kernel with libcrypto"),
    }
    assert {(name, under) for _, name, under, _ in report.ratios()} == {
        ("ESP kernel", "bare cipher")
    } | (beside if variants else set())


def test_what_a_daemon_would_choose_is_measured_too() -> None:
    plan = esp.EspPlan(
        rounds=1, suites=SUITES, sizes=(64,), batches=(1,), backends=("auto",), round_s=0
    )
    cases = list(plan.cases())
    assert {case.suite for case in cases} == set(ALIKE)
    assert all(min(figure.rounds) > 0 for figure in esp.run(plan).figures)


def test_a_backend_of_another_machine() -> None:
    with pytest.raises(HostError, match="no backend 'neon' here: choose from libcrypto"):
        list(esp.EspPlan(backends=("neon",)).cases())
