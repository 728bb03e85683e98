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


def received(sockets: HipSockets, family: int) -> list[tuple[bytes, Path]]:
    got: list[tuple[bytes, Path]] = []
    sockets.receive(family, lambda payload, path: got.append((payload, path)))
    return got


@pytest.mark.netns
@pytest.mark.parametrize(
    ("local", "peer"), [("127.0.0.5", "127.0.0.1"), ("127.0.0.1", "127.0.0.1"), ("::1", "::1")]
)
def test_a_packet_arrives_without_header_and_with_both_addresses(
    sockets: HipSockets, local: str, peer: str
) -> None:
    path = Path(ip_address(local), ip_address(peer))
    assert sockets.send(b"hello", path)
    ((payload, arrived),) = received(sockets, path.local.version)
    assert payload == b"hello"
    assert arrived == Path(path.peer, path.local)


@pytest.mark.netns
def test_no_more_than_a_share_is_read_at_once(sockets: HipSockets) -> None:
    path = Path(IPv4Address("127.0.0.1"), IPv4Address("127.0.0.1"))
    for n in range(40):
        sockets.send(bytes([n]), path)
    assert len(received(sockets, 4)) == 32
    assert [payload[0] for payload, _ in received(sockets, 4)] == list(range(32, 40))
    assert received(sockets, 4) == []


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
