"""Two gateways whose associations live in the kernel, in user space, or one of each.

hipgw-NAME-a hip0 | eth0 10.77.0.1 ------ eth0 10.77.0.2 | hip0 hipgw-NAME-b
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from tests.kernel.daemons import (
    OPTIONS,
    PATIENCE_S,
    carried,
    carriers,
    current,
    ping,
    rekey,
    settled,
    until,
    xfrm,
)
from tests.netns.streams import CountingDatagrams


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab.pair(name="kernel", settings=OPTIONS) as made:
        made.start_daemons(patience_s=PATIENCE_S)
        yield made


@pytest.fixture
def hosts(lab: Lab) -> tuple[LabHost, LabHost]:
    """Both with an association in the kernel."""
    a, b = lab.host("a"), lab.host("b")
    ping(a, b)
    for host in (a, b):
        if carriers(host) != {"kernel"}:
            host.run(["hipgw", "rekey", str((b if host is a else a).hit), "--to", "kernel"])
    until(lambda: carriers(a) == carriers(b) == {"kernel"}, "an association in both kernels")
    settled(a, b)
    return a, b


def lost(traffic: CountingDatagrams) -> set[int]:
    traffic.stop()
    return set(range(traffic.sent)) - set(traffic.numbers)


def has_answered(host: LabHost) -> bool:
    """Whether its kernel has said what it can do: what begins before is user space's."""
    checks = {check["name"]: check["detail"] for check in host.ask("doctor")["checks"]}
    return "pairs in the kernel" in checks["kernel BEET"]


def test_the_first_packet_arrives_and_the_counters_are_those_of_user_space() -> None:
    with Lab.pair(name="first", settings=OPTIONS) as lab:
        lab.start_daemons(patience_s=PATIENCE_S)
        a, b = lab.host("a"), lab.host("b")
        until(lambda: has_answered(a) and has_answered(b), "the kernels have answered")
        ping(a, b, 3)
        assert carriers(a) == carriers(b) == {"kernel"}
        for host in (a, b):
            for entry in current(host).values():
                assert (entry["packets"], entry["octets"], entry["sequence"]) == (3, 3 * 104, 3)
                assert entry["last_used_s"] is not None


def test_a_rekey_in_the_kernel_loses_nothing(hosts: tuple[LabHost, LabHost]) -> None:
    a, b = hosts
    with CountingDatagrams(a, b) as traffic:
        for asker, peer in ((a, b), (b, a)):
            traffic.wait_for_more()
            before = {entry["spi"] for entry in current(asker).values()}
            rekey(asker, peer)
            assert not before & {entry["spi"] for entry in current(asker).values()}
        traffic.wait_for_more()
        assert not lost(traffic)
    assert carriers(a) == carriers(b) == {"kernel"}
    assert xfrm(a, "policy").count("dir out") == xfrm(a, "policy").count("dir in") == 1


def test_live_switching_loses_nothing(hosts: tuple[LabHost, LabHost]) -> None:
    a, b = hosts
    with CountingDatagrams(a, b) as traffic:
        for asker, peer, carrier in (
            (a, b, "user"),
            (b, a, "user"),
            (a, b, "kernel"),
            (b, a, "kernel"),
        ):
            traffic.wait_for_more()
            rekey(asker, peer, "--to", carrier)
            assert carriers(asker) == {carrier}
        traffic.wait_for_more()
        assert not lost(traffic)


def test_one_side_in_user_space(hosts: tuple[LabHost, LabHost]) -> None:
    a, b = hosts
    rekey(a, b, "--to", "user")
    assert (carriers(a), carriers(b)) == ({"user"}, {"kernel"})
    ping(a, b, 3)
    ping(b, a, 3)
    assert "dir out" not in xfrm(a, "policy")
    assert "dir out" in xfrm(b, "policy")


def test_flushed_states_and_policies_are_healed(hosts: tuple[LabHost, LabHost]) -> None:
    a, b = hosts
    a.run(["ip", "xfrm", "policy", "flush"])
    until(lambda: xfrm(a, "policy").count("tmpl") == 2, "policies put back")
    ping(a, b)
    before = {entry["spi"] for entry in current(a).values()}
    a.run(["ip", "xfrm", "state", "flush"])
    until(
        lambda: not before & {entry["spi"] for entry in current(a).values()},
        "new keys after the states were flushed",
    )
    ping(a, b)
    assert carriers(a) == {"kernel"}


def test_packets_to_an_lsi_bring_an_association_to_user_space(
    hosts: tuple[LabHost, LabHost],
) -> None:
    a, b = hosts
    rekey(b, a, "--to", "user")
    # An answer to the first may still come on the keys of the kernel, which knows no LSI.
    a.run(["ping", "-n", "-c", "5", "-i", "0.5", "-W", "20", str(b.lsi)])
    carried("user", a)
    assert "LSIs" in str(current(a)["out"]["carrier_reason"])
