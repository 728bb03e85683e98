"""Addresses of interfaces."""

from __future__ import annotations

import ipaddress
import socket as sockets
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from hipgw.errors import HostError
from hipgw.netlink.rtnetlink import link_index, message_attributes, with_rtnetlink
from hipgw.values import Address

IFA_F_NODAD: Final = 0x02
IFA_F_DADFAILED: Final = 0x08
IFA_F_TENTATIVE: Final = 0x40
IFA_F_NOPREFIXROUTE: Final = 0x200
IFA_F_OPTIMISTIC: Final = 0x04

SCOPES: Final = {0: "global", 200: "site", 253: "link", 254: "host", 255: "nowhere"}

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
InterfaceAddress = ipaddress.IPv4Interface | ipaddress.IPv6Interface


class LocalAddress(NamedTuple):
    """An address of this host that can be used now."""

    interface: str
    address: Address
    scope: str
    """"global", "site", "link" or "host"."""


def local_addresses() -> list[LocalAddress]:
    """Every address of this network namespace that a socket can be bound to.

    Addresses that still wait for duplicate address detection, or failed it, are left out.
    """

    def task(socket: Any) -> list[LocalAddress]:
        names = {
            link["index"]: str(message_attributes(link)["IFLA_IFNAME"])
            for link in socket.get_links()
        }
        found = []
        for message in socket.get_addr():
            attributes = message_attributes(message)
            if not _is_usable(int(attributes.get("IFA_FLAGS", message["flags"]))):
                continue
            scope = SCOPES.get(message["scope"], str(message["scope"]))
            name = names.get(message["index"], "")
            found.append(LocalAddress(name, _address_of(attributes), scope))
        return found

    return with_rtnetlink("list addresses", task)


def _is_usable(flags: int) -> bool:
    waiting = flags & IFA_F_TENTATIVE and not flags & IFA_F_OPTIMISTIC
    return not waiting and not flags & IFA_F_DADFAILED


def _address_of(attributes: dict[str, Any]) -> Address:
    # On a point-to-point link IFA_ADDRESS is the far end, and IFA_LOCAL is ours.
    text = attributes.get("IFA_LOCAL") or attributes["IFA_ADDRESS"]
    return ipaddress.ip_address(str(text))


def add_addresses(name: str, addresses: Sequence[InterfaceAddress]) -> None:
    """Give interface `name` addresses with their prefix lengths, usable at once (no DAD).

    Raises:
        HostError: no such interface, or an address it has already.
    """

    def task(socket: Any) -> None:
        index = link_index(socket, name)
        if index is None:
            raise HostError(f"interface {name} does not exist; check the name with `ip link`")
        for address in addresses:
            _add(socket, index, address.ip, address.network.prefixlen, 0)

    with_rtnetlink(f"add {', '.join(map(str, addresses))} to interface {name}", task)


def set_addresses(
    socket: Any, index: int, wanted: Sequence[Address], *, within: Iterable[Network]
) -> None:
    """Make `wanted`, as host addresses, the only ones of an interface inside the given networks."""
    present = {}
    for message in socket.get_addr(index=index):
        address = _address_of(message_attributes(message))
        if any(address in network for network in within):
            present[address] = int(message["prefixlen"])
    for address, prefix_bits in present.items():
        if address not in wanted:
            socket.addr("del", index=index, address=str(address), prefixlen=prefix_bits)
    for address in wanted:
        if address not in present:
            _add(socket, index, address, address.max_prefixlen, IFA_F_NOPREFIXROUTE)


def _add(socket: Any, index: int, address: Address, prefix_bits: int, flags: int) -> None:
    family = sockets.AF_INET if address.version == 4 else sockets.AF_INET6
    socket.addr(
        "add",
        index=index,
        family=family,
        address=str(address),
        prefixlen=prefix_bits,
        flags=flags | (IFA_F_NODAD if address.version == 6 else 0),
    )
