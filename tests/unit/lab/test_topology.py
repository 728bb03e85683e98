from __future__ import annotations

from ipaddress import ip_address, ip_interface

import pytest

from hipgw.errors import LocalProtocolError
from hipgw.lab.topology import TOPOLOGIES, Host, Link, Port, Topology, pair


def test_pair_has_two_hosts_on_one_subnet_of_each_family() -> None:
    topology = pair()
    assert [host.name for host in topology.hosts] == ["a", "b"]
    assert topology.addresses_of("a") == (ip_address("10.77.0.1"), ip_address("fd00:77::1"))
    assert topology.addresses_of("b") == (ip_address("10.77.0.2"), ip_address("fd00:77::2"))
    networks = [{address.network for address in port.addresses} for port in topology.links[0].ends]
    assert networks[0] == networks[1]


@pytest.mark.parametrize(("underlay", "versions"), [("v4", {4}), ("v6", {6}), ("both", {4, 6})])
def test_pair_takes_the_underlay_that_was_asked_for(underlay: str, versions: set[int]) -> None:
    topology = TOPOLOGIES["pair"](underlay=underlay, mtu_octets=9000)
    assert {address.version for address in topology.addresses_of("a")} == versions
    assert [link.mtu_octets for link in topology.links] == [9000]


@pytest.mark.parametrize("mtu_octets", [0, 1279, 65536, -1])
def test_an_mtu_that_cannot_carry_ipv6_is_refused(mtu_octets: int) -> None:
    with pytest.raises(LocalProtocolError, match=f"MTU {mtu_octets}: expected 1280 to 65535"):
        pair(mtu_octets=mtu_octets)


@pytest.mark.parametrize("name", ["", "A", "a-b", "a b", "../x", "abcdefghijklm", "1a"])
def test_a_host_name_that_is_no_part_of_a_namespace_name_is_refused(name: str) -> None:
    with pytest.raises(LocalProtocolError, match="host name"):
        Topology("t", (Host(name),), ())


def test_two_hosts_of_one_name_are_refused() -> None:
    with pytest.raises(LocalProtocolError, match="same name"):
        Topology("t", (Host("a"), Host("a")), ())


def test_a_link_needs_both_its_hosts() -> None:
    with pytest.raises(LocalProtocolError, match="'c', which is not a host"):
        Topology("t", (Host("a"),), (Link((Port("a", "eth0"), Port("c", "eth0"))),))


def test_an_interface_has_one_link_only() -> None:
    hosts = (Host("a"), Host("b"), Host("c"))
    links = (
        Link((Port("a", "eth0"), Port("b", "eth0"))),
        Link((Port("a", "eth0"), Port("c", "eth0"))),
    )
    with pytest.raises(LocalProtocolError, match="two links"):
        Topology("t", hosts, links)


def test_ports_and_addresses_come_in_the_order_of_the_links() -> None:
    first = Port("r", "eth0", (ip_interface("10.1.0.1/24"),))
    second = Port("r", "eth1", (ip_interface("10.2.0.1/24"),))
    topology = Topology(
        "routed",
        (Host("a"), Host("r", speaks_hip=False), Host("b")),
        (Link((Port("a", "eth0"), first)), Link((second, Port("b", "eth0")))),
    )
    assert topology.ports_of("r") == (first, second)
    assert topology.addresses_of("r") == (ip_address("10.1.0.1"), ip_address("10.2.0.1"))
    assert topology.addresses_of("a") == ()
