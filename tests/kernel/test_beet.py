"""BEET between two kernels, by states that our codec made: families, suites, encapsulation."""

from __future__ import annotations

import contextlib
import socket

import pytest

from hipgw.netlink.xfrm import Encapsulation, ReplayEsn, StateFlag, XfrmState
from hipgw.netlink.xfrm.uapi import UDP_ENCAP, UDP_ENCAP_ESPINUDP
from hipgw.values import EspSuite
from tests.kernel.hosts import PORT, SPIS, Host, Keys, install, state_of, transfer, until
from tests.kernel.wire import Wire

Hosts = tuple[Host, Host]
SUITES = [EspSuite.AES_GCM_16, EspSuite.AES_128_CBC_HMAC_SHA256, EspSuite.NULL_HMAC_SHA256]
OTHER_SUITES = [suite for suite in EspSuite if suite not in SUITES]
FAULTS = {
    "XfrmInError", "XfrmInNoStates", "XfrmInStateProtoError", "XfrmInStateModeError",
    "XfrmInStateSeqError", "XfrmInStateMismatch", "XfrmInTmplMismatch", "XfrmInNoPols",
    "XfrmOutNoStates", "XfrmOutStateProtoError", "XfrmOutStateModeError", "XfrmOutPolBlock",
}  # fmt: skip


def faults(hosts: Hosts) -> dict[str, int]:
    return {
        f"{host.name} {name}": number
        for host in hosts
        for name, number in host.errors().items()
        if name in FAULTS
    }


def cross(hosts: Hosts, *, inner: int, outer: int, what: str = "esp") -> None:
    """Ping and TCP, both whole; nothing but ESP on the wire; no error counted anywhere."""
    a, b = hosts
    before = faults(hosts)
    with Wire(a, b) as wire:
        assert a.ping(b.inner(inner), 3) == 3
        assert b.ping(a.inner(inner), 2, 1100) == 2
        transfer(a, b, inner)
        assert wire.kinds() == {(outer, what)}
    assert faults(hosts) == before

    def counted() -> list[int]:
        """Of one SA, at both ends; the last answer of TCP may still be under way."""
        return [host.state(b.outer(outer), SPIS[0]).usage.packets for host in hosts]

    until(lambda: len(set(counted())) == 1, "all has arrived")
    assert min(counted()) > 10
    arrived = b.state(b.outer(outer), SPIS[0])
    assert arrived.failures.integrity == 0


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize("inner", [6, 4], ids=["hit", "lsi"])
def test_every_pair_of_families(hosts: Hosts, inner: int, outer: int, suite: EspSuite) -> None:
    a, b = hosts
    keys = Keys.fresh(suite)
    install(a, b, keys, inner=inner, outer=outer)
    install(b, a, keys, inner=inner, outer=outer)
    cross(hosts, inner=inner, outer=outer)


@pytest.mark.parametrize("suite", OTHER_SUITES, ids=lambda suite: suite.name)
def test_every_other_suite(hosts: Hosts, suite: EspSuite) -> None:
    a, b = hosts
    keys = Keys.fresh(suite)
    install(a, b, keys)
    install(b, a, keys)
    cross(hosts, inner=6, outer=4)


@pytest.mark.parametrize("suite", SUITES[:2], ids=lambda suite: suite.name)
def test_extended_sequence_numbers_pass_the_32nd_bit(hosts: Hosts, suite: EspSuite) -> None:
    a, b = hosts
    keys = Keys.fresh(suite)
    near_end = 0xFFFFFFFE
    esn = ReplayEsn(128, outbound=near_end, inbound=near_end)
    for host, other in ((a, b), (b, a)):
        install(host, other, keys, flags=StateFlag.ESN, replay_esn=esn)
    cross(hosts, inner=6, outer=4)
    for report in (a.state(b.outer(4), SPIS[0]), b.state(a.outer(4), SPIS[1])):
        assert report.state.replay_esn is not None
        assert report.state.replay_esn.outbound > 1 << 32
    arrived = b.state(b.outer(4), SPIS[0]).state.replay_esn
    assert arrived is not None
    assert arrived.inbound > 1 << 32


@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize("inner", [6, 4], ids=["hit", "lsi"])
def test_udp_encapsulation(hosts: Hosts, inner: int, outer: int) -> None:
    a, b = hosts
    keys = Keys.fresh(EspSuite.AES_GCM_16)
    with contextlib.ExitStack() as stack:
        for host, other in ((a, b), (b, a)):
            port = stack.enter_context(host.socket(outer, socket.SOCK_DGRAM))
            port.bind(("", PORT))
            port.setsockopt(socket.IPPROTO_UDP, UDP_ENCAP, UDP_ENCAP_ESPINUDP)
            ports = Encapsulation(PORT, PORT)
            install(host, other, keys, inner=inner, outer=outer, encapsulation=ports)
        cross(hosts, inner=inner, outer=outer, what="udp")


def test_one_sided_keys_reach_nobody(hosts: Hosts) -> None:
    """The tests above could not tell a wire that works without any of it."""
    a, b = hosts
    install(a, b, Keys.fresh(EspSuite.AES_GCM_16))
    install(b, a, Keys.fresh(EspSuite.AES_GCM_16))
    before = b.errors()["XfrmInStateProtoError"]
    assert a.ping(b.inner(6), 2, patience_s=1.0) == 0
    assert b.errors()["XfrmInStateProtoError"] == before + 2
    assert b.state(b.outer(4), SPIS[0]).failures.integrity == 2


def test_a_selector_is_exact(hosts: Hosts) -> None:
    """Another destination of the same prefix is not carried along."""
    a, b = hosts
    keys = Keys.fresh(EspSuite.AES_GCM_16)
    install(a, b, keys)
    install(b, a, keys)
    with Wire(a, b) as wire:
        with a.socket(6, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(b"for somebody else", ("2001:22::c", 9))
        assert a.ping(b.inner(6), 1) == 1
        assert len(wire.take()) == 2
    assert a.state(b.outer(4), SPIS[0]).usage.packets == 1


def test_keys_of_the_caller_are_his_until_wiped(hosts: Hosts) -> None:
    a, b = hosts
    state: XfrmState = state_of(a, b, Keys.fresh(EspSuite.AES_GCM_16))
    a.xfrm.add_state(state)
    assert state.aead is not None
    assert any(state.aead.key)
    state.wipe()
    assert not any(state.aead.key)
