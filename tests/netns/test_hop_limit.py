"""Hop limits: over the outer header between HITs, and of both gateways between subnets.

a 10.77.0.1 --- 10.77.0.254 r 10.78.0.254 --- 10.78.0.2 b     and the lab `datacenter`
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.utils import rdpcap

from hipgw.lab.hosts import LabHost
from tests.netns.streams import until
from tests.netns.test_daemon import ping
from tests.netns.test_gateway import WEB2, center
from tests.netns.test_path_mtu import lab_of

pytestmark = pytest.mark.netns


def limits(file: Path, source: str) -> set[int]:
    """Of the packets that came from there."""
    packets = rdpcap(str(file))
    found = {packet[IP].ttl for packet in packets if IP in packet and packet[IP].src == source}
    return found | {p[IPv6].hlim for p in packets if IPv6 in p and p[IPv6].src == source}


@pytest.mark.parametrize(("encapsulation", "family"), [("raw", 4), ("udp", 6)])
def test_a_router_between_the_hosts_counts(encapsulation: str, family: int, tmp_path: Path) -> None:
    name = f"hops-{encapsulation}{family}-{os.getpid()}"
    with lab_of(name, 1500, 1500, encapsulation=encapsulation, family=family) as lab:
        a, b = lab.host("a"), lab.host("b")
        ping(a, b.hit)
        here, far = str(a.addresses[family == 6]), str(b.addresses[family == 6])
        with (
            b.capture(tmp_path / "outer.pcap", filters=f"src host {here}") as outer,
            b.capture(tmp_path / "inner.pcap", interface="hip0", filters="ip or ip6") as inner,
        ):
            ping(a, b.hit, "-t", "17")
            ping(a, b.lsi, "-t", "33")
            ping(a, b.hit, "-t", "255")
        assert {16, 32, 254} <= limits(outer.path, here)
        assert limits(inner.path, str(a.hit)) == {16, 254}
        lsis = [packet for packet in rdpcap(str(inner.path)) if IP in packet]
        assert {packet[IP].ttl for packet in lsis} == {32, 64}
        assert far != here
        # One hop is not enough, and two are.
        command = ["ping", "-n", "-c", "1", str(b.hit)]
        assert a.run([*command, "-t", "1", "-W", "1"], check=False).returncode == 1
        assert a.run([*command, "-t", "2", "-W", "30"]).returncode == 0


def hop(source: LabHost, target: str, limit: int) -> str:
    """Who answers a probe of so many hops: the target, or who says that they were too few."""
    command = ["ping", "-n", "-c", "1", "-W", "2", "-t", str(limit), target]
    heard = []

    def is_heard() -> bool:
        said = source.run(command, check=False).stdout
        found = re.search(r"^(?:64 bytes from|From) (\S+?):? (?:icmp_seq=1)", said, re.M)
        heard.extend([found[1]] if found else [])
        return bool(heard)

    until(is_heard, f"a probe of {limit} hops to {target} is answered")
    return heard[0]


@pytest.mark.parametrize("settings", [None, {"datapath": {"intercept": "nfqueue"}}])
def test_traceroute_goes_through_gateways(settings: dict[str, dict[str, str]] | None) -> None:
    with center("queue" if settings else "tun", settings=settings) as lab:
        web1 = lab.host("web1")
        ping(web1, WEB2[4])
        for target, gateways in (
            (WEB2[4], ["192.168.7.1", "192.168.8.1"]),
            (WEB2[6], ["fd00:7::1", "fd00:8::1"]),
        ):
            until(lambda t=target: hop(web1, t, 3) == t, lambda t=target: hop(web1, t, 3))
            assert [hop(web1, target, 1), hop(web1, target, 2)] == gateways
