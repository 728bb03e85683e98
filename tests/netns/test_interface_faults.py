"""Somebody takes hip0 down, sets its MTU, or deletes it; a worker ends by itself.

hipgw-NAME-a hip0 | eth0 10.77.0.1 ------ eth0 10.77.0.2 | hip0 hipgw-NAME-b
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator

import pytest

from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.lab.topology import datacenter
from tests.netns.streams import CountingDatagrams, CountingStream, until
from tests.netns.test_daemon import interfaces_of, ping, stop, wait_ready
from tests.netns.test_path_mtu import longest, mtu_of

pytestmark = pytest.mark.netns

NFQUEUE = {"datapath": {"intercept": "nfqueue"}}
WORKER_ENDS = """
import signal, sys
from hipgw._fastpath.worker import DataPath
from hipgw.daemon import composition, main

made = []

def make(**options):
    made.append(DataPath(**options))
    return made[-1]

for module in list(sys.modules.values()):
    if getattr(module, "DataPath", None) is DataPath and module.__name__.startswith("hipgw.daemon"):
        module.DataPath = make
signal.signal(signal.SIGUSR1, lambda *_: made[0].stop())
sys.exit(main.run(sys.argv[1]))
"""
"""A daemon whose workers return when it gets SIGUSR1, although nobody stops it."""


@contextlib.contextmanager
def pair(name: str, **options: object) -> Iterator[tuple[LabHost, LabHost]]:
    with Lab.pair(name=f"iface-{name}-{os.getpid()}", **options) as lab:  # type: ignore[arg-type]
        lab.start_daemons()
        yield lab.host("a"), lab.host("b")


def counted(host: LabHost, reason: str) -> int:
    return {drop["reason"]: int(drop["count"]) for drop in host.ask("drops")["drops"]}[reason]


def problems(host: LabHost) -> list[tuple[str, str]]:
    """What `hipgw status` complains of about the interface, each with its remedy."""
    health = host.ask("status")["health"]
    return [(row["problem"], row["remedy"]) for row in health if "interface" in row["problem"]]


def ends(host: LabHost) -> int:
    """Wait for the end of a host's daemon; its exit code."""
    process = host._started[0]
    return process.wait(60)


def network_of(host: LabHost) -> list[str]:
    """Addresses and routes of hip0, as `ip` prints them."""
    commands = (
        ["-o", "addr", "show", "dev", "hip0"],
        ["route", "show", "dev", "hip0"],
        ["-6", "route", "show", "dev", "hip0"],
    )
    said = "".join(host.run(["ip", *command]).stdout for command in commands)
    return sorted(" ".join(line.split()) for line in said.splitlines())


def test_down_and_up_under_traffic() -> None:
    with pair("down", mtu=9000) as (a, b):
        ping(a, b.hit)
        ping(a, b.lsi)
        b.run(["ip", "link", "set", "hip0", "mtu", "4000"])
        until(lambda: b.ask("status")["interface"]["mtu_by"] == "operator", "the MTU is noticed")
        before = network_of(b)
        assert any("2001:20::/28" in line for line in before)
        with CountingStream(a, b) as stream, CountingDatagrams(a, b) as numbers:
            stream.wait_for_more()
            numbers.wait_for_more()
            b.run(["ip", "link", "set", "hip0", "down"])
            until(lambda: counted(b, "tun_full") > 0, "what comes in is counted")
            down = [("interface hip0 is down", "ip link set hip0 up")]
            until(lambda: problems(b) == down, lambda: f"the remedy: {problems(b)}")
            assert not any("2001:" in line for line in network_of(b))
            b.run(["ip", "link", "set", "hip0", "up"])
            until(lambda: network_of(b) == before, lambda: f"put back: {network_of(b)}")
            stream.wait_for_more()
            numbers.wait_for_more()
        assert mtu_of(b) == 4000
        ping(b, a.hit)
        ping(a, b.lsi)
        until(lambda: problems(b) == [], lambda: f"all is well: {problems(b)}")
        log = b.files.log.read_text()
        assert log.count("interface is down") == 1
        assert log.count("interface is up again") == 1


def test_down_and_up_in_one_breath_and_for_long() -> None:
    """Nobody sees it down, but addresses and routes were gone; and what is down stays down."""
    with pair("stays") as (a, b):
        ping(a, b.hit)
        before = network_of(a)
        a.run(["ip", "-batch", "-"], stdin="link set hip0 down\nlink set hip0 up\n" * 3)
        until(lambda: network_of(a) == before, lambda: f"put back: {network_of(a)}")
        ping(a, b.hit)
        ping(a, b.lsi)
        a.run(["ip", "link", "set", "hip0", "down"])
        until(lambda: bool(problems(a)), "noticed")
        a.run(["hipgw", "identity", "new", "second"])
        assert "state DOWN" in a.run(["ip", "link", "show", "hip0"]).stdout
        a.run(["ip", "link", "set", "hip0", "up"])
        second = a.ask("hits")["hits"][-1]["hit"]
        until(lambda: any(second in line for line in network_of(a)), "the new HIT is there as well")
        ping(a, b.hit)


