r"""TCP through a kernel tunnel opens with a segment size that fits it, by rules of our own alone.

web1 9000 --- 9000 gw1 1500 ------ 1500 gw2 9000 --- 9000 web2
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator

import pytest
from scapy.layers.inet import TCP
from scapy.layers.l2 import Ether

from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.lab.topology import datacenter
from hipgw.netlink.filter_chains import has_filter
from tests.kernel.daemons import (
    OPTIONS,
    PATIENCE_S,
    carried,
    doctor,
    is_up,
    kill,
    ping,
    unload,
    until,
)
from tests.kernel.test_refusals import no_modules
from tests.kernel.test_subnets import device_to, routed_to
from tests.netns.test_gateway import FAMILIES, WEB1, WEB2

ETH_P_ALL = 0x0003
HEADERS = {4: 40, 6: 60}
INSIDE_OCTETS = 9000
FOREIGN = "-A FORWARD -o eth9 -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1000"
TOOLS = ("iptables-legacy", "ip6tables-legacy", "iptables", "ip6tables")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    topology = datacenter(mtu_octets=1500, inside_mtu_octets=INSIDE_OCTETS)
    with Lab(topology, name="mss", settings=OPTIONS) as made:
        made.start_daemons(patience_s=PATIENCE_S)
        gw1, gw2 = made.host("gw1"), made.host("gw2")
        clamp(gw2, "false")  # so that all of it is gw1's
        ping(gw1, gw2)
        carried("kernel", gw1, gw2)
        until(lambda: is_routed(gw1, gw2) and is_routed(gw2, gw1), "routes on the tunnel")
        yield made


def is_routed(host: LabHost, peer: LabHost) -> bool:
    prefixes = {4: "192.168.8.0/24", 6: "fd00:8::/64"}
    if host.name == "gw2":
        prefixes = {4: "192.168.7.0/24", 6: "fd00:7::/64"}
    return all(routed_to(host, f, prefix) == device_to(peer) for f, prefix in prefixes.items())


def clamp(host: LabHost, word: str) -> None:
    """Let a daemon read a configuration with another `clamp_mss`."""
    text = host.files.config.read_text()
    old = next((one for one in text.splitlines() if one.startswith("clamp_mss")), None)
    if old is None:
        text = text.replace("[gateway]\n", f"[gateway]\nclamp_mss = {word}\n")
    else:
        text = text.replace(old, f"clamp_mss = {word}")
    host.files.config.write_text(text)
    host.ask("reload")


def heard(host: LabHost) -> socket.socket:
    """An ear at what arrives at a host that knows no HIP."""

    def listen() -> socket.socket:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        made.bind(("eth0", ETH_P_ALL))
        made.settimeout(PATIENCE_S)
        return made

    return host.call(listen)


def offered(ear: socket.socket, port: int) -> int:
    """The MSS of the next SYN to a port that arrives."""
    while True:
        octets, (_, _, kind, *_) = ear.recvfrom(65535)
        if kind == socket.PACKET_OUTGOING:
            continue
        segment = Ether(octets).getlayer(TCP)
        if segment is not None and segment.dport == port and "S" in segment.flags:
            return int(dict(segment.options)["MSS"])


def opening(client: LabHost, server: LabHost, family: int) -> tuple[int, int]:
    """The MSS that a server hears of, and the one that its client does."""
    near, far = (WEB1, WEB2) if server.name == "web2" else (WEB2, WEB1)
    with (
        server.call(
            lambda: socket.create_server((far[family], 0), family=FAMILIES[family])
        ) as door,
        client.call(lambda: socket.socket(FAMILIES[family], socket.SOCK_STREAM)) as way,
        heard(server) as at_server,
        heard(client) as at_client,
    ):
        way.settimeout(PATIENCE_S)
        way.bind((near[family], 0))
        way.connect((far[family], door.getsockname()[1]))
        return (
            offered(at_server, door.getsockname()[1]),
            offered(at_client, way.getsockname()[1]),
        )


def openings(lab: Lab, family: int) -> list[tuple[int, int]]:
    web1, web2 = lab.host("web1"), lab.host("web2")
    return [opening(web1, web2, family), opening(web2, web1, family)]


def unclamped(family: int) -> list[tuple[int, int]]:
    most = INSIDE_OCTETS - HEADERS[family]
    return [(most, most)] * 2


def clamped(gw1: LabHost, gw2: LabHost, family: int) -> list[tuple[int, int]]:
    [shown] = gw1.run(["ip", "-br", "link", "show", "dev", device_to(gw2)]).stdout.splitlines()
    assert "UP" in shown
    words = gw1.run(["ip", "link", "show", "dev", device_to(gw2)]).stdout.split()
    most = int(words[words.index("mtu") + 1]) - HEADERS[family]
    assert 1200 < most < 1460
    return [(most, most)] * 2


def rules(host: LabHost) -> list[str]:
    """All rules of the tables for this, whoever made them."""
    texts = (host.run([tool, "-t", "mangle", "-S"], check=False).stdout for tool in TOOLS)
    return [line for text in texts for line in text.splitlines() if not line.startswith("-P")]


def ours(host: LabHost) -> list[str]:
    return [line for line in rules(host) if "HIPGW-MSS-hip0" in line]


def test_both_ways_are_clamped_and_only_where_it_is_wanted(lab: Lab) -> None:
    gw1, gw2 = lab.host("gw1"), lab.host("gw2")
    until(lambda: "table mangle" in doctor(gw1, "TCP MSS")["detail"], gw1.log_tail)
    until(lambda: ours(gw2) == [], "none here")
    for family in (4, 6):
        assert openings(lab, family) == clamped(gw1, gw2, family)
    assert not gw1.call(has_filter), "it is in the way of nobody's raw ESP"
    clamp(gw1, "false")
    until(lambda: ours(gw1) == [], "no rules any more")
    for family in (4, 6):
        assert openings(lab, family) == unclamped(family)
    clamp(gw1, "true")
    until(lambda: "table mangle" in doctor(gw1, "TCP MSS")["detail"], gw1.log_tail)
    assert openings(lab, 4) == clamped(gw1, gw2, 4)
    carried("kernel", gw1, gw2)


def stop(host: LabHost, number: signal.Signals) -> None:
    kill(host, number)
    until(lambda: host.daemon is None, "it has ended")
    host.reap()


def start(host: LabHost) -> None:
    host.start_daemon()
    until(lambda: is_up(host), host.log_tail)


def test_rules_go_with_the_daemon_and_those_of_others_stay(lab: Lab) -> None:
    gw1, gw2 = lab.host("gw1"), lab.host("gw2")
    gw1.run(["ip6tables-legacy", "-t", "mangle", *FOREIGN.split()])
    until(lambda: len(ours(gw1)) > 0, gw1.log_tail)
    before = rules(gw1)
    stop(gw1, signal.SIGKILL)
    assert rules(gw1) == before, "nobody was there to take them away"
    start(gw1)
    ping(gw1, gw2)
    carried("kernel", gw1, gw2)
    until(lambda: sorted(rules(gw1)) == sorted(before), "each of them once")
    until(lambda: is_routed(gw1, gw2), "routes on the tunnel")
    assert openings(lab, 6) == clamped(gw1, gw2, 6)
    stop(gw1, signal.SIGTERM)
    assert rules(gw1) == [FOREIGN]
    # A kernel that has no such rules costs the clamping, and nothing else.
    gw1.run(["ip6tables-legacy", "-t", "mangle", "-D", *FOREIGN.split()[1:]])
    unload(gw1, "xt_TCPMSS")
    with no_modules():
        start(gw1)
        ping(gw1, gw2)
        carried("kernel", gw1, gw2)
        until(lambda: doctor(gw1, "TCP MSS")["outcome"] == "warn", gw1.log_tail)
        assert "no rule for it can be made" in doctor(gw1, "TCP MSS")["detail"]
        assert rules(gw1) == []
        until(lambda: is_routed(gw1, gw2), "routes on the tunnel")
        assert openings(lab, 4) == unclamped(4)
    kill(gw1, signal.SIGHUP)
    until(lambda: doctor(gw1, "TCP MSS")["outcome"] == "ok", "a reload tries again")
