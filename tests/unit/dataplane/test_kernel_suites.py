"""Suites by the kernel's names; what `doctor` says about the probe; why a state is refused."""

from __future__ import annotations

import errno

import pytest

from hipgw.daemon.kernel_esp import view_of
from hipgw.dataplane.kernel_suites import (
    KernelEsp,
    kernel_algorithms,
    probe_kernel,
    trial_transform,
)
from hipgw.netlink.xfrm import XfrmClient, XfrmError
from hipgw.netlink.xfrm.probe import Transform, Verdict, socket_reason, state_reason
from hipgw.values import ESP_SHAPES, EspSuite

GCM = trial_transform(EspSuite.AES_GCM_16)


@pytest.mark.parametrize("suite", EspSuite)
def test_sizes_are_those_of_the_suite(suite: EspSuite) -> None:
    shape = ESP_SHAPES[suite]
    encryption, mac = bytes(shape.encryption_key_octets), bytes(shape.authentication_key_octets)
    found = kernel_algorithms(suite, encryption, mac)
    if found.aead is not None:
        assert len(found.aead.key) == len(encryption or mac)
        assert found.aead.icv_bits == 8 * shape.icv_octets
        assert found.cipher is None
        assert found.authentication is None
    else:
        assert found.cipher is not None
        assert found.authentication is not None
        assert len(found.cipher.key) == len(encryption)
        assert len(found.authentication.key) == len(mac)
        assert found.authentication.icv_bits == 8 * shape.icv_octets


@pytest.mark.parametrize(
    ("number", "extended", "words"),
    [
        (errno.EPROTONOSUPPORT, "Requested type not found", "no ESP over IPv6 (CONFIG_INET6_ESP"),
        (errno.EPROTONOSUPPORT, "Requested mode not found", "no BEET mode"),
        (errno.ENOSYS, "Requested AEAD algorithm not found", "lacks rfc4106(gcm(aes))"),
        (errno.ENOENT, "", "lacks rfc4106(gcm(aes))"),
        (errno.EPERM, "", "CAP_NET_ADMIN is missing"),
        (errno.EAFNOSUPPORT, "", "without IPv6"),
        (errno.EINVAL, "Something new", "refuses rfc4106(gcm(aes)): add: Invalid argument: Some"),
    ],
)
def test_every_refusal_has_words(number: int, extended: str, words: str) -> None:
    assert words in state_reason(XfrmError(number, "add", extended), GCM, 6)


def test_a_kernel_that_cannot_be_asked() -> None:
    assert "CONFIG_XFRM_USER" in socket_reason(errno.EPROTONOSUPPORT)
    assert "Too many open files" in socket_reason(errno.EMFILE)


def test_the_probe_leaves_nothing_behind() -> None:
    """On any host, whatever its kernel can do."""
    with XfrmClient() as client:
        before = {report.state.spi for report in client.states()}
        found = probe_kernel()
        assert {report.state.spi for report in client.states()} == before
    asked = {(one.transform, one.outer_family, one.is_udp) for one in found.verdicts}
    assert len(asked) == len(found.verdicts) == len(EspSuite) * 4
    for suite in EspSuite:
        for family in (4, 6):
            for is_udp in (False, True):
                reason = found.reason_against(suite, family, is_udp=is_udp)
                assert "not tried" not in reason


def verdicts(*names: str, **reasons: str) -> KernelEsp:
    """A reason stands under the suite's name."""
    return KernelEsp(
        tuple(
            Verdict(name, family, is_udp, reasons.get(name, ""))
            for family in (4, 6)
            for name in names
            for is_udp in (False, True)
        )
    )


def test_sentence_of_a_kernel_that_has_all() -> None:
    view = view_of(verdicts("A", "B"))
    assert view.detail == "BEET with 2 of 2 suites over IPv4 and IPv6, raw and in UDP"
    assert view.rows[1] == {
        "suite": "A", "outer_family": 4, "encapsulation": "udp", "possible": True, "reason": "",
    }  # fmt: skip


def test_sentence_of_a_kernel_that_has_some_or_none() -> None:
    some = view_of(verdicts("A", "B", "C", B="lacks b", C="lacks b")).detail
    assert some == "BEET with 1 of 3 suites over IPv4 and IPv6, raw and in UDP; lacks b: B, C"
    assert view_of(verdicts("A", "B", A="no esp", B="no esp")).detail == "no esp"


def test_a_suite_that_was_not_tried() -> None:
    reason = verdicts("A").reason_against(EspSuite.AES_GCM_16, 4, is_udp=False)
    assert reason == "AES_GCM_16 over IPv4 was not tried"


def test_algorithms_of_a_transform() -> None:
    assert GCM.algorithms == "rfc4106(gcm(aes))"
    assert trial_transform(EspSuite.AES_CMAC_96).algorithms == "ecb(cipher_null) and cmac(aes)"
    assert Transform("nothing").algorithms == ""
