"""ESP of protocol 50 straight to the next hop, with real links; see also test_datapath.

hipgw-NAME-a hip0 | eth0 ------ eth0 | hip0 hipgw-NAME-b
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Final

import pytest

from hipgw.errors import HostError
from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.netlink.filter_chains import has_filter
from hipgw.netlink.namespaces import run_inside
from hipgw.netlink.next_hop import NextHop, NextHopFinder
from hipgw.values import Address, Direction, Encapsulation
from tests.netns.test_datapath import (
    HITS,
    LOCATORS,
    TRANSFER_OCTETS,
    UDP,
    Node,
    datagrams,
    install,
    joined_namespaces,
    node,
    transfer,
)

pytestmark = pytest.mark.netns

PATIENCE_S: Final = 60.0
NO_INTERFACE: Final = 65000
FEW: Final = 10


def wait_until(is_so: Callable[[], bool]) -> None:
    limit = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < limit, "nothing happened for a minute"
        time.sleep(0.05)


def find(namespace: str, source: str, destination: str) -> NextHop | None:
    def ask() -> NextHop | None:
        with NextHopFinder() as finder:
            return finder.find(ip_address(source), ip_address(destination))

    return run_inside(namespace, ask)


def link_of(near: Node, far: Node) -> tuple[int, bytes]:
    """Number of our interface, and the link address of the other end."""
    (here,) = json.loads(near.ip("-j", "link", "show", f"v{near.number}"))
    (there,) = json.loads(far.ip("-j", "link", "show", f"v{far.number}"))
    return here["ifindex"], bytes.fromhex(there["address"].replace(":", ""))


def tell(near: Node, interface: int, address: bytes) -> None:
    for row in near.backend.statistics():
        if row.direction is Direction.OUT:
            assert row.local_hit is not None
            assert row.peer_hit is not None
            hits = row.local_hit.packed, row.peer_hit.packed
            assert near.path.set_link(row.spi, *hits, interface, address)


@pytest.fixture(scope="module")
def nodes() -> Iterator[tuple[Node, Node]]:
    with joined_namespaces() as names, node(names[0], 0) as a, node(names[1], 1) as b:
        yield a, b


@pytest.mark.parametrize("family", [4, 6])
def test_finder_says_what_the_kernel_would_do(nodes: tuple[Node, Node], family: int) -> None:
    a, b = nodes
    here, there = LOCATORS[family]
    nobody = here.rpartition("1")[0] + "99"
    assert find(a.namespace, here, nobody) is None, "a neighbour that does not answer"
    assert find(a.namespace, here, here) is None, "ourselves"
    assert find(a.namespace, here, {4: "192.0.2.1", 6: "2001:db8::1"}[family]) is None, "no route"
    run_inside(a.namespace, lambda: os.system(f"ping -n -c 1 -W 5 {there} >/dev/null"))  # noqa: S605 - a literal
    assert find(a.namespace, here, there) == NextHop(*link_of(a, b))
    far = {4: "198.51.100.7", 6: "2001:db8:7::7"}[family]
    a.ip("route", "add", far, "via", there)
    assert find(a.namespace, here, far) == NextHop(*link_of(a, b)), "by way of a router"
    a.ip("route", "replace", "unreachable", far)
    assert find(a.namespace, here, far) is None
    a.ip("route", "flush", "to", far)


@pytest.mark.parametrize("family", [4, 6])
def test_packets_go_to_the_next_hop(nodes: tuple[Node, Node], family: int) -> None:
    a, b = nodes
    before = a.path.counters()
    install(nodes, family, Encapsulation.RAW)
    for near, far in (nodes, nodes[::-1]):
        tell(near, *link_of(near, far))
    began_s = time.monotonic()
    assert a.is_answered(HITS[1], 3, "-s", "1300")
    datagrams(a, b, HITS[1])
    transfer(a, b, HITS[1])

    def most_went_there() -> bool:
        # Counters are brought up to date after a batch was sent.
        rose = {name: value - before[name] for name, value in a.path.counters().items()}
        by_socket = rose["esp_tx"] - rose["link_tx"]
        # The first packet, and one a second; and what an earlier test left before the next hop was
        # known.
        few = FEW + time.monotonic() - began_s
        return rose["link_tx"] > TRANSFER_OCTETS / 1500 and 1 <= by_socket <= few

    wait_until(most_went_there)
    assert a.path.counters()["link_refused"] == before["link_refused"]


@pytest.mark.parametrize("family", [4, 6])
def test_what_the_device_refuses_goes_by_the_socket(nodes: tuple[Node, Node], family: int) -> None:
    a, b = nodes
    install(nodes, family, Encapsulation.RAW)
    assert a.is_answered(HITS[1], 1)
    tell(a, NO_INTERFACE, bytes(range(2, 8)))
    before = a.path.counters()
    datagrams(a, b, HITS[1])
    wait_until(lambda: a.path.counters()["link_refused"] > before["link_refused"])
    datagrams(a, b, HITS[1])
    after = a.path.counters()
    assert after["link_refused"] - before["link_refused"] == 1, "the next hop is left alone then"
    assert after["link_tx"] == before["link_tx"]
    assert after["send_error"] == before["send_error"]


def test_too_long_for_the_device_is_no_fault_of_the_next_hop(nodes: tuple[Node, Node]) -> None:
    a, b = nodes
    install(nodes, 4, Encapsulation.RAW)
    tell(a, *link_of(a, b))
    with b.socket(socket.AF_INET6, UDP) as server, a.socket(socket.AF_INET6, UDP) as client:
        server.bind((str(HITS[1]), 0))
        b.path.set_port_family(17, server.getsockname()[1], 6)
        client.connect(server.getsockname()[:2])
        # Nothing long comes back: a veth refuses to receive that, too.
        a.ip("link", "set", "v0", "mtu", "1300")
        try:
            before = a.path.counters()

            def crosses(payload: bytes, counter: str) -> bool:
                client.send(payload)
                assert server.recv(2000) == payload
                return a.path.counters()[counter] > before[counter]

            # In fragments by the socket, and then a short one to the next hop nevertheless.
            wait_until(lambda: crosses(bytes(1300), "link_refused"))
            wait_until(lambda: crosses(b"short", "link_tx"))
        finally:
            a.ip("link", "set", "v0", "mtu", "1500")
    assert a.path.counters()["send_error"] == before["send_error"]


def test_set_link_refuses_what_it_cannot_name(nodes: tuple[Node, Node]) -> None:
    a, _ = nodes
    install(nodes, 4, Encapsulation.RAW)
    hits = HITS[0].packed, HITS[1].packed
    assert a.path.set_link(0x999, *hits, 0, b"") is False
    for interface, address in ((1, bytes(5)), (0, bytes(6)), (65536, bytes(6)), (-1, bytes(6))):
        with pytest.raises(ValueError, match="interface"):
            a.path.set_link(0x999, *hits, interface, address)


# --- daemons


@contextlib.contextmanager
def pair(raw: str = "auto") -> Iterator[tuple[LabHost, LabHost]]:
    name = f"nexthop-{raw}-{os.getpid()}"
    with Lab.pair(name=name, encapsulation="raw", settings={"offload": {"raw": raw}}) as lab:
        lab.start_daemons()
        a, b = lab.host("a"), lab.host("b")
        wait_until(lambda: reaches(a, b))
        yield a, b


def answers(a: LabHost, destination: str) -> bool:
    try:
        a.run(["ping", "-n", "-c", "1", "-W", "1", destination])
    except HostError:
        return False
    return True


def reaches(a: LabHost, b: LabHost) -> bool:
    return answers(a, str(b.hit))


def raw_state(host: LabHost) -> str:
    [row] = [check for check in host.ask("doctor")["checks"] if check["name"] == "offload"]
    found = re.search(r"raw ESP: ([^;]*);", row["detail"])
    assert found is not None
    return found[1]


def by_link(host: LabHost) -> int:
    [row] = [check for check in host.ask("doctor")["checks"] if check["name"] == "offload"]
    found = re.search(r"link_tx (\d+)", row["detail"])
    assert found is not None
    return int(found[1])


def address_of(host: LabHost) -> Address:
    return next(address for address in host.addresses if address.version == 4)


def test_follows_neighbours_and_links() -> None:
    with pair() as (a, b):
        wait_until(lambda: raw_state(a) == "1 of 1 peers by next hop")
        before = by_link(a)
        wait_until(lambda: reaches(a, b) and by_link(a) > before)
        (old,) = json.loads(b.run(["ip", "-j", "link", "show", "eth0"]).stdout)
        new = "02:00:00:00:77:02"
        assert old["address"] != new
        quick = f"ip link set eth0 down; ip link set eth0 address {new}; ip link set eth0 up"
        b.run(["sh", "-c", quick])
        # A host that comes back under a new link address has to say so: where the break was short,
        # no kernel doubts a reachable neighbour for up to 45 s (ARP, RFC 1122 section 2.3.2.1).
        wait_until(lambda: answers(b, str(address_of(a))))
        wait_until(lambda: reaches(a, b))
        hop = find(a.namespace, str(address_of(a)), str(address_of(b)))
        assert hop is not None
        assert hop.address.hex(":") == new
        before = by_link(a)
        wait_until(lambda: reaches(a, b) and by_link(a) > before)


def test_stays_off_while_there_is_a_packet_filter() -> None:
    with pair() as (a, b):
        wait_until(lambda: raw_state(a) == "1 of 1 peers by next hop")
        assert not run_inside(a.namespace, has_filter)
        rule = ["OUTPUT", "-p", "esp", "-j", "DROP"]
        a.run(["iptables", "-w", "5", "-A", *rule])
        assert run_inside(a.namespace, has_filter)
        wait_until(lambda: raw_state(a).startswith("by socket (packet filter"))
        before = by_link(a)
        assert not reaches(a, b), "the operator's rule holds"
        assert by_link(a) == before
        assert not run_inside(b.namespace, has_filter), "a packet filter elsewhere says nothing"
        a.run(["iptables", "-w", "5", "-D", *rule])
        wait_until(lambda: raw_state(a) == "1 of 1 peers by next hop")
        wait_until(lambda: reaches(a, b))


def test_switch() -> None:
    with pair("socket") as (a, b):
        assert raw_state(a) == "by socket (as configured)"
        wait_until(lambda: reaches(a, b))
        assert by_link(a) == 0
