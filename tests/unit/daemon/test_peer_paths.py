"""Paths to a peer, the kernel's choice of a source first."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path

from hipgw.daemon.peer_paths import Paths
from hipgw.values import Encapsulation
from tests.unit.daemon.gateways import MemoryGateway, tell


def test_paths_of_other_addresses_follow_when_all_pairs_are_wanted(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        other = IPv4Address("127.0.0.7")
        paths = Paths(
            a.resolver,
            a.sockets,  # type: ignore[arg-type]
            Encapsulation.RAW,
            IPv4Network("1.0.0.0/8"),
            all_pairs=True,
        )
        paths.local_addresses = (other, IPv6Address("2001:db8::1"))
        loopback = IPv4Address("127.0.0.1")
        assert [path.local for path in paths.to(b.hit)] == [loopback, other]

    tell(tmp_path, story)


def test_a_source_outside_of_the_interfaces_is_not_taken(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        paths = Paths(
            a.resolver,
            a.sockets,  # type: ignore[arg-type]
            Encapsulation.RAW,
            IPv4Network("1.0.0.0/8"),
            interfaces_only=True,
        )
        assert [str(path.local) for path in paths.to(b.hit)] == ["127.0.0.1"]
        paths.local_addresses = (IPv4Address("127.0.0.7"), IPv4Address("127.0.0.8"))
        assert [str(path.local) for path in paths.to(b.hit)] == ["127.0.0.7"]
        paths.local_addresses = ()
        assert paths.to(b.hit) == []

    tell(tmp_path, story)
