"""What a lab network looks like, as data: hosts, and the links between them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from ipaddress import (
    IPv4Interface,
    IPv4Network,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import Final, Literal

from hipgw.errors import LocalProtocolError
from hipgw.values import Address

InterfaceAddress = IPv4Interface | IPv6Interface
Network = IPv4Network | IPv6Network
Underlay = Literal["v4", "v6", "both"]

HOST_NAME: Final = re.compile(r"[a-z][a-z0-9]{0,11}")
INTERFACE_NAME: Final = re.compile(r"[a-z][a-z0-9.-]{0,14}")
MTU_LEAST_OCTETS: Final = 1280
"""IPv6 needs it (RFC 8200 section 5), and the HIP interface carries IPv6."""
MTU_MOST_OCTETS: Final = 65535


@dataclass(frozen=True, slots=True)
class Host:
    """A network namespace; one that speaks HIP gets keys, a configuration and a daemon."""

    name: str
    speaks_hip: bool = True
    subnets: tuple[Network, ...] = ()
    """Prefixes of hosts behind this one, which it forwards for."""
    routers: tuple[Address, ...] = ()
    """Default routers, at most one a family."""


@dataclass(frozen=True, slots=True)
class Port:
    """One end of a link."""

    host: str
    interface: str
    addresses: tuple[InterfaceAddress, ...] = ()
    is_inside: bool = False
    """Towards hosts that know no HIP: nothing of HIP goes there."""


@dataclass(frozen=True, slots=True)
class Link:
    """A veth pair."""

    ends: tuple[Port, Port]
    mtu_octets: int = 1500


@dataclass(frozen=True, slots=True)
class Topology:
    """A whole network; refuses one that cannot be built.

    Raises:
        LocalProtocolError: a bad name, an MTU out of range, or an end on a host that is not there.
    """

    name: str
    hosts: tuple[Host, ...]
    links: tuple[Link, ...]

    def __post_init__(self) -> None:
        names = [host.name for host in self.hosts]
        for name in names:
            if not HOST_NAME.fullmatch(name):
                raise LocalProtocolError(
                    f"host name {name!r}: expected up to 12 lower-case letters and digits"
                )
        if len(set(names)) != len(names):
            raise LocalProtocolError(f"topology {self.name}: two hosts have the same name")
        ports = [port for link in self.links for port in link.ends]
        for port in ports:
            if port.host not in names:
                raise LocalProtocolError(f"link end on {port.host!r}, which is not a host")
            if not INTERFACE_NAME.fullmatch(port.interface):
                raise LocalProtocolError(f"interface name {port.interface!r} is not usable")
        if len({(port.host, port.interface) for port in ports}) != len(ports):
            raise LocalProtocolError(f"topology {self.name}: an interface has two links")
        for link in self.links:
            if not MTU_LEAST_OCTETS <= link.mtu_octets <= MTU_MOST_OCTETS:
                raise LocalProtocolError(
                    f"MTU {link.mtu_octets}: expected {MTU_LEAST_OCTETS} to {MTU_MOST_OCTETS}"
                )

    def ports_of(self, host: str) -> tuple[Port, ...]:
        """The interfaces of a host, in the order of the links."""
        return tuple(port for link in self.links for port in link.ends if port.host == host)

    def addresses_of(self, host: str) -> tuple[Address, ...]:
        """All addresses of a host, in the order of the links."""
        return tuple(address.ip for port in self.ports_of(host) for address in port.addresses)

    def locators_of(self, host: str) -> tuple[Address, ...]:
        """The addresses at which others speak HIP to a host, in the order of the links."""
        outside = [port for port in self.ports_of(host) if not port.is_inside]
        return tuple(address.ip for port in outside for address in port.addresses)


def pair(*, mtu_octets: int = 1500, underlay: Underlay = "both") -> Topology:
    r"""Two hosts on one wire.

    ::

        a 10.77.0.1/24 fd00:77::1/64  eth0 ------ eth0  10.77.0.2/24 fd00:77::2/64 b
    """

    def port(host: str, number: int) -> Port:
        texts = {"v4": f"10.77.0.{number}/24", "v6": f"fd00:77::{number}/64"}
        wanted = [text for family, text in texts.items() if underlay in {family, "both"}]
        return Port(host, "eth0", tuple(ip_interface(text) for text in wanted))

    return Topology(
        "pair", (Host("a"), Host("b")), (Link((port("a", 1), port("b", 2)), mtu_octets),)
    )


def multihomed(*, mtu_octets: int = 1500, underlay: Underlay = "both") -> Topology:
    r"""Two hosts on two wires.

    ::

        a 10.77.0.1/24 fd00:77::1/64  eth0 ------ eth0  10.77.0.2/24 fd00:77::2/64 b
          10.78.0.1/24 fd00:78::1/64  eth1 ------ eth1  10.78.0.2/24 fd00:78::2/64
    """

    def port(host: str, number: int, wire: int) -> Port:
        texts = {"v4": f"10.{77 + wire}.0.{number}/24", "v6": f"fd00:{77 + wire}::{number}/64"}
        wanted = [text for family, text in texts.items() if underlay in {family, "both"}]
        return Port(host, f"eth{wire}", tuple(ip_interface(text) for text in wanted))

    wires = tuple(Link((port("a", 1, wire), port("b", 2, wire)), mtu_octets) for wire in (0, 1))
    return Topology("multihomed", (Host("a"), Host("b")), wires)


def datacenter(
    *, mtu_octets: int = 9000, underlay: Underlay = "both", inside_mtu_octets: int | None = None
) -> Topology:
    r"""Two gateways, and behind each two hosts that know nothing of HIP.

    ::

        web1 192.168.7.2   --- eth1 \                                / eth1 --- web2 192.168.8.2
             fd00:7::2              gw1 eth0 10.77.0.1 -- .2 eth0 gw2            fd00:8::2
        db1  192.168.7.130 --- eth2 /      fd00:77::1 -- ::2         \ eth2 --- db2  192.168.8.130
             fd00:7::1:2                                                         fd00:8::1:2

    The gateway is the first address of each wire: 192.168.7.1, fd00:7::1, 192.168.7.129,
    fd00:7::1:1.

    Args:
        mtu_octets: of the wire between the gateways.
        underlay: its families.
        inside_mtu_octets: of the wires to the hosts behind; None: the same.
    """
    gateways = []
    hosts = []
    links = list(pair(mtu_octets=mtu_octets, underlay=underlay).links)
    (first, second), *_ = (link.ends for link in links)
    links = [Link((replace(first, host="gw1"), replace(second, host="gw2")), mtu_octets)]
    inside = mtu_octets if inside_mtu_octets is None else inside_mtu_octets
    for side in (1, 2):
        net = 6 + side
        subnets = (ip_network(f"192.168.{net}.0/24"), ip_network(f"fd00:{net}::/64"))
        gateways.append(Host(f"gw{side}", subnets=subnets))
        for number, name in enumerate((f"web{side}", f"db{side}")):
            texts = f"192.168.{net}.{128 * number}", f"fd00:{net}::{number}:0"
            bases = [ip_address(text) for text in texts]
            near, far = (
                tuple(ip_interface(f"{base + last}/{length}")
                      for base, length in zip(bases, (25, 112), strict=True))
                for last in (1, 2)
            )  # fmt: skip
            hosts.append(
                Host(name, speaks_hip=False, routers=tuple(address.ip for address in near))
            )
            ends = (
                Port(f"gw{side}", f"eth{number + 1}", near, is_inside=True),
                Port(name, "eth0", far, is_inside=True),
            )
            links.append(Link(ends, inside))
    return Topology("datacenter", (*gateways, *hosts), tuple(links))


TOPOLOGIES: Final[Mapping[str, Callable[..., Topology]]] = {
    "pair": pair,
    "multihomed": multihomed,
    "datacenter": datacenter,
}
"""Makers of the topologies that `hipgw lab up` knows, by name."""
