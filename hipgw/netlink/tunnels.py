"""IP in IPv6 between two HITs (RFC 2473) by devices of the kernel, and what they may take in.

A device of ours is known by its alias, "hipgw: " and the name of the HIP interface, so what a
killed daemon left is found again.  Its ingress filter (tc) goes with it: nobody else's tables are
touched, and no address of this host is beyond it.
"""

from __future__ import annotations

import errno
import fcntl
import ipaddress
import socket as sockets
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hipgw.errors import HostError
from hipgw.netlink.links import silence
from hipgw.netlink.rtnetlink import (
    NetlinkError,
    link_index,
    message_attributes,
    with_rtnetlink,
)
from hipgw.values import Hit, IngressRule

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

ALIAS: Final = "hipgw: "
KIND: Final = "ip6tnl"
ANY_PROTOCOL: Final = 0
"""IPv4 and IPv6 in IPv6."""
IP6_TNL_F_IGN_ENCAP_LIMIT: Final = 0x1
IP6_TNL_F_USE_ORIG_TCLASS: Final = 0x2
HOP_LIMIT: Final = 64
CLSACT_INGRESS: Final = 0xFFFFFFF2
ETH_P_ALL: Final = 0x0003
ETH_P: Final = {4: 0x0800, 6: 0x86DD}
SOURCE_AT: Final = {4: 12, 6: 8}
DESTINATION_AT: Final = {4: 16, 6: 24}
"""Octets from the start of the IP header."""
WORD_BITS: Final = 32
SIOCGIFFLAGS: Final = 0x8913
SIOCSIFFLAGS: Final = 0x8914
IFF_UP: Final = 0x1
INTERFACE_FLAGS: Final = struct.Struct("=16sH22x")
"""struct ifreq with flags."""
RULES_MOST: Final = 4000
"""Filters have priorities of 16 bits; beyond some thousands a list is the wrong tool anyway."""


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A device between two HITs."""

    name: str
    local: Hit
    peer: Hit
    rules: tuple[IngressRule, ...]
    """Of its ingress; what none of them fits is dropped."""
    copies_class: bool = True
    """The traffic class of the inner packet becomes that of the outer one."""


def make_tunnel(interface: str, tunnel: Tunnel) -> None:
    """Make a device with its filter; it is down, and takes nothing in before `raise_tunnel`.

    Raises:
        HostError: the kernel has no such device or filter, the name is taken, or there are too
            many rules; nothing is left.
    """
    if len(tunnel.rules) > RULES_MOST:
        raise HostError(
            f"{len(tunnel.rules)} rules for {tunnel.name}, at most {RULES_MOST}: give the peer "
            "fewer subnets"
        )

    def task(socket: Any) -> None:
        flags = IP6_TNL_F_IGN_ENCAP_LIMIT
        flags |= IP6_TNL_F_USE_ORIG_TCLASS if tunnel.copies_class else 0
        socket.link(
            "add",
            ifname=tunnel.name,
            kind=KIND,
            ip6tnl_local=str(tunnel.local),
            ip6tnl_remote=str(tunnel.peer),
            ip6tnl_proto=ANY_PROTOCOL,
            ip6tnl_ttl=HOP_LIMIT,
            ip6tnl_flags=flags,
        )
        index = _index(socket, tunnel.name)
        try:
            socket.link("set", index=index, ifalias=ALIAS + interface)
            silence(tunnel.name)
            socket.tc("add", "clsact", index)
            for number, rule in enumerate(tunnel.rules, start=1):
                _add_filter(
                    socket, index, number, ETH_P[rule.version], keys_of(rule), is_pass=rule.is_pass
                )
            _add_filter(
                socket, index, len(tunnel.rules) + 1, ETH_P_ALL, ["0x0/0x0+0"], is_pass=False
            )
        except NetlinkError:
            socket.link("del", index=index)
            raise

    with_rtnetlink(f"make the tunnel {tunnel.name} to {tunnel.peer}", task)


def _add_filter(
    socket: Any, index: int, priority: int, protocol: int, keys: Sequence[str], *, is_pass: bool
) -> None:
    socket.tc(
        "add-filter",
        "u32",
        index,
        parent=CLSACT_INGRESS,
        prio=priority,
        protocol=protocol,
        target=0x10000,
        keys=list(keys),
        action="ok" if is_pass else "drop",
    )


def keys_of(rule: IngressRule) -> list[str]:
    """What the classifier u32 compares, as `tc filter ... u32 match` spells it."""
    keys: list[str] = []
    for network, starts in ((rule.source, SOURCE_AT), (rule.destination, DESTINATION_AT)):
        if network is not None:
            keys += _keys_of_prefix(network, starts[network.version])
    return keys or ["0x0/0x0+0"]


def _keys_of_prefix(network: Network, start: int) -> list[str]:
    keys = []
    value, mask = int(network.network_address), int(network.netmask)
    for word in range(network.max_prefixlen // WORD_BITS):
        shift = network.max_prefixlen - WORD_BITS * (word + 1)
        mask_word = mask >> shift & 0xFFFFFFFF
        if mask_word:
            keys.append(f"{value >> shift & 0xFFFFFFFF:#010x}/{mask_word:#010x}+{start + 4 * word}")
    return keys


def _index(socket: Any, name: str) -> int:
    index = link_index(socket, name)
    if index is None:
        raise NetlinkError(errno.ENODEV)  # type: ignore[no-untyped-call]
    return index


def switch_on(name: str) -> None:
    """Let a tunnel take packets in at once, with whatever MTU it has: one call of the kernel.

    Raises:
        HostError: it has gone.
    """
    try:
        with sockets.socket(sockets.AF_INET, sockets.SOCK_DGRAM | sockets.SOCK_CLOEXEC) as channel:
            asked = INTERFACE_FLAGS.pack(name.encode(), 0)
            answer = fcntl.ioctl(channel.fileno(), SIOCGIFFLAGS, asked)
            _, flags = INTERFACE_FLAGS.unpack_from(answer)
            wanted = INTERFACE_FLAGS.pack(name.encode(), flags | IFF_UP)
            fcntl.ioctl(channel.fileno(), SIOCSIFFLAGS, wanted)
    except OSError as error:
        raise HostError(f"cannot switch the tunnel {name} on: {error.strerror}") from error


def raise_tunnel(name: str, *, mtu: int) -> None:
    """Let a tunnel carry packets; it may be up already.

    Args:
        name: of the device.
        mtu: octets of the longest packet in it.

    Raises:
        HostError: it has gone.
    """

    def task(socket: Any) -> None:
        index = _index(socket, name)
        socket.link("set", index=index, mtu=mtu, state="up")

    with_rtnetlink(f"bring the tunnel {name} up", task)


def lower_tunnel(name: str) -> None:
    """Let a tunnel carry nothing; its routes go. It may have gone itself."""

    def task(socket: Any) -> None:
        index = link_index(socket, name)
        if index is not None:
            socket.link("set", index=index, state="down")

    with_rtnetlink(f"bring the tunnel {name} down", task)


def remove_tunnels(names: Iterable[str]) -> None:
    """Delete devices with their filters and routes; they may have gone already."""

    def task(socket: Any) -> None:
        for name in names:
            index = link_index(socket, name)
            if index is not None:
                socket.link("del", index=index)

    with_rtnetlink("remove tunnels", task)


def remove_tunnels_of(interface: str) -> int:
    """Delete every device that a daemon with this HIP interface has made; how many there were."""

    def task(socket: Any) -> int:
        ours = [
            link["index"]
            for link in socket.get_links()
            if message_attributes(link).get("IFLA_IFALIAS") == ALIAS + interface
        ]
        for index in ours:
            socket.link("del", index=index)
        return len(ours)

    return with_rtnetlink("remove tunnels", task)
