"""Limits of states, and events that nobody heard: new keys, and nothing lost.

hipgw-limits-a hip0 | eth0 10.77.0.1 ------ eth0 10.77.0.2 | hip0 hipgw-limits-b
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_address
from typing import Final

import pytest

from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.netlink.xfrm import (
    Authentication,
    Cipher,
    Lifetime,
    PolicyId,
    ReplayEsn,
    StateId,
    StateReport,
    XfrmClient,
    XfrmState,
)
from tests.kernel.daemons import (
    OPTIONS,
    PATIENCE_S,
    carried,
    doctor,
    kill,
    our_states,
    ping,
    settled,
    spi_of,
    until,
    xfrm,
)
from tests.netns.streams import CountingDatagrams

FLOOD: Final = 12_000
"""State changes: more events than the daemon's queue takes while it stands still."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab.pair(name="limits", settings=OPTIONS) as made:
        made.start_daemons(patience_s=PATIENCE_S)
        ping(made.host("a"), made.host("b"))
        yield made


@pytest.fixture
def hosts(lab: Lab) -> tuple[LabHost, LabHost]:
    a, b = lab.host("a"), lab.host("b")
    carried("kernel", a, b)
    settled(a, b)
    return a, b


def outbound(host: LabHost) -> StateReport:
    spi = spi_of(host, "out")
    [found] = [one for one in our_states(host) if one.state.spi == spi]
    return found


def limit(host: LabHost, lifetime: Lifetime) -> None:
    """Give the outbound state of a host other limits, as an operator could by hand."""

    def change() -> None:
        with XfrmClient() as client:
            state = client.state(StateId(name.destination, name.spi), with_keys=True).state
            client.update_state(replace(state, lifetime=lifetime))

    name = outbound(host).state
    host.call(change)


@pytest.mark.parametrize("what", ["packets", "octets", "age"])
def test_a_soft_limit_of_the_kernel_brings_new_keys_without_loss(
    hosts: tuple[LabHost, LabHost], what: str
) -> None:
    a, b = hosts
    before = outbound(a)
    with CountingDatagrams(a, b) as traffic:
        traffic.wait_for_more()
        used = outbound(a).usage
        limit(
            a,
            {
                "packets": Lifetime(soft_packets=used.packets + 20),
                "octets": Lifetime(soft_octets=used.octets + 2000),
                "age": Lifetime(soft_added_s=1),
            }[what],
        )
        until(lambda: spi_of(a, "out") not in {0, before.state.spi}, "new keys outbound")
        traffic.wait_for_more()
        traffic.stop()
    assert set(range(traffic.sent)) == set(traffic.numbers)
    assert len(traffic.numbers) == traffic.sent
    carried("kernel", a)


def test_the_configured_limit_is_in_the_state(hosts: tuple[LabHost, LabHost]) -> None:
    a, b = hosts
    text = a.files.config.read_text()
    a.files.config.write_text(text + "\n[hip]\nrekey_octets = 30000\n")
    a.ask("reload")
    try:
        a.run(["hipgw", "rekey", str(b.hit)])
        assert outbound(a).state.lifetime.soft_octets == 30_000
        before = spi_of(a, "out")
        with CountingDatagrams(a, b) as traffic:
            until(lambda: spi_of(a, "out") not in {0, before}, "new keys after so many octets")
            traffic.stop()
        assert set(range(traffic.sent)) == set(traffic.numbers)
    finally:
        a.files.config.write_text(text)
        a.ask("reload")
    assert b.ask("sas")["sas"]


def test_a_hard_limit_heals(hosts: tuple[LabHost, LabHost]) -> None:
    a, b = hosts
    before = outbound(a)
    limit(a, Lifetime(hard_packets=before.usage.packets + 2))
    a.run(["ping", "-n", "-c", "5", "-i", "0.2", "-W", "1", str(b.hit)], check=False)
    until(lambda: spi_of(a, "out") not in {0, before.state.spi}, "new keys outbound")
    carried("kernel", a, b)
    ping(a, b, 3)
    ping(b, a, 3)


def noise(number: int) -> XfrmState:
    """Somebody else's; its large window makes large events."""
    return XfrmState(
        source=ip_address("10.9.0.1"),
        destination=ip_address("10.9.0.2"),
        spi=0x30000 + number % 64,
        reqid=7,
        replay_window=0,
        replay_esn=ReplayEsn(4096),
        cipher=Cipher("ecb(cipher_null)", bytearray()),
        authentication=Authentication("hmac(sha256)", bytearray(32), 128),
    )


def flood(host: LabHost, remove: Callable[[XfrmClient], None] = lambda _: None) -> None:
    """Change the tables of a host whose daemon stands still, more often than it can hear of."""

    def change() -> None:
        with XfrmClient() as client:
            for number in range(FLOOD // 2):
                state = noise(number)
                client.add_state(state)
                client.remove_state(StateId(state.destination, state.spi))
                if number == FLOOD // 4:
                    remove(client)

    kill(host, signal.SIGSTOP)
    try:
        host.call(change)
    finally:
        kill(host, signal.SIGCONT)


@pytest.mark.parametrize("what", ["state", "policy", "policy, while events wait to be read"])
def test_what_happened_while_events_were_lost_is_found_by_a_dump(
    hosts: tuple[LabHost, LabHost], what: str
) -> None:
    """Ours goes in the middle of it.  The kernel tells of lost events once in a full queue."""
    a, b = hosts
    ping(a, b)
    name = outbound(a).state

    def remove(client: XfrmClient) -> None:
        if what == "state":
            client.remove_state(StateId(name.destination, name.spi))
        else:
            [policy] = [one for one in client.policies() if one.templates[0].spi == name.spi]
            client.remove_policy(PolicyId(policy.selector, policy.direction))

    if "wait" in what:
        flood(a)
    flood(a, remove)
    if what == "state":
        until(lambda: spi_of(a, "out") not in {0, name.spi}, lambda: a.log_tail(20))
    else:
        until(lambda: xfrm(a, "policy").count("dir out") == 1, lambda: a.log_tail(20))
    ping(a, b, 3)
    carried("kernel", a)
    assert "compared" in doctor(a, "kernel BEET")["detail"]
