"""Handover in the kernel: MIGRATE, and new states beside the old ones; replay is refused."""

from __future__ import annotations

import errno
import socket

import pytest

from hipgw.netlink.xfrm import Migration, Mode, PolicyDirection, ReplayEsn, StateFlag, StateId
from hipgw.netlink.xfrm.client import XfrmError
from hipgw.values import EspSuite
from tests.kernel.hosts import REQID, SPIS, Host, Keys, install, policy_of, state_of
from tests.kernel.wire import Wire, esp_of

Hosts = tuple[Host, Host]
GCM = EspSuite.AES_GCM_16


def migrate(hosts: Hosts, old: int, new: int) -> None:
    """Both hosts move from OUTER of one family to MOVED of another, states and policies alike."""
    a, b = hosts
    for host in hosts:
        for near, far in ((a, b), (b, a)):
            direction = PolicyDirection.OUT if near is host else PolicyDirection.IN
            selector = policy_of(near, far, direction).selector
            ends = near.outer(old), far.outer(old), near.moved(new), far.moved(new)
            host.xfrm.migrate(selector, direction, [Migration(*ends, Mode.BEET, REQID)])


@pytest.mark.parametrize(("old", "new"), [(4, 4), (4, 6), (6, 4)])
def test_migrate_keeps_keys_numbers_and_connections(hosts: Hosts, old: int, new: int) -> None:
    a, b = hosts
    keys = Keys.fresh(GCM)
    esn = {"flags": StateFlag.ESN, "replay_esn": ReplayEsn(128)}
    install(a, b, keys, outer=old, **esn)
    install(b, a, keys, outer=old, **esn)
    with b.socket(6, socket.SOCK_STREAM) as server, a.socket(6, socket.SOCK_STREAM) as client:
        server.bind((str(b.inner(6)), 0))
        server.listen()
        client.connect(server.getsockname()[:2])
        accepted, _ = server.accept()
        with accepted:
            client.sendall(b"before")
            assert accepted.recv(100) == b"before"
            before = a.state(b.outer(old), SPIS[0]).state.replay_esn
            migrate(hosts, old, new)
            with Wire(a, b) as wire:
                client.sendall(b"after")
                assert accepted.recv(100) == b"after"
                assert wire.kinds() == {(new, "esp")}
    after = a.state(b.moved(new), SPIS[0]).state.replay_esn
    assert before is not None
    assert after is not None
    assert after.outbound > before.outbound
    assert {policy.templates[0].destination for policy in a.xfrm.policies()} == {
        a.moved(new),
        b.moved(new),
    }


def test_migrate_of_nothing_is_refused(hosts: Hosts) -> None:
    with pytest.raises(XfrmError) as caught:
        migrate(hosts, 4, 6)
    assert caught.value.errno in {errno.ENOENT, errno.ESRCH}


def test_new_states_before_the_old_ones_go(hosts: Hosts) -> None:
    """A rekey: both inbound states stand, the outbound policy switches, the old ones go."""
    a, b = hosts
    old, new = Keys.fresh(GCM), Keys.fresh(GCM)
    fresh = (0x3003, 0x4004)
    install(a, b, old)
    install(b, a, old)
    with b.socket(6, socket.SOCK_DGRAM) as server, a.socket(6, socket.SOCK_DGRAM) as client:
        server.bind((str(b.inner(6)), 0))
        client.connect(server.getsockname()[:2])
        client.send(b"old")
        assert server.recv(10) == b"old"
        for host in hosts:
            for near, far in ((a, b), (b, a)):
                host.xfrm.add_state(state_of(near, far, new, spis=fresh))
        client.send(b"both")
        assert server.recv(10) == b"both"
        for host in hosts:
            host.xfrm.remove_state(StateId(b.outer(4), SPIS[0]))
            host.xfrm.remove_state(StateId(a.outer(4), SPIS[1]))
        client.send(b"new")
        assert server.recv(10) == b"new"
    assert b.state(b.outer(4), fresh[0]).usage.packets > 0


@pytest.mark.parametrize("window", [{}, {"replay_esn": ReplayEsn(128), "flags": StateFlag.ESN}])
def test_a_packet_counts_once(hosts: Hosts, window: dict[str, object]) -> None:
    """Protection against replay is on without being asked for."""
    a, b = hosts
    keys = Keys.fresh(GCM)
    install(a, b, keys, **window)
    install(b, a, keys, **window)
    with Wire(a) as wire:
        assert a.ping(b.inner(6), 1) == 1
        [sent] = wire.take()
    with a.socket(4, socket.SOCK_RAW, socket.IPPROTO_ESP) as again:
        again.sendto(esp_of(sent), (str(b.outer(4)), 0))
        again.sendto(esp_of(sent), (str(b.outer(4)), 0))
    assert a.ping(b.inner(6), 1) == 1
    arrived = b.state(b.outer(4), SPIS[0])
    assert arrived.failures.replay == 2
    assert arrived.usage.packets == 2
