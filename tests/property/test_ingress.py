"""The filter of a tunnel says what the data path says, packet by packet."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Network

from hypothesis import given
from hypothesis import strategies as st

from hipgw.netlink.tunnels import keys_of
from hipgw.policy import SubnetTable, ingress_rules
from hipgw.policy.subnets import Network
from hipgw.values import Hit, IngressRule

PEERS = [Hit.parse(f"2001:22::{number}") for number in (1, 2, 3)]


@st.composite
def networks(draw: st.DrawFn) -> IPv4Network:
    """Prefixes of 10.0.0.0/8 that often lie within one another."""
    octets = draw(st.integers(0, 3)), draw(st.integers(0, 3)), draw(st.sampled_from([0, 128]))
    bits = draw(st.sampled_from([8, 16, 24, 25]))
    return IPv4Network((bytes((10, *octets)), bits), strict=False)


ADDRESSES = [
    IPv4Address(bytes((10, one, two, three)))
    for one in range(4)
    for two in range(4)
    for three in (1, 129)
]
BEHIND_NOBODY = IPv4Address("172.16.0.1")


def matches(rule: IngressRule, packet: bytes) -> bool:
    """As the classifier u32 compares."""
    for key in keys_of(rule):
        value, _, rest = key.partition("/")
        mask, _, start = rest.partition("+")
        found = int.from_bytes(packet[int(start) : int(start) + 4], "big")
        if found & int(mask, 16) != int(value, 16):
            return False
    return True


def verdict(rules: tuple[IngressRule, ...], packet: bytes) -> bool:
    version = packet[0] >> 4
    fitting = (rule for rule in rules if rule.version == version and matches(rule, packet))
    return next((rule.is_pass for rule in fitting), False)


@given(
    prefixes=st.dictionaries(networks(), st.sampled_from(PEERS), min_size=1),
    here=st.lists(networks(), max_size=3),
    destination=st.just(BEHIND_NOBODY) | st.sampled_from(ADDRESSES),
)
def test_the_filter_says_what_the_data_path_says(
    prefixes: dict[Network, Hit],
    here: list[Network],
    destination: IPv4Address,
) -> None:
    table = SubnetTable(prefixes)
    is_here = not here or any(destination in network for network in here)
    is_for_us = is_here and table.owner_of(destination) is None
    for peer in table.owners:
        rules = ingress_rules(peer, prefixes, here)
        for source in ADDRESSES:
            packet = b"\x45" + bytes(11) + source.packed + destination.packed
            assert verdict(rules, packet) == (is_for_us and table.owner_of(source) == peer)


def test_addresses_of_nobody_are_never_for_us() -> None:
    prefixes: dict[Network, Hit] = {
        IPv4Network("192.168.8.0/24"): PEERS[0],
        IPv6Network("fd00:8::/64"): PEERS[0],
    }
    rules = ingress_rules(PEERS[0], prefixes, [])
    good4 = bytes([0x45, *bytes(11), 192, 168, 8, 2])
    good6 = b"\x60" + bytes(7) + IPv6Network("fd00:8::/64")[2].packed
    assert verdict(rules, good4 + bytes([10, 0, 0, 1]))
    assert verdict(rules, good6 + IPv6Network("fd00:7::/64")[1].packed)
    for destination in ((1, 0, 0, 1), (127, 0, 0, 1), (224, 0, 0, 1), (255,) * 4):
        assert not verdict(rules, good4 + bytes(destination))
    for text in ("2001:21::1/128", "2001:10::1/128", "fe80::1/128", "ff02::1/128", "::1/128"):
        assert not verdict(rules, good6 + IPv6Network(text)[0].packed)


def test_a_family_without_prefixes_of_the_peer_is_dropped_whole() -> None:
    prefixes: dict[Network, Hit] = {
        IPv4Network("192.168.8.0/24"): PEERS[0],
        IPv6Network("fd00:9::/64"): PEERS[1],
    }
    assert {rule.version for rule in ingress_rules(PEERS[0], prefixes, [])} == {4}
    assert {rule.version for rule in ingress_rules(PEERS[1], prefixes, [])} == {6}
