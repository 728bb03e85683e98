"""Hosts files: reading, joining over names, and noticing changes."""

from __future__ import annotations

import os
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from hipgw.resolve import HostsFiles, HostsTable, Peer, Resolver, parse_hosts
from hipgw.values import Encapsulation, Hit, Lsi

PREFIX = IPv4Network("1.0.0.0/8")
HIT_A = Hit.parse("2001:22:e0d3:30c4:f6a7:86e5:2dc9:39ad")
HIT_B = Hit.parse("2001:25::b")
OLD_HIT = Hit.parse("2001:10::1")

HIP_HOSTS = f"""
# identities
{HIT_A}  oops oops.example   # the other one
1.0.0.77 oops
{HIT_B} crash
"""
HOSTS = """
127.0.0.1 localhost oops
::1 localhost
ff02::1 ip6-allnodes
192.0.2.1\tOOPS.example
2001:db8::1 oops
fe80::1%eth0 oops
192.0.2.9 crash other
"""


def table_of(*texts: str) -> HostsTable:
    return HostsTable(line for text in texts for line in parse_hosts(text, PREFIX)[0])


def files_in(directory: Path, *texts: str) -> HostsFiles:
    files = []
    for number, text in enumerate(texts):
        files.append(directory / f"hosts{number}")
        files[-1].write_text(text)
    return HostsFiles(files, PREFIX)


def test_a_hit_finds_its_addresses_by_name_over_both_files() -> None:
    table = table_of(HIP_HOSTS, HOSTS)
    assert table.addresses_of(HIT_A) == (IPv6Address("2001:db8::1"), IPv4Address("192.0.2.1"))
    assert table.addresses_of(HIT_B) == (IPv4Address("192.0.2.9"),)
    assert table.names_of(HIT_A) == ("oops", "oops.example")
    assert table.hit_of("Oops.Example") == HIT_A
    assert table.hit_of("other") is None


def test_an_lsi_line_fixes_the_lsi_of_the_hit_with_that_name() -> None:
    assert table_of(HIP_HOSTS, HOSTS).fixed_lsis() == {HIT_A: Lsi.parse("1.0.0.77")}


def test_one_overloaded_file_is_enough() -> None:
    table = table_of(f"{HIT_A} x\n1.2.3.4 x\n198.51.100.7 x\n")
    assert table.addresses_of(HIT_A) == (IPv4Address("198.51.100.7"),)
    assert table.fixed_lsis() == {HIT_A: Lsi.parse("1.2.3.4")}


def test_hits_of_the_older_version_are_hits_too() -> None:
    assert table_of(f"{OLD_HIT} old\n").hits() == (OLD_HIT,)


def test_lines_that_make_no_sense_are_reported_and_skipped() -> None:
    text = f"banana split\n{HIT_A}\n\n{HIT_B} ok\n"
    lines, troubles = parse_hosts(text, PREFIX, "/etc/hosts")
    assert [line.hit for line in lines] == [HIT_B]
    assert [(trouble.file, trouble.line) for trouble in troubles] == [
        ("/etc/hosts", 1),
        ("/etc/hosts", 2),
    ]
    assert "without a name" in troubles[1].message


@given(st.text(max_size=200))
def test_any_text_is_a_hosts_file(text: str) -> None:
    lines, troubles = parse_hosts(text, PREFIX)
    assert len(lines) + len(troubles) <= len(text.splitlines())
    HostsTable(lines).fixed_lsis()


def test_a_long_file_with_long_lines_is_read(tmp_path: Path) -> None:
    names = " ".join(f"alias{n}" for n in range(80))
    text = "".join(f"2001:20::{n:x} host{n}\n" for n in range(1, 20_000)) + f"{HIT_A} {names}\n"
    files = files_in(tmp_path, text)
    assert files.refresh()
    assert files.table.hit_of("alias79") == HIT_A
    assert files.table.hit_of("host19999") == Hit.parse("2001:20::4e1f")


