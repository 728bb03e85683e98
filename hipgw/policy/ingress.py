"""Who may send what through a tunnel of the kernel: the table of docs/gateway.md as a list.

The data path asks the same questions of the same prefixes, packet by packet (routed.pyx).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from hipgw.policy.subnets import FAMILIES, Network
from hipgw.values import Hit, IngressRule

NOT_FOR_HOSTS: Final[tuple[Network, ...]] = (
    IPv4Network("0.0.0.0/8"),
    IPv4Network("1.0.0.0/8"),
    IPv4Network("127.0.0.0/8"),
    IPv4Network("224.0.0.0/3"),
    IPv6Network("2001:20::/28"),
    IPv6Network("2001:10::/28"),
    IPv6Network("fe80::/10"),
    IPv6Network("ff00::/8"),
    IPv6Network("::/127"),
)
"""Destinations behind nobody: LSIs and HITs, loopback, link-local, multicast."""


def ingress_rules(
    peer: Hit, prefixes: Mapping[Network, Hit], here: Iterable[Network]
) -> tuple[IngressRule, ...]:
    """What packets out of the tunnel of a peer may do; what none of the rules fits is dropped.

    The source is in a prefix of this peer (the longest one counts), the destination is here and
    behind no peer.

    Args:
        peer: at the other end.
        prefixes: of all peers, each with its owner.
        here: `[gateway] local_subnets`; none of a family: anything that is behind no peer.
    """
    ours = tuple(here)
    rules: list[IngressRule] = []
    for version in FAMILIES:
        theirs = {net: owner for net, owner in prefixes.items() if net.version == version}
        local = [network for network in ours if network.version == version]
        if peer in theirs.values():
            rules += _not_for_us(theirs, local, version)
            rules += _sources(peer, theirs, local)
    return tuple(rules)


def _not_for_us(
    prefixes: Mapping[Network, Hit], here: list[Network], version: int
) -> list[IngressRule]:
    """Destinations behind peers would be transit; only those that overlap `here` need a rule."""
    special = [network for network in NOT_FOR_HOSTS if network.version == version]
    return [
        IngressRule(is_pass=False, destination=network)
        for network in [*special, *prefixes]
        if not here or any(_overlap(network, one) for one in here)
    ]


def _sources(peer: Hit, prefixes: Mapping[Network, Hit], here: list[Network]) -> list[IngressRule]:
    """Longest prefixes first; those of others only where they lie within one of the peer's."""
    own = [network for network, owner in prefixes.items() if owner == peer]
    rules: list[IngressRule] = []
    for network in sorted(prefixes, key=lambda one: -one.prefixlen):
        if prefixes[network] == peer and not here:
            rules.append(IngressRule(is_pass=True, source=network))
        elif prefixes[network] == peer:
            rules += [IngressRule(is_pass=True, source=network, destination=one) for one in here]
            rules.append(IngressRule(is_pass=False, source=network))
        elif any(_overlap(network, one) for one in own):
            rules.append(IngressRule(is_pass=False, source=network))
    return rules


def _overlap(one: Network, other: Network) -> bool:
    if isinstance(one, IPv4Network) and isinstance(other, IPv4Network):
        return one.overlaps(other)
    if isinstance(one, IPv6Network) and isinstance(other, IPv6Network):
        return one.overlaps(other)
    return False
