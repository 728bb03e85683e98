"""Every suite, outer family and encapsulation through daemons: kernel to kernel, and to user space.

    b kernel | eth0 10.77.0.2, fd00:77::2 --- eth0 a eth1 --- eth0 10.78.0.2, fd00:78::2 | c user

b and c offer everything, and a is started anew with one suite at a time.
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_interface
from pathlib import Path
from typing import Final

import pytest

from hipgw.crypto import PrivateHostIdentity
from hipgw.daemon.config_readers import ESP_SUITES, ESP_SUITES_V1
from hipgw.daemon.underlay import link_mtu
from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.lab.topology import Host, Link, Port, Topology
from hipgw.netlink.xfrm import Mode, Selector
from hipgw.values import Hit
from tests.kernel.daemons import (
    carried,
    current,
    echoed,
    is_up,
    kill,
    our_policies,
    our_states,
    ping,
    until,
)

Way = tuple[int, str]
EVERYWHERE: Final[list[Way]] = [(4, "raw"), (6, "raw"), (4, "udp"), (6, "udp")]
SUITES: Final[dict[str, list[Way]]] = {
    "aes-128-gcm-16": EVERYWHERE,
    "aes-128-cbc-hmac-sha256": [(4, "raw"), (6, "udp")],
    "aes-256-cbc-hmac-sha256": [(6, "raw")],
    "null-hmac-sha256": [(4, "udp")],
    "aes-128-ccm-16": [(4, "raw")],
    "aes-128-gmac": [(6, "raw")],
}
SUITES_V1: Final = ["aes-128-cbc-hmac-sha1", "3des-cbc-hmac-md5"]
NETWORKS: Final = {"b": 77, "c": 78}
WINDOW_PACKETS: Final = 1024


def wire(host: str, interface: str, network: int, number: int) -> Port:
    texts = (f"10.{network}.0.{number}/24", f"fd00:{network}::{number}/64")
    return Port(host, interface, tuple(map(ip_interface, texts)))


def topology() -> Topology:
    links = (
        Link((wire("a", "eth0", 77, 1), wire("b", "eth0", 77, 2))),
        Link((wire("a", "eth1", 78, 1), wire("c", "eth0", 78, 2))),
    )
    return Topology("matrix", (Host("a"), Host("b"), Host("c")), links)


@dataclass(frozen=True)
class Names:
    """Both HITs of each host, by its name."""

    v2: dict[str, Hit]
    v1: dict[str, Hit]

    @classmethod
    def of(cls, lab: Lab) -> Names:
        v1 = {}
        for host in lab.hosts:
            [file] = host.files.keys.glob("*.pem")
            v1[host.name] = PrivateHostIdentity.from_pem(file.read_bytes()).hit_v1
        return cls({host.name: host.hit for host in lab.hosts}, v1)


def configure(host: LabHost, peers: str, *changes: tuple[str, str, object]) -> None:
    """Other peers, and other values of some keys (section, key, value)."""
    head = host.files.config.read_text().partition("[[peer]]")[0]
    for section, key, value in changes:
        line = rf"(\[{section}\]\n(?:.+\n)*?{key} = ).*"
        head, count = re.subn(line, rf"\g<1>{json.dumps(value)}", head)
        assert count == 1
    host.files.config.write_text(head + peers)


def entry(hit: Hit, name: str, address: str, encapsulation: str) -> str:
    return (
        f'[[peer]]\nname = "{name}"\nhit = "{hit}"\naddresses = ["{address}"]\n'
        f'encapsulation = "{encapsulation}"\nlegacy = {json.dumps(hit.version == 1)}\n'
    )


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    settings = {
        "datapath": {"backend": "kernel"},
        "hip": {"esp_suites": [*SUITES]},
        "legacy": {"esp_suites": SUITES_V1},
    }
    with Lab(topology(), name="matrix", key_kind="rsa-2048", settings=settings) as made:
        names = Names.of(made)
        for name, network in NETWORKS.items():
            near = f"10.{network}.0.1"
            peers = entry(names.v2["a"], "a", near, "raw") + entry(names.v1["a"], "a1", near, "raw")
            backend = "user" if name == "c" else "kernel"
            configure(made.host(name), peers, ("datapath", "backend", backend))
            start(made.host(name))
        yield made


@pytest.fixture(scope="module")
def names(lab: Lab) -> Names:
    return Names.of(lab)


def start(host: LabHost) -> None:
    host.start_daemon()
    until(lambda: is_up(host), host.log_tail)


def start_with(a: LabHost, section: str, suite: str) -> None:
    """Start a anew; it offers this suite alone."""
    configure(a, "", (section, "esp_suites", [suite]))
    if a.daemon is not None:
        kill(a, signal.SIGTERM)
        until(lambda: a.daemon is None, "a has ended")
        a.reap()
    start(a)


def take_way(a: LabHost, hits: dict[str, Hit], way: Way) -> None:
    """Reach b and c over this family and encapsulation from now on."""
    family, encapsulation = way
    a.run(["hipgw", "close", "--all"])
    until(lambda: a.ask("associations")["associations"] == [], "closed")
    places = {
        name: f"10.{network}.0.2" if family == 4 else f"fd00:{network}::2"
        for name, network in NETWORKS.items()
    }
    configure(a, "".join(entry(hits[name], name, places[name], encapsulation) for name in places))
    a.ask("reload")


def suite_name(suite: str, hits: dict[str, Hit]) -> str:
    return (ESP_SUITES if hits["a"].version == 2 else ESP_SUITES_V1)[suite].name


def check(lab: Lab, hits: dict[str, Hit], way: Way, suite: str) -> None:
    """Packets go both ways, and each kernel carries what it should, behind its window."""
    a = lab.host("a")
    for name in NETWORKS:
        other = lab.host(name)
        ping(a, hits[name])
        whole = ["-M", "do", "-s", str(mtu_octets(other) - 48)]
        ping(other, hits["a"], 1, *whole)
        assert echoed(a, hits["a"], other, hits[name])
        assert echoed(other, hits[name], a, hits["a"], 5_000)
        carried("kernel", a, peer=hits[name])
        carried("user" if name == "c" else "kernel", other, peer=hits["a"])
        suites = {sa["suite"] for sa in current(a, hits[name]).values()}
        assert suites == {suite_name(suite, hits)}, (way, name)
    assert [fragments(lab.host(name)) for name in "ab"] == [0, 0]
    check_tables(a, hits["a"], {hits[name] for name in NETWORKS}, way)
    check_tables(lab.host("b"), hits["b"], {hits["a"]}, way)


def mtu_octets(host: LabHost) -> int:
    """Of hip0."""
    return host.call(lambda: link_mtu("hip0")) or 0


def fragments(host: LabHost) -> int:
    """Outer packets that a host had to cut."""

    def read() -> int:
        directory = Path("/proc/thread-self/net")
        names, numbers = (directory / "snmp").read_text().splitlines()[:2]
        ipv4 = dict(zip(names.split(), numbers.split(), strict=True))
        ipv6 = dict(line.split() for line in (directory / "snmp6").read_text().splitlines())
        return int(ipv4["FragCreates"]) + int(ipv6["Ip6FragCreates"])

    return host.call(read)


def check_tables(host: LabHost, here: Hit, peers: set[Hit], way: Way) -> None:
    """Two states and two policies for each peer, exact in their selectors, with a window."""
    family, encapsulation = way
    pairs = {(IPv6Address(here.packed), IPv6Address(peer.packed)) for peer in peers}
    wanted = pairs | {(peer, own) for own, peer in pairs}
    states, policies = our_states(host), our_policies(host)
    assert {ends(report.state.selector) for report in states} == wanted
    assert {ends(policy.selector) for policy in policies} == wanted
    assert len(states) == len(policies) == len(wanted)
    for report in states:
        state = report.state
        assert state.mode is Mode.BEET
        assert state.replay_esn is not None
        assert state.replay_esn.window_packets == WINDOW_PACKETS
        assert state.destination.version == family
        assert (state.encapsulation is not None) == (encapsulation == "udp")
        assert report.usage.packets > 0
        assert (report.failures.replay, report.failures.integrity) == (0, 0)


def ends(selector: Selector | None) -> tuple[object, object]:
    assert selector is not None
    assert (selector.source_bits, selector.destination_bits) == (128, 128)
    return selector.source, selector.destination


@pytest.mark.parametrize("suite", SUITES)
def test_suites(lab: Lab, names: Names, suite: str) -> None:
    start_with(lab.host("a"), "hip", suite)
    for way in SUITES[suite]:
        take_way(lab.host("a"), names.v2, way)
        check(lab, names.v2, way, suite)


@pytest.mark.parametrize("suite", SUITES_V1)
def test_suites_of_hipv1(lab: Lab, names: Names, suite: str) -> None:
    a = lab.host("a")
    start_with(a, "legacy", suite)
    take_way(a, names.v1, (4, "raw"))
    check(lab, names.v1, (4, "raw"), suite)
