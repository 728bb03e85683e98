"""The choice of a library for each ESP suite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hipgw._fastpath import bursts, ipsec_mb
from hipgw.dataplane import ciphers
from hipgw.dataplane.cipher_vectors import KNOWN_PACKETS, PAYLOAD
from hipgw.dataplane.ciphers import (
    ALIKE,
    CipherBackend,
    choose_cipher,
    choose_ciphers,
    use_variant,
    variant_of,
    variants_of,
)
from hipgw.errors import HostError
from hipgw.values import EspSuite
from tests.reference.esp import Inbound, Keys

LIBCRYPTO = ""
CBC = EspSuite.AES_128_CBC_HMAC_SHA256
FIRST = pytest.mark.parametrize("suite", ALIKE, ids=lambda suite: suite.name)


@pytest.fixture(autouse=True)
def fixture_as_before() -> Iterator[None]:
    before = {suite: variant_of(suite) for suite in EspSuite}
    yield
    for suite, was in before.items():
        use_variant(suite, *was)


def test_every_suite_with_a_choice_is_in_the_table_once() -> None:
    named = [suite for alike in ALIKE.values() for suite in alike]
    assert len(named) == len(set(named))
    assert {*named} == {*ciphers.GCM, *map(EspSuite, bursts.suites())}
    assert {*KNOWN_PACKETS} == {*ALIKE}


@FIRST
def test_the_known_packets_are_those_of_the_reference(suite: EspSuite) -> None:
    known = KNOWN_PACKETS[suite]
    keys = Keys(suite, known.encryption_key, known.authentication_key)
    assert Inbound(keys).open_batch([known.packet]) == [(PAYLOAD, 17)]


@FIRST
def test_the_best_of_all_is_used(suite: EspSuite) -> None:
    choice = choose_cipher(suite, CipherBackend.AUTO)
    assert [one.variant for one in choice.candidates] == [*variants_of(suite), LIBCRYPTO]
    assert choice.chosen.cost == min(one.cost for one in choice.candidates)
    assert all(one.works for one in choice.candidates), "each passed its self-test"
    for alike in ALIKE[suite]:
        assert variant_of(alike) == (
            choice.chosen.variant,
            choice.seal_least,
            choice.open_least,
        )
    assert {choice.seal_least, choice.open_least} <= {1, 2, 4, 8, 16, 32, 64}


def test_libcrypto_when_asked_for() -> None:
    for choice in choose_ciphers(CipherBackend.LIBCRYPTO):
        assert [one.variant for one in choice.candidates] == [LIBCRYPTO]
        assert choice.chosen.library.startswith("OpenSSL 3")
        assert choice.reason == '[offload] crypto = "libcrypto"'
    assert {variant_of(suite) for suite in EspSuite} == {(LIBCRYPTO, 1, 1)}


@FIRST
def test_ipsec_mb_for_all_packets_when_asked_for(suite: EspSuite) -> None:
    if variants_of(suite):
        choice = choose_cipher(suite, CipherBackend.IPSEC_MB)
        assert choice.chosen.variant
        assert variant_of(suite) == (choice.chosen.variant, 1, 1)
    else:
        with pytest.raises(HostError, match="apt install libipsec-mb1"):
            choose_cipher(suite, CipherBackend.IPSEC_MB)


def test_a_missing_library_is_an_error_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (ipsec_mb, bursts):
        monkeypatch.setattr(module, "variants", lambda: ())
    monkeypatch.setattr(ipsec_mb, "version", lambda: "")
    reasons = {choice.reason for choice in choose_ciphers(CipherBackend.AUTO)}
    assert reasons == {"intel-ipsec-mb is not installed"}
    with pytest.raises(HostError, match="apt install libipsec-mb1"):
        choose_ciphers(CipherBackend.IPSEC_MB)


@pytest.mark.parametrize(
    ("suite", "variant"),
    [(suite, variant) for suite in (EspSuite.AES_GCM_16, CBC) for variant in variants_of(suite)],
)
@pytest.mark.parametrize("what", ["sealed", "opened", "refuses"])
def test_a_variant_that_fails_its_self_test_is_not_used(
    suite: EspSuite, variant: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(ciphers._Candidate):
        def __init__(self, suite: EspSuite, name: str) -> None:
            super().__init__(suite, name)
            self.is_wrong = name == variant

        def sealed(self, payloads: ciphers.Sequence[bytes]) -> list[bytes]:
            packets = super().sealed(payloads)
            spoil = self.is_wrong and what == "sealed"
            return [bytes([*packet[:-1], packet[-1] ^ spoil]) for packet in packets]

        def opened(self, packets: ciphers.Sequence[bytes]) -> list[bytes] | None:
            found = super().opened(packets)
            return found[::-1] if found and self.is_wrong and what == "opened" else found

        def refuses(self, packets: ciphers.Sequence[bytes]) -> bool:
            return super().refuses(packets) and not (self.is_wrong and what == "refuses")

    monkeypatch.setattr(ciphers, "_Candidate", Failing)
    choice = choose_cipher(suite, CipherBackend.AUTO)
    failed = [one.variant for one in choice.candidates if not one.works]
    assert failed == [variant]
    assert choice.chosen.variant != variant


def test_few_packets_stay_with_libcrypto_where_it_is_faster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A library that takes 100 ns for however many, against 15 ns a packet."""
    monkeypatch.setattr(ciphers._Candidate, "seal_ns", lambda self, n: 100 if self.name else 15 * n)
    monkeypatch.setattr(ciphers._Candidate, "open_ns", lambda _, packets: 15 * len(packets) - 14)
    choice = choose_cipher(CBC, CipherBackend.AUTO)
    if choice.chosen.variant:
        assert (choice.seal_least, choice.open_least) == (8, 1)
        assert variant_of(EspSuite.FULL_AES_128_CBC_HMAC_SHA256)[1:] == (8, 1)
