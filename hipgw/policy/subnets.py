"""Which peer a routed address belongs to: prefixes of peers, the longest one wins.

The prefixes are flattened into ranges without overlap, the form in which the data path searches
them, so that control and data plane cannot disagree.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from hipgw.values import Address, Hit

Network = IPv4Network | IPv6Network
Ranges = list[tuple[int, int]]
"""First address as a number, owner: 0 nobody, else counted from 1; begins at 0 and ascends."""

FAMILIES: Final = (4, 6)
NOBODY: Final = 0


def flatten(prefixes: Iterable[tuple[Network, int]]) -> Ranges:
    """Ranges of addresses of one family, each with the owner of its longest prefix.

    Args:
        prefixes: each with its owner, a number from 1 on, or 0 for nobody; no prefix twice.

    Returns:
        Nothing for no prefixes.
    """
    ordered = sorted(
        prefixes, key=lambda entry: (int(entry[0].network_address), entry[0].prefixlen)
    )
    if not ordered:
        return []
    starts: dict[int, int] = {0: 0}
    around: list[tuple[int, int]] = []
    """Last address and owner of the prefixes that are open, the innermost one last."""

    def close_before(first: int) -> None:
        while around and around[-1][0] < first:
            last, _ = around.pop()
            starts[last + 1] = around[-1][1] if around else 0

    for network, owner in ordered:
        first, last = int(network.network_address), int(network.broadcast_address)
        close_before(first)
        starts[first] = owner
        around.append((last, owner))
    limit = 1 << ordered[0][0].max_prefixlen
    close_before(limit)
    starts.pop(limit, None)
    flat: Ranges = []
    for start in sorted(starts):
        if not flat or flat[-1][1] != starts[start]:
            flat.append((start, starts[start]))
    return flat


class SubnetTable:
    """The prefixes of all peers.

    Attributes:
        owners: peers that have some, in the order of their HITs.
    """

    def __init__(self, prefixes: Mapping[Network, Hit], here: Iterable[Network] = ()) -> None:
        """Know them.

        Args:
            prefixes: each with the peer that it is behind.
            here: what is behind this host, also where a peer has a wider prefix.
        """
        self.owners: Final = tuple(sorted(set(prefixes.values()), key=lambda hit: hit.packed))
        numbers = {hit: number for number, hit in enumerate(self.owners, start=1)}
        self._ranges: Final = {}
        for family in FAMILIES:
            of_peers = [
                (network, numbers[hit])
                for network, hit in prefixes.items()
                if network.version == family
            ]
            ours = [(network, NOBODY) for network in here if network.version == family]
            self._ranges[family] = flatten(of_peers + ours) if of_peers else []

    def ranges(self, family: int) -> Ranges:
        """The ranges of a family, 4 or 6; owners are places in `owners`, from 1 on."""
        return self._ranges[family]

    def owner_of(self, address: Address) -> Hit | None:
        """The peer that an address is behind, or None."""
        ranges = self._ranges[address.version]
        if not ranges:
            return None
        _, owner = ranges[bisect_right(ranges, int(address), key=lambda entry: entry[0]) - 1]
        return self.owners[owner - 1] if owner else None