def test_routes_to_subnets_come_back() -> None:
    with Lab(datacenter(), name=f"iface-subnets-{os.getpid()}") as lab:
        lab.start_daemons()
        web1, gw1 = lab.host("web1"), lab.host("gw1")
        ping(web1, "192.168.8.2")
        before = network_of(gw1)
        assert any("192.168.8.0/24" in line for line in before)
        gw1.run(["ip", "link", "set", "hip0", "down"])
        gw1.run(["ip", "link", "set", "hip0", "up"])
        until(lambda: network_of(gw1) == before, lambda: f"put back: {network_of(gw1)}")
        ping(web1, "192.168.8.2")
        ping(web1, "fd00:8::2")


@pytest.mark.parametrize("change", ["deleted", "renamed"])
def test_an_interface_that_is_gone_ends_the_daemon(change: str) -> None:
    with pair(change, settings=NFQUEUE) as (a, b):
        ping(a, b.hit)
        if change == "deleted":
            a.run(["ip", "link", "delete", "hip0"])
        else:
            a.run(["ip", "link", "set", "hip0", "down"])
            a.run(["ip", "link", "set", "hip0", "name", "mine"])
        assert ends(a) == 1
        assert f"interface hip0 was {change}" in a.files.log.read_text()
        assert "start the daemon again" in a.files.log.read_text()
        assert interfaces_of(a) == {"lo", "eth0"}
        assert "HIPGW" not in a.run(["ip6tables", "-S"]).stdout
        until(lambda: b.ask("sas")["sas"] == [], "the peer heard a CLOSE")
        a.start_daemon()
        wait_ready(a)
        ping(a, b.hit)
        ping(b, a.lsi)


def test_a_worker_that_ends_ends_the_daemon() -> None:
    with pair("worker", settings=NFQUEUE) as (a, b):
        ping(a, b.hit)
        assert stop(a) == 0
        with a.files.log.open("ab") as log:
            doomed = a.popen(
                [sys.executable, "-c", WORKER_ENDS, str(a.files.config)], stdout=log, role="daemon"
            )
        wait_ready(a)
        ping(a, b.hit)
        doomed.send_signal(signal.SIGUSR1)
        assert doomed.wait(60) == 1
        assert "worker hipgw-" in a.files.log.read_text()
        assert "died (it returned)" in a.files.log.read_text()
        assert interfaces_of(a) == {"lo", "eth0"}
        assert "HIPGW" not in a.run(["ip6tables", "-S"]).stdout
        a.start_daemon()
        wait_ready(a)
        ping(a, b.hit)


def test_what_a_crash_leaves_goes_with_the_next_start() -> None:
    with pair("crash", settings=NFQUEUE) as (a, b):
        ping(a, b.hit)
        assert stop(a, signal.SIGSEGV) == -signal.SIGSEGV
        assert interfaces_of(a) == {"lo", "eth0"}
        a.start_daemon()
        wait_ready(a)
        assert "leftovers of a killed daemon cleared" in a.files.log.read_text()
        assert "rules of a killed daemon cleared" in a.files.log.read_text()
        ping(a, b.hit)
        ping(b, a.lsi)


def test_an_mtu_that_is_set_by_hand() -> None:
    with pair("mtu", mtu=9000) as (a, b):
        ping(a, b.hit)
        a.run(["ip", "link", "set", "hip0", "mtu", "1000"])
        until(lambda: bool(problems(a)), "below what IPv6 needs")
        ((problem, remedy),) = problems(a)
        assert "MTU 1000" in problem
        a.run(remedy.split())
        until(lambda: a.ask("status")["interface"]["mtu"] == 1280, "the least")
        until(lambda: problems(a) == [], lambda: f"all is well: {problems(a)}")
        until(lambda: longest(a, b.hit, 1280, wait_s=1), "the HIT is there again")
        assert not longest(a, b.hit, 1281, wait_s=1)
        a.run(["ip", "link", "set", "hip0", "mtu", "8950"])
        until(lambda: a.ask("status")["interface"]["mtu"] == 8950, "the most of this wire")
        assert longest(a, b.hit, 8950)
        assert longest(a, b.lsi, 8930)
