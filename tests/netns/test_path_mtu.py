"""How long packets may be, when the wires say different things.

a 10.77.0.1 --- 10.77.0.254 r 10.78.0.254 --- 10.78.0.2 b
  fd00:77::1    fd00:77::254  fd00:78::254    fd00:78::2
       1500 octets, or 9000            less
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
from collections.abc import Iterator
from ipaddress import ip_address, ip_interface
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw
from scapy.utils import rdpcap

from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.lab.topology import Host, Link, Port, Topology
from tests.netns.streams import until
from tests.netns.test_daemon import ping
from tests.netns.test_offload import carry_file

pytestmark = pytest.mark.netns


def routed(near: int, far: int) -> Topology:
    def port(host: str, interface: str, net: int, number: str) -> Port:
        texts = f"10.{net}.0.{number}/24", f"fd00:{net}::{number}/64"
        return Port(host, interface, tuple(map(ip_interface, texts)))

    def routers(net: int) -> tuple[object, ...]:
        return ip_address(f"10.{net}.0.254"), ip_address(f"fd00:{net}::254")

    return Topology(
        "routed",
        (
            Host("a", routers=routers(77)),  # type: ignore[arg-type]
            Host("r", speaks_hip=False),
            Host("b", routers=routers(78)),  # type: ignore[arg-type]
        ),
        (
            Link((port("a", "eth0", 77, "1"), port("r", "eth0", 77, "254")), near),
            Link((port("r", "eth1", 78, "254"), port("b", "eth0", 78, "2")), far),
        ),
    )


@contextlib.contextmanager
def lab_of(name: str, near: int, far: int, **options: object) -> Iterator[Lab]:
    with Lab(routed(near, far), name=f"mtu-{name}-{os.getpid()}", **options) as lab:  # type: ignore[arg-type]
        keys = ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        lab.host("r").run(["sysctl", "-qw", *keys])
        lab.start_daemons()
        yield lab


def mtu_of(host: LabHost) -> int:
    found = re.search(r"mtu (\d+)", host.run(["ip", "link", "show", "hip0"]).stdout)
    assert found is not None
    return int(found[1])


def longest(host: LabHost, target: object, octets: int, wait_s: int = 30) -> bool:
    """Whether an echo of so many octets in all gets there and back without fragments of its own."""
    header = 28 if "." in str(target) else 48
    command = ["ping", "-n", "-c", "1", "-W", str(wait_s), "-M", "do", "-s", str(octets - header)]
    return host.run([*command, str(target)], check=False).returncode == 0


@pytest.mark.parametrize(("encapsulation", "family"), [("raw", 4), ("udp", 6), ("udp", 4)])
def test_a_router_shortens_the_path(encapsulation: str, family: int, tmp_path: Path) -> None:
    with lab_of(f"{encapsulation}{family}", 1500, 1400, encapsulation=encapsulation,
                family=family) as lab:  # fmt: skip
        a, b = lab.host("a"), lab.host("b")
        ping(a, b.hit)
        start = mtu_of(a)
        longest(a, b.hit, start, wait_s=1)
        until(lambda: 1280 <= mtu_of(a) < start - 90, lambda: f"hip0 follows: {mtu_of(a)}")
        assert "path carries less" in a.files.log.read_text()
        with b.capture(tmp_path / "b.pcap", filters="ip or ip6") as captured:
            assert longest(a, b.hit, mtu_of(a))
            assert longest(a, b.lsi, mtu_of(a) - 20)
        packets = rdpcap(str(captured.path))
        assert len(packets) >= 4
        assert not [p for p in packets if IP in p and (p[IP].flags.MF or p[IP].frag)]
        assert not [p for p in packets if IPv6 in p and p[IPv6].nh == 44]
        if family == 4:
            assert {str(p[IP].flags) for p in packets if IP in p and p[IP].src == "10.77.0.1"} == {
                "DF"
            }


def test_a_stranger_shortens_nothing() -> None:
    with lab_of("forged", 1500, 1500) as lab:
        a, r = lab.host("a"), lab.host("r")
        ping(a, lab.host("b").hit)
        (entry,) = [sa for sa in a.ask("sas")["sas"] if sa["direction"] == "out"]
        start = mtu_of(a)
        quoted = IP(src="10.77.0.1", dst="10.78.0.2", proto=50)

        def forge(spi: int) -> None:
            error = IP(src="10.77.0.254", dst="10.77.0.1") / ICMP(type=3, code=4, nexthopmtu=1300)
            packet = error / quoted / Raw(spi.to_bytes(4) + bytes(4))
            with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
                raw.sendto(bytes(packet), ("10.77.0.1", 0))

        def count(reason: str) -> int:
            return {one["reason"]: int(one["count"]) for one in a.ask("drops")["drops"]}[reason]

        r.call(lambda: forge(entry["spi"] ^ 1))
        until(lambda: count("too_big_foreign") == 1, "counted")
        assert "path carries less" not in a.files.log.read_text()
        r.call(lambda: forge(entry["spi"]))
        until(lambda: mtu_of(a) < start, "the same with the SPI of our packets")
        assert count("too_big_foreign") == 1


def test_what_the_operator_sets_stays() -> None:
    with lab_of("operator", 9000, 9000) as lab:
        a, b = lab.host("a"), lab.host("b")
        ping(a, b.hit)
        assert mtu_of(a) == 8950
        assert longest(a, b.hit, 8950)
        a.run(["ip", "link", "set", "hip0", "mtu", "4000"])
        until(lambda: a.ask("status")["interface"]["mtu_by"] == "operator", "noticed")
        a.run(["hipgw", "identity", "new", "second"])
        time.sleep(0.2)
        assert mtu_of(a) == 4000
        assert "mtu: 4000 octets (set by the operator)" in a.run(["hipgw", "status"]).stdout
        assert longest(a, b.lsi, 3980)
        assert not longest(a, b.hit, 4001, wait_s=1)


def test_the_interface_follows_the_wire() -> None:
    with lab_of("follow", 1500, 1500) as lab:
        a, b, r = lab.host("a"), lab.host("b"), lab.host("r")
        ping(a, b.hit)
        assert mtu_of(a) == 1446
        for host in (a, r):
            host.run(["ip", "link", "set", "eth0", "mtu", "1400"])
        until(lambda: mtu_of(a) == 1350, lambda: f"hip0 follows: {mtu_of(a)}")
        assert longest(a, b.hit, 1350)


@pytest.mark.parametrize("intercept", ["tun", "nfqueue"])
def test_a_stream_over_a_path_that_carries_less_than_the_interface(intercept: str) -> None:
    """The interface is as long as the longest path: here as the operator says."""
    settings = {"datapath": {"intercept": intercept}}
    with lab_of(intercept, 9000, 1500, settings=settings) as lab:
        a, b = lab.host("a"), lab.host("b")
        a.run(["ip", "link", "set", "hip0", "mtu", "8900"])
        until(lambda: a.ask("status")["interface"]["mtu_by"] == "operator", "noticed")
        ping(a, b.hit)
        longest(a, b.hit, 8900, wait_s=1)
        until(lambda: "path carries less" in a.files.log.read_text(), "the router said so")
        before = too_big(a)
        carry_file(a, b, b.hit)
        carry_file(a, b, b.lsi)
        assert mtu_of(a) == 8900
        # One or two for each stream, until TCP knows; and no more.
        assert too_big(a) - before <= 64


def too_big(host: LabHost) -> int:
    return {row["reason"]: int(row["count"]) for row in host.ask("drops")["drops"]}["too_big"]


@pytest.mark.parametrize(
    ("encapsulation", "family", "intercept"),
    [("raw", 4, "tun"), ("udp", 6, "nfqueue")],
)
def test_the_longest_wire_there_is(encapsulation: str, family: int, intercept: str) -> None:
    options = {"encapsulation": encapsulation, "family": family, "mtu": 65535}
    settings = {"datapath": {"intercept": intercept}}
    name = f"most-{encapsulation}{family}-{os.getpid()}"
    with Lab.pair(name=name, settings=settings, **options) as lab:  # type: ignore[arg-type]
        lab.start_daemons()
        a, b = lab.host("a"), lab.host("b")
        ping(a, b.hit)
        most = mtu_of(a)
        assert 65400 < most <= 65535
        assert a.ask("status")["interface"]["mtu"] == most
        assert longest(a, b.hit, most)
        assert longest(b, a.lsi, most - 20)
        assert not longest(a, b.hit, most + 1, wait_s=1)
        carry_file(a, b, b.hit)
        carry_file(b, a, a.lsi)
        bad = {"truncated", "inner_malformed", "send_error", "tun_full", "too_big"}
        counts = {
            row["reason"]: row["count"] for host in (a, b) for row in host.ask("drops")["drops"]
        }
        assert not [reason for reason in bad if counts[reason]]
