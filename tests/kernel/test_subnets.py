r"""Hosts that know no HIP behind gateways whose association the kernel carries.

web1 192.168.7.2   fd00:7::2   --\                          /-- web2 192.168.8.2   fd00:8::2
                                  gw1 eth0 ---- eth0 gw2
db1  192.168.7.130 fd00:7::1:2 --/                          \-- db2  192.168.8.130 fd00:8::1:2
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pyroute2.config
import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw

from hipgw.daemon.subnet_tunnels import tunnel_name
from hipgw.dataplane.kernel_suites import probe_kernel
from hipgw.errors import HostError
from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.lab.topology import datacenter
from hipgw.values import EspSuite
from tests.kernel.daemons import carriers, current, our_states, rekey, settled
from tests.netns import streams
from tests.netns.test_gateway import WEB1, WEB2, counted, transfer

PATIENCE_S = 120.0
"""The guest has one processor, and everybody wants it."""
until = functools.partial(streams.until, patience_s=PATIENCE_S)
KERNEL = {"datapath": {"backend": "auto"}}


@contextlib.contextmanager
def center(name: str, **options: object) -> Iterator[Lab]:
    with Lab(datacenter(), name=f"subnets-{name}", **options) as lab:  # type: ignore[arg-type]
        lab.start_daemons(patience_s=PATIENCE_S)
        yield lab


@pytest.fixture(scope="module", autouse=True)
def modules() -> None:
    """Loading them takes an emulated machine longer than pyroute2 has patience by itself."""
    pyroute2.config.default_communicate_timeout = int(PATIENCE_S)
    assert not probe_kernel().reason_against(EspSuite.AES_GCM_16, 4, is_udp=False)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with center("kernel", settings=KERNEL) as made:
        yield made


def ping(source: LabHost, address: str, *options: str) -> None:
    source.run(["ping", "-n", "-c", "2", "-i", "0.2", "-W", "10", *options, address])


def device_to(peer: LabHost) -> str:
    return tunnel_name("hip0", peer.hit)


def routed_to(host: LabHost, family: int, prefix: str) -> str:
    [line] = host.run(["ip", f"-{family}", "route", "show", prefix]).stdout.splitlines()
    return line.split()[line.split().index("dev") + 1]


@pytest.fixture
def gateways(lab: Lab) -> tuple[LabHost, LabHost]:
    """Both with an association in the kernel, and the routes on its tunnel."""
    gw1, gw2 = lab.host("gw1"), lab.host("gw2")
    ping(lab.host("web1"), WEB2[4])
    for host, peer in ((gw1, gw2), (gw2, gw1)):
        if str(current(host)["out"]["carrier_reason"]).startswith("hipgw rekey"):
            rekey(host, peer, "--to", "kernel")
    until(lambda: carriers(gw1) == carriers(gw2) == {"kernel"}, "in both kernels")
    for host, peer, prefixes in (
        (gw1, gw2, {4: "192.168.8.0/24", 6: "fd00:8::/64"}),
        (gw2, gw1, {4: "192.168.7.0/24", 6: "fd00:7::/64"}),
    ):
        until(
            lambda h=host, p=peer, n=prefixes: {routed_to(h, f, n[f]) for f in n} == {device_to(p)},
            "routes on the tunnel",
        )
    settled(gw1, gw2)
    return gw1, gw2


def test_the_kernel_carries_subnets(lab: Lab, gateways: tuple[LabHost, LabHost]) -> None:
    gw1, gw2 = gateways
    web1, web2, db2 = (lab.host(name) for name in ("web1", "web2", "db2"))
    before = current(gw1)["out"]["packets"]
    for family in (4, 6):
        ping(web1, WEB2[family])
        ping(db2, WEB1[family], "-M", "do", "-s", "8800")
        ping(gw1, WEB2[family])
        transfer(web1, web2, family, 1_000_000)
        said = web1.run(
            ["ping", "-n", "-c", "1", "-W", "10", "-M", "do", "-s", "8900", WEB2[family]],
            check=False,
        )
        assert re.search(r"mtu[ =:]+8910", said.stdout + said.stderr)
    assert carriers(gw1) == carriers(gw2) == {"kernel"}
    assert int(str(current(gw1)["out"]["packets"])) > int(str(before)) + 100


@pytest.mark.parametrize("trial", range(3))
def test_the_first_packet_arrives(lab: Lab, gateways: tuple[LabHost, LabHost], trial: int) -> None:
    """The peer's tunnel is open before it has answered, and ours before that answer is used."""
    gw1, gw2 = gateways if trial % 2 == 0 else gateways[::-1]
    gw1.run(["hipgw", "close", "--all"])
    until(lambda: gw1.ask("associations")["associations"] == [], "closed")
    until(lambda: not any(our_states(host) for host in gateways), "no states left")
    until(lambda: is_user(gw1, gw2) and is_user(gw2, gw1), "routes back on hip0")
    lab.host("web1").run(["ping", "-n", "-c", "1", "-W", "30", WEB2[4]])
    assert carriers(gw1) == carriers(gw2) == {"kernel"}


