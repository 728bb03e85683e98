"""What the kernel knows of the network below: routes to peers, sizes of links.

All of it by cheap socket calls.  A netlink dialogue takes milliseconds, and a route is looked up
before every first I1.
"""

from __future__ import annotations

import fcntl
import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from hipgw.values import Address

IP_MTU: Final = 14
IPV6_MTU: Final = 24
DISCARD_PORT: Final = 9
SIOCGIFMTU: Final = 0x8921
IFREQ_OCTETS: Final = 40
LINK_COUNTERS: Final = "/proc/thread-self/net/dev"
SENT_DROP_FIELD: Final = 11
"""proc(5): eight of what was received, then octets, packets, errors and drops of what was sent."""
LOOPBACK: Final = "lo"
DEFAULT_MTU_OCTETS: Final = 1500


@dataclass(frozen=True, slots=True)
class Route:
    """What the kernel would do with a packet to a peer."""

    source: Address
    mtu_octets: int
    """The MTU of the path, as far as the kernel knows it."""


def route_to(peer: Address) -> Route | None:
    """The kernel's route to `peer`; None without one.

    Connecting a datagram socket sends nothing, but makes the kernel choose.
    """
    is_ipv4 = peer.version == 4
    level, option = (socket.IPPROTO_IP, IP_MTU) if is_ipv4 else (socket.IPPROTO_IPV6, IPV6_MTU)
    try:
        with socket.socket(
            socket.AF_INET if is_ipv4 else socket.AF_INET6, socket.SOCK_DGRAM
        ) as channel:
            channel.connect((str(peer), DISCARD_PORT))
            text = str(channel.getsockname()[0])
            mtu_octets = channel.getsockopt(level, option)
    except OSError:
        return None
    source = IPv4Address(text) if is_ipv4 else IPv6Address(text.partition("%")[0])
    return None if source.is_unspecified else Route(source, mtu_octets)


def link_mtu(name: str) -> int | None:
    """MTU in octets of an interface; None when there is none of that name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        request = struct.pack(f"16s{IFREQ_OCTETS - 16}x", name.encode())
        try:
            answer = fcntl.ioctl(channel.fileno(), SIOCGIFMTU, request)
        except OSError:
            return None
        return int(struct.unpack_from("=i", answer, 16)[0])


def packets_lost_at(name: str) -> int:
    """Packets that the kernel had no room for on their way out through an interface.

    For hip0 that is on their way to us.  0 when there is no such interface.
    """
    try:
        with open(LINK_COUNTERS) as lines:  # noqa: PTH123 - /proc, read often
            for line in lines:
                link, _, numbers = line.partition(":")
                if link.strip() == name:
                    return int(numbers.split()[SENT_DROP_FIELD])
    except OSError:
        return 0
    return 0


def largest_link_mtu() -> int:
    """MTU in octets of the link that carries the longest packets; loopback does not count."""
    names = (name for _, name in socket.if_nameindex() if name != LOOPBACK)
    return max([DEFAULT_MTU_OCTETS, *(link_mtu(name) or 0 for name in names)])
