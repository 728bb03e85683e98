"""Whose locator is that?"""

from __future__ import annotations

from ipaddress import IPv4Network, ip_address
from pathlib import Path

from hipgw.resolve import HostsFiles, Peer, Resolver
from hipgw.values import Hit

ONE = Hit.parse("2001:22:e0d3:30c4:f6a7:86e5:2dc9:39ad")
TWO = Hit.parse("2001:21:5e1f:97c0:2ed5:2b7b:8a5f:0001")
HERE, THERE, ELSEWHERE = (ip_address(text) for text in ("192.0.2.1", "2001:db8::2", "192.0.2.3"))


def test_owners_of_an_address_are_found_from_every_source(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text(f"{TWO} two\n{HERE} two\n")
    files = HostsFiles([hosts], IPv4Network("1.0.0.0/8"))
    resolver = Resolver([Peer(ONE, "one", addresses=(HERE, THERE))], files)
    resolver.refresh()
    assert resolver.hits_at(HERE) == (ONE, TWO)
    assert resolver.hits_at(THERE) == (ONE,)
    assert resolver.hits_at(ELSEWHERE) == ()


def test_owners_change_with_mappings_peers_and_files(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    resolver = Resolver(
        [Peer(ONE, addresses=(HERE,))], HostsFiles([hosts], IPv4Network("1.0.0.0/8"))
    )
    assert resolver.hits_at(ELSEWHERE) == ()
    resolver.add_mapping(TWO, ELSEWHERE)
    assert resolver.hits_at(ELSEWHERE) == (TWO,)
    resolver.set_peers([Peer(ONE, addresses=(ELSEWHERE,))])
    assert resolver.hits_at(HERE) == ()
    assert resolver.hits_at(ELSEWHERE) == (ONE, TWO)
    hosts.write_text(f"{ONE} one\n{THERE} one\n")
    assert resolver.refresh()
    assert resolver.hits_at(THERE) == (ONE,)