def test_the_counters_are_those_of_user_space(lab: Lab, gateways: tuple[LabHost, LabHost]) -> None:
    gw1, gw2 = gateways
    seen = []
    for carrier in ("kernel", "user"):
        if carrier == "user":
            rekey(gw1, gw2, "--to", "user")
        before = current(gw1)["out"]
        ping(lab.host("web1"), WEB2[4])
        after = current(gw1)["out"]
        assert after["carrier"] == carrier
        seen.append(
            {key: int(str(after[key])) - int(str(before[key])) for key in ("packets", "sequence")}
        )
    assert seen == [{"packets": 2, "sequence": 2}] * 2


def test_user_space_and_kernel_understand_each_other(
    lab: Lab, gateways: tuple[LabHost, LabHost]
) -> None:
    gw1, gw2 = gateways
    web1, web2 = lab.host("web1"), lab.host("web2")
    for host, peer in ((gw1, gw2), (gw2, gw1)):
        rekey(host, peer, "--to", "user")
        assert (carriers(host), carriers(peer)) == ({"user"}, {"kernel"})
        until(lambda h=host, p=peer: is_user(h, p), "routes back on hip0")
        for family in (4, 6):
            ping(web1, WEB2[family], "-M", "do", "-s", "8000")
            ping(web2, WEB1[family])
            transfer(web1, web2, family, 200_000)
        rekey(host, peer, "--to", "kernel")
        assert carriers(host) == carriers(peer) == {"kernel"}


def is_ready(host: LabHost) -> bool:
    try:
        host.ask("status")
    except HostError:
        return False
    return True


def is_user(host: LabHost, peer: LabHost) -> bool:
    routes = host.run(["ip", "route"]).stdout + host.run(["ip", "-6", "route"]).stdout
    return device_to(peer) not in routes


