"""Longest prefix: the flattened ranges against a search through all prefixes."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hipgw.policy import SubnetTable, flatten
from hipgw.policy.subnets import Network
from hipgw.values import Address, Hit

HITS = [Hit.parse(f"2001:22::{number}") for number in (3, 1, 2)]


@st.composite
def prefixes(draw: st.DrawFn) -> dict[Network, Hit]:
    """Few bits, so that prefixes nest and meet."""
    found: dict[Network, Hit] = {}
    for _ in range(draw(st.integers(0, 12))):
        hit = draw(st.sampled_from(HITS))
        if draw(st.booleans()):
            length = draw(st.sampled_from([0, 1, 2, 3, 4, 30, 31, 32]))
            value = draw(st.sampled_from([0, 1 << 28, 0xF0000000, 0xFFFFFFFF]))
            found[IPv4Network((value, length), strict=False)] = hit
        else:
            length = draw(st.sampled_from([0, 1, 63, 64, 65, 127, 128]))
            value = draw(st.sampled_from([0, 1 << 63, 1 << 64, (1 << 128) - 1]))
            found[IPv6Network((value, length), strict=False)] = hit
    return found


def longest(table: dict[Network, Hit], address: Address) -> Hit | None:
    found = [network for network in table if address in network]
    return table[max(found, key=lambda network: network.prefixlen)] if found else None


EDGES4 = [0, 1, 1 << 28, (1 << 28) - 1, 0xEFFFFFFF, 0xF0000000, 0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFF]
EDGES6 = [0, 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64, 1 << 65, (1 << 128) - 1]


@given(prefixes())
def test_the_longest_prefix_wins(table: dict[Network, Hit]) -> None:
    subnets = SubnetTable(table)
    addresses: list[Address] = [IPv4Address(edge) for edge in EDGES4]
    addresses += [IPv6Address(edge) for edge in EDGES6]
    for address in addresses:
        assert subnets.owner_of(address) == longest(table, address), address


@given(prefixes())
def test_ranges_begin_at_zero_ascend_and_differ_from_their_neighbours(
    table: dict[Network, Hit],
) -> None:
    subnets = SubnetTable(table)
    assert [hit.packed for hit in subnets.owners] == sorted(hit.packed for hit in subnets.owners)
    for family in (4, 6):
        ranges = subnets.ranges(family)
        assert not ranges or ranges[0][0] == 0
        for (start, owner), (after, other) in pairwise(ranges):
            assert start < after
            assert owner != other


def test_no_prefixes_are_no_ranges() -> None:
    assert flatten([]) == []
    assert SubnetTable({}).owner_of(ip_address("192.0.2.1")) is None


def test_one_prefix_is_three_ranges() -> None:
    assert flatten([(ip_network("192.168.7.0/24"), 1)]) == [
        (0, 0),
        (0xC0A80700, 1),
        (0xC0A80800, 0),
    ]
