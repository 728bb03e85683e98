"""What `[[peer]] subnets` and `[gateway] local_subnets` may not say together."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Final, Protocol

from hipgw.daemon.strict_toml import Troubles
from hipgw.values import Address

Network = IPv4Network | IPv6Network

HIT_PREFIXES: Final = (IPv6Network("2001:20::/28"), IPv6Network("2001:10::/28"))
"""RFC 7343, RFC 4843."""


class PeerSubnets(Protocol):
    """The part of a `[[peer]]` that this looks at."""

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where it can be reached."""
        ...

    @property
    def subnets(self) -> tuple[Network, ...]:
        """What is behind it."""
        ...


def check_subnets(
    peers: Sequence[tuple[int, PeerSubnets]],
    local_subnets: Sequence[Network],
    lsi_prefix: IPv4Network,
    troubles: Troubles,
) -> None:
    """No prefix twice, none over HITs or LSIs, and no peer behind a peer.

    A peer whose own address were routed to hip0 could not be reached: its ESP packets would come
    back into the tunnel.

    Args:
        peers: each with its place in the file.
        local_subnets: what is behind this host.
        lsi_prefix: where LSIs live.
        troubles: gets what is wrong.
    """
    owners: dict[Network, int] = {}
    addresses = [(address, index) for index, peer in peers for address in peer.addresses]
    for index, peer in peers:
        place = ("peer", index, "subnets")
        for network in peer.subnets:
            first = owners.setdefault(network, index)
            if first != index:
                troubles.add(place, f"{network} is that of peer[{first}]: expected another prefix")
            if network in local_subnets:
                troubles.add(place, f"{network} is one of [gateway] local_subnets, too")
            for kind, reserved in [("HITs", one) for one in HIT_PREFIXES] + [("LSIs", lsi_prefix)]:
                if network.version == reserved.version and network.overlaps(reserved):
                    troubles.add(place, f"{network} overlaps {reserved}, where {kind} are")
            for address, whose in addresses:
                if address.version == network.version and address in network:
                    troubles.add(
                        place,
                        f"{network} holds {address}, where peer[{whose}] is reached: ESP packets "
                        "would loop",
                    )