def test_sources_and_destinations_of_others_are_dropped(
    lab: Lab, gateways: tuple[LabHost, LabHost]
) -> None:
    gw1, gw2 = gateways
    web1, web2 = lab.host("web1"), lab.host("web2")
    for key in ("all", "eth1"):
        gw1.run(["sysctl", "-qw", f"net.ipv4.conf.{key}.rp_filter=0"])

    def dropped() -> int:
        shown = gw2.run(["tc", "-s", "qdisc", "show", "dev", device_to(gw1)]).stdout
        words = shown.partition("qdisc clsact")[2].split()
        return int(words[words.index("(dropped") + 1].rstrip(","))

    def listen(family: int) -> socket.socket:
        made = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
        made.bind((WEB2[family], 9))
        made.settimeout(PATIENCE_S)
        return made

    def send(source: str, target: str, words: bytes) -> None:
        layer, kind = (
            (IPv6(src=source, dst=target), socket.AF_INET6)
            if ":" in source
            else (IP(src=source, dst=target), socket.AF_INET)
        )
        with socket.socket(kind, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            raw.sendto(bytes(layer / UDP(dport=9) / Raw(words)), (target, 0))

    gw1.run(["ip", "route", "add", "192.168.9.0/24", "dev", device_to(gw2)])
    for number, (family, good, bad) in enumerate(
        ((4, WEB1[4], "192.168.99.9"), (6, WEB1[6], "fd00:99::9")), start=1
    ):
        before = dropped()
        with web2.call(lambda f=family: listen(f)) as heard:
            web1.call(lambda s=bad, f=family: send(s, WEB2[f], b"spoofed"))
            web1.call(lambda s=good, f=family: send(s, WEB2[f], b"honest"))
            assert heard.recv(100) == b"honest"
        assert dropped() == before + 1, number
    before = dropped()
    web1.run(["ping", "-n", "-c", "1", "-W", "1", "192.168.9.9"], check=False)
    until(lambda: dropped() == before + 1, "the third network is not reached")
    gw1.run(["ip", "route", "del", "192.168.9.0/24"])


def test_a_reload_changes_who_may_send_what(lab: Lab, gateways: tuple[LabHost, LabHost]) -> None:
    gw1, gw2 = gateways
    config, daemon = gw1.files.config, gw1.daemon
    assert daemon is not None
    text = config.read_text()
    config.write_text(text.replace('"192.168.8.0/24"', '"192.168.8.0/24", "172.16.0.0/12"'))
    os.kill(daemon.pid, signal.SIGHUP)

    def filters() -> str:
        return gw1.run(
            ["tc", "filter", "show", "dev", device_to(gw2), "ingress"], check=False
        ).stdout

    def third() -> str:
        return gw1.run(["ip", "route", "show", "172.16.0.0/12"]).stdout

    until(lambda: f"dev {device_to(gw2)} " in third(), "the reload routes it")
    until(lambda: "ac100000/fff00000" in filters(), "in a filter with it")
    until(lambda: f"dev {device_to(gw2)} " in third(), "routed to the device that has it")
    ping(lab.host("web1"), WEB2[6])
    config.write_text(text)
    os.kill(daemon.pid, signal.SIGHUP)
    until(lambda: third() == "", "and takes it back")
    until(
        lambda: (
            routed_to(gw1, 4, "192.168.8.0/24") == device_to(gw2) and "ac100000" not in filters()
        ),
        "a filter without it",
    )
    assert carriers(gw1) == {"kernel"}
    ping(lab.host("web2"), WEB1[4])


def test_what_came_without_esp_does_not_come_out_of_the_tunnel(
    lab: Lab, gateways: tuple[LabHost, LabHost]
) -> None:
    gw1, gw2 = gateways
    for protocol in ("ipencap", "ipv6"):
        assert gw2.run(["ip", "xfrm", "policy"]).stdout.count(f"proto {protocol} ") == 1
    inner = IP(src=WEB1[4], dst=WEB2[4]) / UDP(dport=9) / Raw(b"in the clear")
    outer = IPv6(src=str(gw1.hit), dst=str(gw2.hit), nh=4) / inner
    mac = gw2.run(["ip", "-br", "link", "show", "eth0"]).stdout.split()[2]

    def send() -> None:
        frame = bytes.fromhex(mac.replace(":", "")) + bytes(6) + b"\x86\xdd" + bytes(outer)
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.sendto(frame, ("eth0", 0))

    def refused() -> int:
        table = gw2.call(Path("/proc/thread-self/net/xfrm_stat").read_text)
        return {line.split()[0]: int(line.split()[1]) for line in table.splitlines()}[
            "XfrmInTmplMismatch"
        ]

    before = refused()
    gw1.call(send)
    until(lambda: refused() == before + 1, "refused")


def test_nothing_of_a_killed_gateway_stays(lab: Lab, gateways: tuple[LabHost, LabHost]) -> None:
    gw1, gw2 = gateways
    assert gw1.daemon is not None
    os.kill(gw1.daemon.pid, signal.SIGKILL)
    until(lambda: gw1.daemon is None, "killed")
    left = gw1.run(["ip", "-d", "link", "show", "type", "ip6tnl"]).stdout
    assert device_to(gw2) in left
    gw1.run(["ip", "link", "add", "other", "type", "ip6tnl", "local", "::", "remote", "fd99::1"])
    gw1.start_daemon()
    until(lambda: gw1.daemon is not None and is_ready(gw1), "ready again")
    ping(lab.host("web1"), WEB2[4])
    until(lambda: carriers(gw1) == {"kernel"}, "in the kernel again")
    until(lambda: routed_to(gw1, 4, "192.168.8.0/24") == device_to(gw2), "routed again")
    ping(lab.host("web2"), WEB1[6])
    assert gw1.daemon is not None
    os.kill(gw1.daemon.pid, signal.SIGTERM)
    until(lambda: gw1.daemon is None, "stopped")
    left = gw1.run(["ip", "link", "show", "type", "ip6tnl"]).stdout
    assert device_to(gw2) not in left
    assert "other" in left
    assert counted(gw2, "subnet_source") == 0
