"""The codec against the real tables: what goes in comes back; errors; whose is whose."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

import pytest

from hipgw.netlink.xfrm import (
    Aead,
    Cipher,
    Encapsulation,
    Lifetime,
    Mark,
    PolicyDirection,
    PolicyId,
    Replay,
    ReplayEsn,
    StateExtraFlag,
    StateFlag,
    StateId,
    Template,
    XfrmError,
    XfrmPolicy,
    XfrmState,
    remove_owned,
)
from hipgw.values import EspSuite
from tests.kernel.hosts import OURS, REQID, SPIS, Host, Keys, install, policy_of, state_of

Hosts = tuple[Host, Host]
GCM = EspSuite.AES_GCM_16
CBC = EspSuite.AES_128_CBC_HMAC_SHA256


def test_every_field_of_a_state_comes_back(hosts: Hosts) -> None:
    a, b = hosts
    wanted = state_of(
        a, b, Keys.fresh(GCM), spis=(0xFFFFFFFF, 0x100),
        flags=StateFlag.ESN | StateFlag.NOECN,
        extra_flags=StateExtraFlag.DONT_ENCAP_DSCP,
        replay_esn=ReplayEsn(128, outbound=7, inbound=9, bitmap=(1, 2, 3, 4)), replay_window=0,
        encapsulation=Encapsulation(10500, 4500),
        lifetime=Lifetime(10**6, 2 * 10**6, 1000, 2000, 100, 200, 50, 60),
        mark=Mark(0x42, 0xFF), output_mark=Mark(7, 0xF), if_id=3,
    )  # fmt: skip
    a.xfrm.add_state(wanted)
    name = StateId(b.outer(4), 0xFFFFFFFF, mark=Mark(0x42, 0xFF))
    assert a.xfrm.state(name, with_keys=True).state == wanted
    [listed] = a.xfrm.states()
    assert listed.state.aead == Aead("rfc4106(gcm(aes))", bytearray(), 128)
    a.xfrm.remove_state(name)


def test_iproute2_reads_the_same(hosts: Hosts) -> None:
    """An oracle that knows nothing of the codec."""
    a, b = hosts
    keys = Keys.fresh(CBC)
    install(a, b, keys, inner=4, outer=6)
    text = a.ip("xfrm", "state", "get", "dst", "fd77::2", "proto", "esp", "spi", "0x1001")
    assert "src fd77::1 dst fd77::2" in text
    assert f"proto esp spi 0x00001001 reqid {REQID} mode beet" in text
    assert "replay-window 32" in text
    assert f"auth-trunc hmac(sha256) 0x{keys.pairs[0][1].hex()} 128" in text
    assert f"enc cbc(aes) 0x{keys.pairs[0][0].hex()}" in text
    assert "sel src 1.0.0.1/32 dst 1.0.0.2/32" in text
    policy = a.ip("xfrm", "policy", "list", "dir", "out")
    assert "src 1.0.0.1/32 dst 1.0.0.2/32" in policy
    template = rf"tmpl src fd77::1 dst fd77::2\s+proto esp reqid {REQID} mode beet"
    assert re.search(template, policy)


def test_what_iproute2_made_is_read(hosts: Hosts) -> None:
    a, b = hosts
    words = (
        f"src 10.77.0.1 dst 10.77.0.2 proto esp spi 0x3003 reqid {REQID} mode tunnel "
        "replay-window 16 flag nopmtudisc encap espinudp 4500 4501 0.0.0.0 "
        "aead rfc4106(gcm(aes)) 0x000102030405060708090a0b0c0d0e0f10111213 128"
    )
    a.ip("xfrm", "state", "add", *words.split())
    state = a.xfrm.state(StateId(b.outer(4), 0x3003), with_keys=True).state
    assert (state.mode, state.replay_window, state.flags) == (1, 16, StateFlag.NOPMTUDISC)
    assert state.encapsulation == Encapsulation(4500, 4501)
    assert state.aead == Aead("rfc4106(gcm(aes))", bytearray(range(20)), 128)


def refused(task: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(XfrmError) as caught:
        task()
    return caught.value.errno or 0, caught.value.extended


def test_errors_by_number_and_words(hosts: Hosts) -> None:
    a, b = hosts
    state = state_of(a, b, Keys.fresh(GCM))
    name = StateId(b.outer(4), SPIS[0])
    assert refused(lambda: a.xfrm.update_state(state))[0] == errno.ESRCH
    assert refused(lambda: a.xfrm.remove_state(name))[0] == errno.ESRCH
    assert refused(lambda: a.xfrm.state(name))[0] == errno.ESRCH
    a.xfrm.add_state(state)
    assert refused(lambda: a.xfrm.add_state(state))[0] == errno.EEXIST
    other = replace(state, spi=0x5005)
    short = replace(other, aead=Aead("rfc4106(gcm(aes))", bytearray(7)))
    number, words = refused(lambda: a.xfrm.add_state(short))
    assert number == errno.EINVAL
    assert words == "Kernel was unable to initialize cryptographic operations"
    unknown = replace(other, aead=Aead("rfc4106(gcm(nothing))", bytearray(20)))
    number, words = refused(lambda: a.xfrm.add_state(unknown))
    assert number == errno.ENOSYS
    assert words == "Requested AEAD algorithm not found"
    no_integrity = replace(other, aead=None, cipher=Cipher("nonesuch", bytearray(16)))
    assert refused(lambda: a.xfrm.add_state(no_integrity))[0] == errno.ENOSYS


def test_a_state_and_its_policy_come_together_or_not_at_all(hosts: Hosts) -> None:
    a, b = hosts
    state, policy = state_of(a, b, Keys.fresh(GCM)), policy_of(a, b, PolicyDirection.OUT)

    def there() -> tuple[int, int]:
        return len(a.xfrm.states()), len(a.xfrm.policies())

    a.xfrm.add_with_policy(state, policy)
    assert there() == (1, 1)
    other = replace(policy, selector=replace(policy.selector, protocol=17))
    assert refused(lambda: a.xfrm.add_with_policy(state, other))[0] == errno.EEXIST
    assert there() == (1, 1)
    second = replace(state, spi=0x5005)
    assert refused(lambda: a.xfrm.add_with_policy(second, policy))[0] == errno.EEXIST
    assert there() == (1, 1)
    assert refused(lambda: a.xfrm.add_with_policy(state, policy))[0] == errno.EEXIST
    assert there() == (1, 1)
    assert a.xfrm.state(StateId(b.outer(4), SPIS[0])).state.spi == SPIS[0]


def test_errors_never_show_keys(hosts: Hosts) -> None:
    a, b = hosts
    key = bytearray(b"\x41" * 7)
    state = replace(state_of(a, b, Keys.fresh(GCM)), aead=Aead("rfc4106(gcm(aes))", key))
    with pytest.raises(XfrmError) as caught:
        a.xfrm.add_state(state)
    assert "AAAA" not in str(caught.value) + repr(caught.value)


def test_policies_are_added_replaced_and_removed(hosts: Hosts) -> None:
    a, b = hosts
    first = policy_of(a, b, PolicyDirection.OUT)
    a.xfrm.add_policy(first)
    assert refused(lambda: a.xfrm.add_policy(first))[0] == errno.EEXIST
    moved = policy_of(a, b, PolicyDirection.OUT, ends=(a.moved(6), b.moved(6)))
    a.xfrm.replace_policy(moved)
    [found] = a.xfrm.policies()
    assert replace(found, index=0) == moved
    assert found.index
    a.xfrm.remove_policy(PolicyId(first.selector, PolicyDirection.OUT))
    gone = PolicyId(first.selector, PolicyDirection.OUT)
    assert refused(lambda: a.xfrm.remove_policy(gone))[0] == errno.ENOENT


def test_update_moves_ports_and_keeps_keys_and_numbers(hosts: Hosts) -> None:
    a, b = hosts
    before = state_of(a, b, Keys.fresh(GCM), encapsulation=Encapsulation(1, 2))
    a.xfrm.add_state(before)
    later = state_of(a, b, Keys.fresh(GCM), encapsulation=Encapsulation(1, 3))
    a.xfrm.update_state(later)
    now = a.xfrm.state(StateId(b.outer(4), SPIS[0]), with_keys=True).state
    assert now.encapsulation == Encapsulation(1, 3)
    assert now.aead == before.aead != later.aead


def test_sequence_numbers_are_handed_over_and_read(hosts: Hosts) -> None:
    a, b = hosts
    keys = Keys.fresh(GCM)
    for host, other in ((a, b), (b, a)):
        install(host, other, keys, replay=Replay(outbound=1000, inbound=1000, bitmap=0))
    assert a.ping(b.inner(6), 3) == 3
    out, arrived = (host.state(b.outer(4), SPIS[0]).state.replay for host in (a, b))
    assert out is not None
    assert arrived is not None
    assert out.outbound == arrived.inbound == 1003


def test_spis_are_allocated_within_a_range(hosts: Hosts) -> None:
    a, b = hosts
    wanted = XfrmState(b.outer(4), a.outer(4), 0, reqid=REQID)
    assert a.xfrm.allocate_spi(wanted, 0x700, 0x700) == 0x700
    assert refused(lambda: a.xfrm.allocate_spi(wanted, 0x700, 0x700))[0] == errno.ENOENT
    assert 0x10000 <= a.xfrm.allocate_spi(wanted, 0x10000, 0x1FFFFFFF) <= 0x1FFFFFFF


def test_others_are_left_alone(hosts: Hosts) -> None:
    """A killed daemon's leftovers go; strongSwan's states and policies stay."""
    a, b = hosts
    install(a, b, Keys.fresh(GCM))
    install(a, b, Keys.fresh(CBC), inner=4, outer=6)
    theirs = replace(state_of(a, b, Keys.fresh(GCM)), spi=0x6006, reqid=1)
    block = XfrmPolicy(policy_of(b, a, PolicyDirection.FORWARD).selector, PolicyDirection.FORWARD)
    template = Template(ip_address("10.77.0.1"), ip_address("10.77.0.2"), reqid=1)
    a.xfrm.add_state(theirs)
    a.xfrm.add_policy(block)
    a.xfrm.add_policy(replace(block, direction=PolicyDirection.OUT, templates=(template,)))
    removed = remove_owned(a.xfrm, OURS)
    assert (removed.states, removed.policies) == (4, 4)
    assert [report.state.spi for report in a.xfrm.states()] == [0x6006]
    left = a.xfrm.policies()
    assert {policy.direction for policy in left} == {PolicyDirection.FORWARD, PolicyDirection.OUT}
    for policy in left:
        a.xfrm.remove_policy(PolicyId(None, policy.direction, policy.index))
    a.xfrm.remove_state(StateId(b.outer(4), 0x6006))


def test_long_dumps_come_whole(hosts: Hosts) -> None:
    a, b = hosts
    keys = Keys.fresh(GCM)
    for number in range(500):
        a.xfrm.add_state(state_of(a, b, keys, spis=(0x10000 + number, 0)))
    found = {report.state.spi for report in a.xfrm.states()}
    assert found == set(range(0x10000, 0x10000 + 500))
    assert remove_owned(a.xfrm, OURS).states == 500
