"""Raw sockets of the control plane on loopback, with a protocol number for experiments (RFC 3692).

127.0.0.5 --- lo --- 127.0.0.1        ::1 --- lo --- ::1
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from hipgw.daemon.hip_sockets import UDP_MARKER, HipSockets
from hipgw.daemon.underlay import largest_link_mtu, route_to
from hipgw.drivers.rawip import open_raw
from hipgw.values import Encapsulation, Path

PROTOCOL = 253


@pytest.fixture
def sockets() -> Iterator[HipSockets]:
    raw = {family: open_raw(PROTOCOL, family) for family in (4, 6)}
    udp = {4: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)}
    udp[4].bind(("", 0))
    yield HipSockets(raw, udp, udp[4].getsockname()[1])
    for channel in (*raw.values(), *udp.values()):
        channel.close()


@pytest.mark.netns
@pytest.mark.parametrize(
    ("local", "peer"), [("127.0.0.5", "127.0.0.1"), ("127.0.0.1", "127.0.0.1"), ("::1", "::1")]
)
def test_a_packet_comes_from_the_address_that_the_path_names(
    sockets: HipSockets, local: str, peer: str
) -> None:
    path = Path(ip_address(local), ip_address(peer))
    with open_raw(PROTOCOL, path.local.version) as listener:
        listener.setblocking(True)
        listener.settimeout(60.0)
        assert sockets.send(b"hello", path)
        octets, sender = listener.recvfrom(100)
    assert octets.endswith(b"hello")
    assert sender[0] == local


@pytest.mark.netns
def test_packets_in_udp_have_the_marker_and_come_from_the_hip_port(sockets: HipSockets) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        path = sockets.make_path(
            IPv4Address("127.0.0.7"),
            IPv4Address("127.0.0.1"),
            Encapsulation.UDP,
            peer.getsockname()[1],
        )
        assert sockets.send(b"hello", path)
        octets, sender = peer.recvfrom(100)
    assert octets == UDP_MARKER + b"hello"
    assert sender == ("127.0.0.7", path.local_port)


@pytest.mark.netns
def test_what_the_kernel_refuses_is_counted_and_told(sockets: HipSockets) -> None:
    foreign = Path(IPv4Address("192.0.2.99"), IPv4Address("127.0.0.1"))
    no_family = Path(IPv6Address("::1"), IPv6Address("::1"), Encapsulation.UDP, 1, 1)
    too_long = Path(IPv4Address("127.0.0.1"), IPv4Address("127.0.0.1"))
    assert not sockets.send(b"x", foreign)
    assert not sockets.send(b"x", no_family)
    assert not sockets.send(bytes(70_000), too_long)
    assert sockets.counters["control_not_sent"] == 3
    assert "127.0.0.1" in sockets.last_send_error


def test_the_kernel_names_source_and_mtu() -> None:
    route = route_to(IPv4Address("127.0.0.1"))
    assert route is not None
    assert route.source == IPv4Address("127.0.0.1")
    assert route.mtu_octets >= 1280


def test_no_route_is_none() -> None:
    assert route_to(IPv4Address("255.255.255.255")) is None


def test_loopback_does_not_count_for_the_link_mtu() -> None:
    assert 1280 <= largest_link_mtu() < 65536
