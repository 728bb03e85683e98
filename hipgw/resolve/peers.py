"""What is known about a peer before any packet: its names, HIT, LSI and locators."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from hipgw.values import Address, Encapsulation, Hit, Lsi


@dataclass(frozen=True, slots=True)
class Peer:
    """One `[[peer]]` of the configuration, or one mapping given at run time."""

    hit: Hit
    name: str = ""
    """Empty when the peer has no name."""
    lsi: Lsi | None = None
    """An LSI that the operator fixed, or None: given by the daemon."""
    addresses: tuple[Address, ...] = ()
    """Locators in the order in which they are tried."""
    encapsulation: Encapsulation | None = None
    """None: as `[network] encapsulation` says."""
    via: tuple[Address, ...] = ()
    """Its rendezvous servers."""


def parse_locator(text: str) -> Address:
    """Read an IP address at which a peer can be reached.

    Raises:
        ValueError: not an IP address, a HIT, or an address that never reaches another host;
            says which.  Link-local addresses need a scope, which a `Path` does not carry.
    """
    try:
        address = ip_address(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not an IPv4 or IPv6 address") from error
    if is_hit(address):
        raise ValueError(f"{text} is a HIT, which is no locator: expected an IP address")
    if address.is_loopback or address.is_multicast or address.is_unspecified:
        raise ValueError(f"{text} does not reach another host: expected a unicast IP address")
    if address.version == 6 and address.is_link_local:
        raise ValueError(f"{text} is link-local: expected an address of wider scope")
    return address


def is_hit(address: IPv4Address | IPv6Address) -> bool:
    """Whether an IPv6 address is an ORCHID: 2001:20::/28 (RFC 7343) or 2001:10::/28 (RFC 4843)."""
    return address.version == 6 and Hit(address.packed).version != 0