def test_files_are_read_again_only_when_they_changed(tmp_path: Path) -> None:
    files = files_in(tmp_path, HIP_HOSTS)
    assert files.refresh()
    assert not files.refresh()
    path = tmp_path / "hosts0"
    path.write_text(f"{HIT_B} renamed\n")
    os.utime(path, ns=(1, 1))
    assert files.refresh()
    assert files.table.hit_of("renamed") == HIT_B
    path.unlink()
    assert files.refresh()
    assert files.table.hits() == ()


def test_a_file_that_appears_later_is_read(tmp_path: Path) -> None:
    files = HostsFiles([tmp_path / "later"], PREFIX)
    assert files.refresh()
    assert not files.refresh()
    (tmp_path / "later").write_text(f"{HIT_A} x\n")
    assert files.refresh()
    assert files.table.hit_of("x") == HIT_A


def test_a_directory_in_place_of_a_file_is_reported(tmp_path: Path) -> None:
    files = HostsFiles([tmp_path], PREFIX)
    files.refresh()
    assert files.troubles[0].file == str(tmp_path)


def test_the_configuration_goes_before_the_files(tmp_path: Path) -> None:
    files = files_in(tmp_path, HIP_HOSTS, HOSTS)
    peer = Peer(
        HIT_A,
        "Gateway",
        Lsi.parse("1.0.0.5"),
        (IPv4Address("203.0.113.1"), IPv4Address("192.0.2.1")),
        Encapsulation.UDP,
    )
    resolver = Resolver([peer], files)
    resolver.refresh()
    assert resolver.locators_of(HIT_A) == (
        IPv4Address("203.0.113.1"),
        IPv4Address("192.0.2.1"),
        IPv6Address("2001:db8::1"),
    )
    assert resolver.names_of(HIT_A) == ("Gateway", "oops", "oops.example")
    assert resolver.hit_of_name("GATEWAY") == HIT_A
    assert resolver.hit_of_name("crash") == HIT_B
    assert resolver.fixed_lsis() == {HIT_A: Lsi.parse("1.0.0.5")}
    assert resolver.encapsulation_of(HIT_A) is Encapsulation.UDP
    assert resolver.encapsulation_of(HIT_B) is None


def test_name_of_two_versions_stands_for_the_wanted_one(tmp_path: Path) -> None:
    old = Hit.parse("2001:10::17")
    resolver = Resolver(
        [Peer(HIT_A, "gw"), Peer(old, "gw"), Peer(HIT_B, "new")], files_in(tmp_path)
    )
    assert resolver.hit_of_name("gw") == HIT_A
    assert resolver.hit_of_name("GW", 1) == old
    assert resolver.hit_of_name("new", 1) == HIT_B, "it has no other"
    assert resolver.hit_of_name("nobody", 1) is None
    (tmp_path / "both").write_text(f"{old} host\n{HIT_B} host\n")
    files = HostsFiles([tmp_path / "both"], PREFIX)
    files.refresh()
    resolver = Resolver([], files)
    assert (resolver.hit_of_name("host", 1), resolver.hit_of_name("host", 2)) == (old, HIT_B)


def test_runtime_mappings_go_before_everything_and_add_up(tmp_path: Path) -> None:
    resolver = Resolver([Peer(HIT_A, addresses=(IPv4Address("192.0.2.1"),))], files_in(tmp_path))
    resolver.add_mapping(HIT_A, IPv4Address("192.0.2.50"))
    resolver.add_mapping(HIT_A, IPv4Address("192.0.2.50"), Lsi.parse("1.0.0.9"))
    resolver.add_mapping(HIT_B, IPv4Address("192.0.2.51"))
    assert resolver.locators_of(HIT_A) == (IPv4Address("192.0.2.50"), IPv4Address("192.0.2.1"))
    assert resolver.fixed_lsis() == {HIT_A: Lsi.parse("1.0.0.9")}
    assert resolver.known_hits() == (HIT_A, HIT_B)
    resolver.set_peers([])
    assert resolver.locators_of(HIT_A) == (IPv4Address("192.0.2.50"),)
