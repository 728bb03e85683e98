r"""Hosts that know no HIP, behind two gateways that do.

web1 192.168.7.2   fd00:7::2   --\                          /-- web2 192.168.8.2   fd00:8::2
                                  gw1 eth0 ---- eth0 gw2
db1  192.168.7.130 fd00:7::1:2 --/                          \-- db2  192.168.8.130 fd00:8::1:2
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw
from scapy.utils import rdpcap

from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.lab.topology import datacenter
from tests.netns.streams import until
from tests.netns.test_daemon import interfaces_of, ping, stop, wait_ready

pytestmark = pytest.mark.netns

PATIENCE_S = 60.0
WEB2 = {4: "192.168.8.2", 6: "fd00:8::2"}
WEB1 = {4: "192.168.7.2", 6: "fd00:7::2"}
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


@contextlib.contextmanager
def center(name: str, **options: object) -> Iterator[Lab]:
    sizes = {key: options.pop(key) for key in list(options) if key.endswith("mtu_octets")}
    topology = datacenter(**sizes)  # type: ignore[arg-type]
    with Lab(topology, name=f"gateway-{name}-{os.getpid()}", **options) as lab:  # type: ignore[arg-type]
        lab.start_daemons()
        yield lab


def counted(host: LabHost, reason: str) -> int:
    return {drop["reason"]: int(drop["count"]) for drop in host.ask("drops")["drops"]}[reason]


def transfer(source: LabHost, target: LabHost, family: int, octets: int) -> None:
    """A TCP connection from host to host, whose octets all arrive."""
    address = (WEB2 if target.name == "web2" else WEB1)[family]

    def listen() -> socket.socket:
        made = socket.create_server((address, 0), family=FAMILIES[family])
        made.settimeout(PATIENCE_S)
        return made

    sent = os.urandom(octets)
    with target.call(listen) as server:
        port = server.getsockname()[1]
        client = source.call(lambda: socket.create_connection((address, port), timeout=PATIENCE_S))
        accepted, _ = server.accept()
        with client, accepted:
            accepted.settimeout(PATIENCE_S)
            thread = threading.Thread(
                target=lambda: (client.sendall(sent), client.shutdown(socket.SHUT_WR))
            )
            thread.start()
            with accepted.makefile("rb") as stream:
                assert stream.read() == sent
            thread.join()


def datagrams(source: LabHost, target: LabHost, family: int, sizes: list[int]) -> None:
    with (
        target.call(lambda: socket.socket(FAMILIES[family], socket.SOCK_DGRAM)) as server,
        source.call(lambda: socket.socket(FAMILIES[family], socket.SOCK_DGRAM)) as client,
    ):
        server.bind((WEB2[family], 0))
        server.settimeout(PATIENCE_S)
        for size in sizes:
            client.sendto(bytes(size), server.getsockname()[:2])
            assert len(server.recv(65535)) == size


@pytest.mark.parametrize(("encapsulation", "family"), [("raw", 4), ("udp", 6)])
def test_hosts_behind_gateways_talk(encapsulation: str, family: int, tmp_path: Path) -> None:
    with center(f"{encapsulation}{family}", encapsulation=encapsulation, family=family) as lab:
        web1, web2, gw1, gw2 = (lab.host(name) for name in ("web1", "web2", "gw1", "gw2"))
        ping(web1, WEB2[4])
        for inner in (4, 6):
            ping(web1, WEB2[inner])
            ping(lab.host("db2"), WEB1[inner], "-M", "do", "-s", "8800")
            ping(gw1, WEB2[inner])
            transfer(web1, web2, inner, 5_000_000)
            datagrams(web1, web2, inner, [0, 1, 1400, 8800, 20_000])
        with gw2.capture(
            tmp_path / "class.pcap", filters="src host " + str(gw1.addresses[family == 6])
        ) as captured:
            ping(web1, WEB2[4], "-Q", "0xb8")
            ping(web1, WEB2[6], "-Q", "0x28")
        outer = [
            packet[IP].tos if IP in packet else packet[IPv6].tc
            for packet in rdpcap(str(captured.path))
        ]
        assert {0xB8, 0x28} <= set(outer)
        counters = {row["name"]: row["detail"] for row in gw2.ask("doctor")["checks"]}["offload"]
        found = re.search(r"coalesced_out (\d+)", counters)
        assert found is not None
        assert int(found[1]) > 50, counters
        (peer,) = gw1.ask("peers")["peers"]
        assert peer["subnets"] == ["192.168.8.0/24", "fd00:8::/64"]
        assert peer["state"] == "ESTABLISHED"
        assert "subnets: 192.168.8.0/24, fd00:8::/64" in gw1.run(["hipgw", "status"]).stdout
        assert "hip0" not in interfaces_of(web1)


def test_a_source_of_others_is_dropped_and_counted() -> None:
    with center("spoof") as lab:
        web1, gw1, gw2 = (lab.host(name) for name in ("web1", "gw1", "gw2"))
        ping(web1, WEB2[4])
        gw1.run(
            ["sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.eth1.rp_filter=0"]
        )

        def spoof() -> None:
            for layer, kind in (
                (IP(src="192.168.99.9", dst=WEB2[4]), socket.AF_INET),
                (IPv6(src="fd00:99::9", dst=WEB2[6]), socket.AF_INET6),
            ):
                with socket.socket(kind, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
                    raw.sendto(bytes(layer / UDP(dport=9) / Raw(b"spoofed")), (layer.dst, 0))

        web1.call(spoof)
        until(lambda: counted(gw2, "subnet_source") == 2, "both are counted")
        assert "subnet_source" in gw2.run(["hipgw", "drops"]).stdout


def test_a_third_network_is_neither_reached_nor_routed() -> None:
    with center("third") as lab:
        web1, gw1, gw2 = (lab.host(name) for name in ("web1", "gw1", "gw2"))
        config = gw1.files.config
        text = config.read_text()
        wider = '"192.168.8.0/24", "172.16.0.0/12"'
        config.write_text(text.replace('"192.168.8.0/24"', wider))
        daemon = gw1.daemon
        assert daemon is not None
        os.kill(daemon.pid, signal.SIGHUP)
        until(lambda: "172.16.0.0/12" in gw1.run(["ip", "route"]).stdout, "the reload routes it")
        web1.run(["ping", "-n", "-c", "1", "-W", "1", "172.16.0.9"], check=False)
        until(lambda: counted(gw2, "subnet_destination") == 1, "gw2 counts it")
        config.write_text(text)
        os.kill(daemon.pid, signal.SIGHUP)
        until(lambda: "172.16.0.0/12" not in gw1.run(["ip", "route"]).stdout, "and takes it back")
        ping(web1, WEB2[6])


def test_nothing_of_a_killed_gateway_stays_and_a_new_one_works() -> None:
    with center("kill") as lab:
        web1, gw1 = lab.host("web1"), lab.host("gw1")
        ping(web1, WEB2[4])
        assert "192.168.8.0/24 dev hip0" in gw1.run(["ip", "route"]).stdout
        assert stop(gw1, signal.SIGKILL) == -signal.SIGKILL
        for command in (["ip", "route"], ["ip", "-6", "route"]):
            routes = gw1.run(command).stdout
            assert "hip0" not in routes
            assert ":8::" not in routes
            assert "192.168.8" not in routes
        gw1.start_daemon()
        wait_ready(gw1)
        ping(web1, WEB2[4])
        ping(web1, WEB2[6])
        assert stop(gw1) == 0
        assert interfaces_of(gw1) == {"lo", "eth0", "eth1", "eth2"}


def test_the_mss_is_clamped_and_a_longer_packet_is_answered(tmp_path: Path) -> None:
    """Jumbo wires behind the gateways, an ordinary one between them."""
    with center("mss", mtu_octets=1500, inside_mtu_octets=9000) as lab:
        web1, web2, gw1 = (lab.host(name) for name in ("web1", "web2", "gw1"))
        ping(web1, WEB2[4])
        with web2.capture(tmp_path / "syn.pcap", filters="tcp or ip6") as captured:
            for family in (4, 6):
                transfer(web1, web2, family, 500_000)
        syns = [packet for packet in rdpcap(str(captured.path)) if TCP in packet]
        sizes = {
            (6 if IPv6 in packet else 4, str(packet[TCP].flags)): dict(packet[TCP].options)["MSS"]
            for packet in syns
            if "S" in packet[TCP].flags
        }
        # AES-GCM-16 over raw ESP and IPv4 carries 1500 - 20 - 8 - 8 - 16 - 2, in fours: 1446.
        assert sizes[4, "S"] == 1446 - 40
        assert sizes[6, "S"] == 1446 - 60
        assert counted(gw1, "too_big") == 0
        for family in (4, 6):
            octets = answered_mtu(web1, WEB2[family])
            assert 1280 <= octets <= 1446
            ping(web1, WEB2[family], "-M", "do", "-s", str(octets - 48))


def answered_mtu(host: LabHost, target: str) -> int:
    """What a host is told when it sends more than the path carries."""
    heard: list[int] = []

    def is_told() -> bool:
        command = ["ping", "-n", "-c", "2", "-W", "2", "-M", "do", "-s", "4000", target]
        said = host.run(command, check=False)
        heard.extend(map(int, re.findall(r"mtu[ =:]+(\d+)", said.stdout + said.stderr)))
        return bool(heard)

    until(is_told, f"the MTU towards {target}")
    return heard[0]


def tunnel_of_the_kernel(host: LabHost, local: object, remote: object) -> None:
    """Encapsulation and decapsulation of RFC 2473 between two HITs, by the kernel of `host`.

    An ip6tnl device does the same, but not every kernel has it.  The HIT is an address of the host,
    so the rule for such addresses gives way to those that take the tunnel's packets.
    """
    for command in (
        f"sr tunsrc set {local}",
        f"route add 192.168.7.0/24 encap seg6 mode encap.red segs {remote} dev hip0",
        f"-6 route add fd00:7::/64 encap seg6 mode encap.red segs {remote} dev hip0",
        "-6 rule add pref 10 lookup local",
        "-6 rule del pref 0",
        "-6 rule add pref 4 ipproto 4 lookup 104",
        "-6 rule add pref 5 ipproto 41 lookup 141",
        f"-6 route add {local}/128 table 104 encap seg6local action End.DX4 nh4 0.0.0.0 dev hip0",
        f"-6 route add {local}/128 table 141 encap seg6local action End.DX6 nh6 :: dev hip0",
    ):
        host.run(["ip", *command.split()])


@pytest.mark.parametrize("encapsulation", ["raw", "udp"])
def test_a_tunnel_of_the_kernel_is_the_far_end(encapsulation: str) -> None:
    """gw2 has a daemon without subnets, and its kernel has a tunnel between the two HITs."""
    with Lab(
        datacenter(),
        name=f"gateway-tunnel-{encapsulation}-{os.getpid()}",
        encapsulation=encapsulation,  # type: ignore[arg-type]
    ) as lab:
        gw1, gw2, web1, web2 = (lab.host(name) for name in ("gw1", "gw2", "web1", "web2"))
        text = gw2.files.config.read_text()
        text, count = re.subn(r"^(local_)?subnets = .*\n", "", text, flags=re.M)
        assert count == 2
        gw2.files.config.write_text(text)
        lab.start_daemons()
        tunnel_of_the_kernel(gw2, gw2.hit, gw1.hit)
        for family in (4, 6):
            ping(web2, WEB1[family])
            ping(web1, WEB2[family])
            ping(web1, WEB2[family], "-s", "8000", "-M", "do")
            transfer(web1, web2, family, 1_000_000)
        assert counted(gw1, "subnet_source") == 0
        assert gw2.ask("status")["local_subnets"] == []


def test_queues_take_packets_to_subnets() -> None:
    """A jumbo wire, and an ordinary one behind the far gateway: TCP knows, and so must we."""
    with center("nfqueue", settings={"datapath": {"intercept": "nfqueue"}}) as lab:
        web1, web2, gw1, gw2 = (lab.host(name) for name in ("web1", "web2", "gw1", "gw2"))
        for host, interface in ((gw2, "eth1"), (web2, "eth0")):
            host.run(["ip", "link", "set", interface, "mtu", "1500"])
        ping(web1, WEB2[4])
        for family in (4, 6):
            before = gw1.ask("packets")["packets"]
            transfer(web1, web2, family, 5_000_000)
            after = gw1.ask("packets")["packets"]
            assert after["queue_rx"] - before["queue_rx"] > 1000
            assert after["queue_left"] == before["queue_left"]
            transfer(web2, web1, family, 1_000_000)
            datagrams(web1, web2, family, [0, 1, 1400])
        ping(gw1, WEB2[4])
        rules = gw1.run(["iptables-save"]).stdout + gw1.run(["ip6tables-save"]).stdout
        for subnet in ("192.168.8.0/24", "fd00:8::/64"):
            assert rules.count(f"-d {subnet} -o hip0") == 2, "OUTPUT and FORWARD"
        # A reload brings a subnet and takes one.
        config = gw1.files.config
        text = config.read_text()
        config.write_text(text.replace('"192.168.8.0/24"', '"192.168.8.0/25", "172.16.0.0/12"'))
        daemon = gw1.daemon
        assert daemon is not None
        os.kill(daemon.pid, signal.SIGHUP)
        until(lambda: "-d 172.16.0.0/12" in gw1.run(["iptables-save"]).stdout, "the new one")
        until(lambda: "192.168.8.0/24" not in gw1.run(["iptables-save"]).stdout, "the old one goes")
        before = gw1.ask("packets")["packets"]
        ping(web1, WEB2[4])
        # Counters are brought up to date after a batch was sent.
        until(lambda: gw1.ask("packets")["packets"]["queue_rx"] > before["queue_rx"], "queued")
        assert stop(gw1) == 0
        assert "HIPGW" not in gw1.run(["iptables-save"]).stdout
