"""What the monitor hears of the real kernel: ACQUIRE, EXPIRE, MAPPING, removals, overruns."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

from hipgw.netlink.xfrm import (
    Acquired,
    Encapsulation,
    Expired,
    Group,
    Lifetime,
    MappingChanged,
    Overrun,
    PoliciesFlushed,
    PolicyChanged,
    PolicyDirection,
    PolicyId,
    PolicyRemoved,
    StateChanged,
    StateId,
    StateRemoved,
    StatesFlushed,
    XfrmMonitor,
)
from hipgw.netlink.xfrm.uapi import UDP_ENCAP, UDP_ENCAP_ESPINUDP
from hipgw.values import EspSuite
from tests.kernel.hosts import PATIENCE_S, PORT, SPIS, Host, Keys, install, policy_of, state_of

Hosts = tuple[Host, Host]
Kind = TypeVar("Kind")
GCM = EspSuite.AES_GCM_16


@contextlib.contextmanager
def listening(host: Host, *groups: Group, octets: int | None = None) -> Iterator[XfrmMonitor]:
    with host.call(lambda: XfrmMonitor(groups, receive_octets=octets)) as monitor:
        yield monitor
        assert monitor.malformed == 0


def hear(monitor: XfrmMonitor, kind: type[Kind], wanted: Callable[[Kind], bool]) -> Kind:
    deadline = time.monotonic() + PATIENCE_S
    while (left_s := deadline - time.monotonic()) > 0:
        select.select([monitor], [], [], left_s)
        for event in monitor.read():
            if isinstance(event, kind) and wanted(event):
                return event
    raise AssertionError(f"no {kind.__name__}")


def test_acquire_names_the_packet_and_the_policy(hosts: Hosts) -> None:
    a, b = hosts
    a.xfrm.add_policy(policy_of(a, b, PolicyDirection.OUT))
    with listening(a, Group.ACQUIRE) as monitor, a.socket(6, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"first", (str(b.inner(6)), 4242))
        event = hear(monitor, Acquired, lambda _: True)
    assert event.selector is not None
    assert (event.selector.source, event.selector.destination) == (a.inner(6), b.inner(6))
    assert event.policy.selector == policy_of(a, b, PolicyDirection.OUT).selector
    assert event.templates == policy_of(a, b, PolicyDirection.OUT).templates
    assert event.sequence
    keys = Keys.fresh(GCM)
    a.xfrm.remove_policy(PolicyId(event.policy.selector, PolicyDirection.OUT))
    install(a, b, keys)
    install(b, a, keys)
    assert a.ping(b.inner(6), 2) == 2


def test_expire_soft_then_hard(hosts: Hosts) -> None:
    a, b = hosts
    keys = Keys.fresh(GCM)
    install(b, a, keys)
    install(a, b, keys, lifetime=Lifetime(soft_packets=2, hard_packets=4))
    with listening(a, Group.EXPIRE) as monitor:
        with contextlib.suppress(OSError):  # the socket hears of it, too
            a.ping(b.inner(6), 6, patience_s=0.2)
        soft = hear(monitor, Expired, lambda event: not event.is_hard)
    assert soft.report.state.spi in SPIS
    assert soft.report.usage.packets >= 2
    with listening(a, Group.EXPIRE) as monitor:
        install_again = state_of(a, b, keys, spis=(0x7007, 0), lifetime=Lifetime(hard_added_s=1))
        a.xfrm.add_state(install_again)
        hard = hear(monitor, Expired, lambda event: event.is_hard)
    assert hard.report.state.destination == b.outer(4)


def test_mapping_when_the_port_of_the_peer_moves(hosts: Hosts) -> None:
    a, b = hosts
    keys = Keys.fresh(GCM)
    with contextlib.ExitStack() as stack:
        for host in hosts:
            for port in (PORT, PORT + 1):
                opened = stack.enter_context(host.socket(4, socket.SOCK_DGRAM))
                opened.bind(("", port))
                opened.setsockopt(socket.IPPROTO_UDP, UDP_ENCAP, UDP_ENCAP_ESPINUDP)
        ports = Encapsulation(PORT, PORT)
        install(a, b, keys, encapsulation=ports)
        install(b, a, keys, encapsulation=ports)
        assert a.ping(b.inner(6), 1) == 1
        monitor = stack.enter_context(listening(b, Group.MAPPING))
        a.xfrm.update_state(state_of(a, b, keys, encapsulation=Encapsulation(PORT + 1, PORT)))
        a.ping(b.inner(6), 1, patience_s=0.5)
        event = hear(monitor, MappingChanged, lambda _: True)
        assert (event.state.spi, event.state.destination) == (SPIS[0], b.outer(4))
        assert (event.old_source, event.old_port) == (a.outer(4), PORT)
        assert (event.new_source, event.new_port) == (a.outer(4), PORT + 1)
        b.xfrm.update_state(state_of(b, a, keys, encapsulation=Encapsulation(PORT, PORT + 1)))
        b.xfrm.update_state(state_of(a, b, keys, encapsulation=Encapsulation(PORT + 1, PORT)))
        a.xfrm.update_state(state_of(b, a, keys, encapsulation=Encapsulation(PORT, PORT + 1)))
        assert a.ping(b.inner(6), 2) == 2


def test_changes_by_anybody_are_heard(hosts: Hosts) -> None:
    a, b = hosts
    keys = Keys.fresh(GCM)
    with listening(a, Group.SA, Group.POLICY) as monitor:
        install(a, b, keys)
        policy = policy_of(a, b, PolicyDirection.OUT)
        a.xfrm.replace_policy(policy)
        a.xfrm.remove_state(StateId(b.outer(4), SPIS[0]))
        a.xfrm.remove_policy(PolicyId(policy.selector, PolicyDirection.OUT))
        a.ip("xfrm", "state", "flush")
        a.ip("xfrm", "policy", "flush")
        events = monitor.read()
    added = [one for one in events if isinstance(one, StateChanged)]
    assert [(one.report.state.spi, one.is_new) for one in added] == [(0x1001, True), (0x2002, True)]
    assert all(one.report.state.aead and not one.report.state.aead.key for one in added)
    policies = [one.is_new for one in events if isinstance(one, PolicyChanged)]
    assert policies == [True, True, False]
    assert StateRemoved(StateId(b.outer(4), SPIS[0])) in events
    [removed] = [one for one in events if isinstance(one, PolicyRemoved)]
    assert removed.name.selector == policy.selector
    assert removed.name.direction == PolicyDirection.OUT
    assert removed.policy is not None
    assert removed.policy.templates == policy.templates
    assert any(isinstance(one, StatesFlushed) for one in events)
    assert PoliciesFlushed() in events


def test_an_overrun_is_told_and_a_dump_has_everything(hosts: Hosts) -> None:
    a, b = hosts
    keys = Keys.fresh(GCM)
    with listening(a, Group.SA, octets=4096) as monitor:
        for number in range(200):
            a.xfrm.add_state(state_of(a, b, keys, spis=(0x20000 + number, 0)))
        events = monitor.read()
        assert monitor.is_drained
        assert Overrun() in events
        assert sum(isinstance(event, StateChanged) for event in events) < 200
        assert len(a.xfrm.states()) == 200
        a.xfrm.add_state(replace(state_of(a, b, keys), spi=0x30000))
        heard = hear(monitor, StateChanged, lambda event: event.report.state.spi == 0x30000)
        assert heard.is_new
