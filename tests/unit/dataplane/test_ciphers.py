"""The choice of a library for AES-GCM."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hipgw._fastpath import ipsec_mb
from hipgw.dataplane import ciphers
from hipgw.dataplane.ciphers import CipherBackend, choose_gcm
from hipgw.errors import HostError


@pytest.fixture(autouse=True)
def fixture_as_before() -> Iterator[None]:
    before = ipsec_mb.variant()
    yield
    ipsec_mb.use(before)


def test_the_fastest_of_all_is_used() -> None:
    choice = choose_gcm(CipherBackend.AUTO)
    assert [one.variant for one in choice.candidates] == [*ipsec_mb.variants(), ""]
    assert choice.chosen.gbit_s == max(one.gbit_s for one in choice.candidates)
    assert ipsec_mb.variant() == choice.chosen.variant
    assert all(one.gbit_s > 0 for one in choice.candidates), "each passed its self-test"


def test_libcrypto_when_asked_for() -> None:
    choice = choose_gcm(CipherBackend.LIBCRYPTO)
    assert [one.variant for one in choice.candidates] == [""]
    assert choice.chosen.library.startswith("OpenSSL 3")
    assert choice.reason == '[offload] crypto = "libcrypto"'
    assert not ipsec_mb.variant()


def test_a_missing_library_is_an_error_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipsec_mb, "variants", lambda: ())
    monkeypatch.setattr(ipsec_mb, "version", lambda: "")
    assert choose_gcm(CipherBackend.AUTO).reason == "intel-ipsec-mb is not installed"
    with pytest.raises(HostError, match="apt install libipsec-mb1"):
        choose_gcm(CipherBackend.IPSEC_MB)


@pytest.mark.parametrize("variant", ipsec_mb.variants())
def test_a_variant_that_seals_wrongly_is_not_used(
    variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ciphers._sealed

    def wrong(name: str, suite: ciphers.EspSuite) -> list[bytes]:
        packets = real(name, suite)
        return [bytes([*packet[:-1], 0]) for packet in packets] if name == variant else packets

    monkeypatch.setattr(ciphers, "_sealed", wrong)
    choice = choose_gcm(CipherBackend.AUTO)
    failed = [one.variant for one in choice.candidates if not one.gbit_s]
    assert failed == [variant]
    assert choice.chosen.variant != variant
