"""Two gateways whose associations live in the kernel, in user space, or one of each.

hipgw-NAME-a hip0 | eth0 10.77.0.1 ------ eth0 10.77.0.2 | hip0 hipgw-NAME-b
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pyroute2.config
import pytest

from hipgw.dataplane.kernel_suites import probe_kernel
from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.values import EspSuite
from tests.netns.streams import CountingDatagrams, CountingStream, until

PATIENCE_S = 120.0
"""The guest has one processor, and everybody wants it."""
FOREIGN_STATE = (
    "src 10.9.0.1 dst 10.9.0.2 proto esp spi 0x9999 reqid 7 mode tunnel "
    f"enc cbc(aes) 0x{'22' * 16} auth-trunc hmac(sha256) 0x{'11' * 32} 128"
)
FOREIGN_POLICY = (
    "src 10.9.1.0/24 dst 10.9.2.0/24 dir out "
    "tmpl src 10.9.0.1 dst 10.9.0.2 proto esp reqid 7 mode tunnel"
)
OPTIONS = {"datapath": {"backend": "auto"}}


@pytest.fixture(scope="module", autouse=True)
def modules() -> None:
    pyroute2.config.default_communicate_timeout = int(PATIENCE_S)
    assert not probe_kernel().reason_against(EspSuite.AES_GCM_16, 4, is_udp=True)


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
    return a, b


def ping(a: LabHost, b: LabHost, count: int = 1) -> None:
    a.run(["ping", "-n", "-c", str(count), "-i", "0.1", "-W", "10", str(b.hit)])


def current(host: LabHost) -> dict[str, dict[str, object]]:
    entries = [dict(entry) for entry in host.ask("sas")["sas"]]
    view = host.ask("associations")["associations"][0]
    return {
        str(entry["direction"]): entry
        for entry in entries
        if entry["spi"] in {view["spi_in"], view["spi_out"]}
    }


def carriers(host: LabHost) -> set[object]:
    return {entry["carrier"] for entry in current(host).values()}


def xfrm(host: LabHost, what: str) -> str:
    return host.run(["ip", "xfrm", what]).stdout


def rekey(host: LabHost, peer: LabHost, *options: str) -> None:
    host.run(["hipgw", "rekey", str(peer.hit), "--wait", "60", *options], timeout_s=90)


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
    assert carriers(a) == {"user"}
    assert "LSIs" in str(current(a)["out"]["carrier_reason"])


def test_what_a_killed_daemon_left_is_cleared_and_nothing_else(
    lab: Lab, hosts: tuple[LabHost, LabHost]
) -> None:
    a, b = hosts
    for host in (a, b):
        host.run(["ip", "xfrm", "state", "add", *FOREIGN_STATE.split()])
        host.run(["ip", "xfrm", "policy", "add", *FOREIGN_POLICY.split()])
    assert a.daemon is not None
    left = current(a)["out"]["spi"]
    os.kill(a.daemon.pid, signal.SIGKILL)
    until(lambda: f"{left:#010x}" in xfrm(a, "state"), "states left behind")
    a.start_daemon()
    until(lambda: f"{left:#010x}" not in xfrm(a, "state"), "states cleared")
    assert xfrm(a, "policy").count("10.9.1.0/24") == 1
    assert xfrm(a, "state").count("spi 0x00009999") == 1
    assert xfrm(a, "state").count("spi") == 1


def move(host: LabHost, old: str, new: str) -> None:
    host.run(["ip", "address", "add", new, "dev", "eth0", *(["nodad"] if ":" in new else [])])
    host.run(["ip", "address", "delete", old, "dev", "eth0"])


def test_a_stream_survives_a_handover_in_the_kernel() -> None:
    settings = {**OPTIONS, "hip": {"announce_locators": True}}
    with Lab.pair(name="move", settings=settings) as lab:
        lab.start_daemons(patience_s=PATIENCE_S)
        a, b = lab.host("a"), lab.host("b")
        for host in (a, b):
            until(lambda h=host: h.ask("locators")["locators"] != [], "addresses known")
        a.run(["ip", "address", "delete", "fd00:77::1/64", "dev", "eth0"])
        with CountingStream(a, b) as stream:
            stream.wait_for_more()
            for old, new in (
                ("10.77.0.1/24", "10.77.0.101/25"),
                ("10.77.0.101/25", "fd00:77::101/64"),
            ):
                here = new.partition("/")[0]
                move(a, old, new)
                until(lambda h=here: current(b)["out"]["peer_address"] == h, f"b follows to {new}")
                stream.wait_for_more()
        assert carriers(a) == carriers(b) == {"kernel"}
        assert "state is gone" not in a.files.log.read_text() + b.files.log.read_text()


def test_esp_in_udp_is_the_kernels_where_it_has_the_socket() -> None:
    settings = {"datapath": {"backend": "kernel"}}
    with Lab.pair(name="udp", encapsulation="udp", settings=settings) as lab:
        lab.start_daemons(patience_s=PATIENCE_S)
        a, b = lab.host("a"), lab.host("b")
        ping(a, b, 3)
        assert carriers(a) == carriers(b) == {"kernel"}
        rekey(a, b)
        ping(b, a, 3)
        assert current(a)["out"]["encapsulation"] == "udp"
