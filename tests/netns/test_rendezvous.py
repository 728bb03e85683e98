"""Peers behind rendezvous servers, on the real kernel (RFC 8004; RFC 8046 section 3.2.3).

a hip0 | eth0 10.77.0.1 ---- 10.77.0.9 r 10.78.0.9 ---- eth0 10.78.0.2 | hip0 b

r routes between both wires, and forwards I1s and UPDATEs that are addressed to itself.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from ipaddress import ip_address, ip_interface
from pathlib import Path

import pytest

from hipgw.lab.capture import sightings
from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.lab.topology import Host, Link, Port, Topology
from hipgw.wire import PacketType
from tests.netns.forwarder import Forwarder
from tests.netns.seen import said
from tests.netns.streams import CountingStream, until

pytestmark = pytest.mark.netns

SERVERS = {"a": "10.77.0.9", "b": "10.78.0.9"}


def port(host: str, interface: str, address: str) -> Port:
    return Port(host, interface, (ip_interface(f"{address}/24"),))


def topology() -> Topology:
    wires = (
        Link((port("a", "eth0", "10.77.0.1"), port("r", "eth0", SERVERS["a"]))),
        Link((port("b", "eth0", "10.78.0.2"), port("r", "eth1", SERVERS["b"]))),
    )
    return Topology("rendezvous", (Host("a"), Host("b"), Host("r", speaks_hip=False)), wires)


def know_servers(host: LabHost, *servers: str) -> None:
    """The host knows its peer by rendezvous servers, and by no address."""
    file = host.files.config
    listed = ", ".join(f'"{server}"' for server in servers)
    file.write_text(re.sub(r"(?m)^addresses = .*$", f"via = [{listed}]", file.read_text()))


def route(host: LabHost) -> None:
    host.run(["ip", "route", "replace", "default", "via", SERVERS[host.name]])


@contextlib.contextmanager
def lab_of(name: str, *servers: str) -> Iterator[tuple[Lab, Forwarder]]:
    settings = {"hip": {"announce_locators": True}}
    with Lab(topology(), name=f"rvs-{name}-{os.getpid()}", settings=settings) as lab:
        a, b, r = (lab.host(each) for each in "abr")
        r.run(["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"])
        for host in (a, b):
            route(host)
            know_servers(host, *servers, SERVERS[host.name])
        lab.start_daemons()
        for host in (a, b):
            until(lambda h=host: h.ask("locators")["locators"] != [], f"{host.name} knows itself")
        homes = {a.hit: ip_address("10.77.0.1"), b.hit: ip_address("10.78.0.2")}
        with Forwarder(r, homes) as forwarder:
            yield lab, forwarder


def path_of(host: LabHost) -> tuple[str, str]:
    (entry,) = host.ask("associations")["associations"]
    return entry["local_address"], entry["peer_address"]


def test_a_peer_without_an_address_is_reached_through_its_server(tmp_path: Path) -> None:
    # The first two servers do not exist: the first answer wins.
    with lab_of("i1", "10.79.0.1", "10.79.0.2") as (lab, forwarder):
        a, b = lab.host("a"), lab.host("b")
        file = tmp_path / "hip.pcap"
        with a.capture(file):
            a.run(["ping", "-n", "-c", "1", "-W", "30", str(b.hit)])
            until(lambda: len(sightings(file)) >= 8, "base exchange and ping")
        assert path_of(a) == ("10.77.0.1", "10.78.0.2")
        seen = [(each.packet_type, str(each.destination)) for each in said(file)]
        i1s = [to for kind, to in seen if kind is PacketType.I1]
        assert i1s == ["10.79.0.1", "10.79.0.2", "10.77.0.9"]
        assert (PacketType.I2, "10.78.0.2") in seen
        assert [each for each in seen if each[1] == "10.77.0.9"] == [(PacketType.I1, "10.77.0.9")]
        assert set(forwarder.forwarded) == {PacketType.I1}


def test_both_hosts_move_at_once() -> None:
    """The double jump (F131): only their servers learn where both have gone."""
    with lab_of("jump") as (lab, forwarder):
        a, b = lab.host("a"), lab.host("b")
        with CountingStream(a, b) as stream:
            stream.wait_for_more()
            forwarder.registered = {
                a.hit: ip_address("10.77.0.101"),
                b.hit: ip_address("10.78.0.102"),
            }
            for host, new in ((a, "10.77.0.101/24"), (b, "10.78.0.102/24")):
                host.run(["ip", "address", "flush", "dev", "eth0", "scope", "global"])
                host.run(["ip", "address", "add", new, "dev", "eth0"])
                route(host)
            until(
                lambda: path_of(a) == path_of(b)[::-1] == ("10.77.0.101", "10.78.0.102"),
                lambda: f"both have found each other: {path_of(a)} {path_of(b)}",
            )
            stream.wait_for_more()
        assert PacketType.UPDATE in forwarder.forwarded
        for host in (a, b):
            assert " closed " not in host.files.log.read_text()
