"""Invariant: parse_hosts never raises; each line is used, left out or reported; tables join.

The input is a hosts file.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network

from hipgw.resolve import HostsTable, parse_hosts
from tests.fuzz.target import Target
from tests.fuzz.texts import line_mutator

PREFIX = IPv4Network("1.0.0.0/8")
WORDS = (
    b"2001:22:e0d3:30c4:f6a7:86e5:2dc9:39ad",
    b"2001:10::1",
    b"2001:2f:ffff:ffff:ffff:ffff:ffff:ffff",
    b"::ffff:192.0.2.1",
    b"fe80::1%eth0",
    b"2001:db8::1%25",
    b"1.0.0.7",
    b"1.255.255.255",
    b"192.0.2.1",
    b"127.0.0.1",
    b"255.255.255.255",
    b"0.0.0.0",
    b"::",
    b"ff02::1",
    b"gw1 GW1.example",
    b"\xc3\x9f",
    b"#",
    b"\t",
    b"\x1c",
    b"\xe2\x80\xa8",
    b"01.2.3.4",
    b"1/8",
)


def run(octets: bytes) -> None:
    """Parse, count, and look everything up."""
    text = octets.decode("utf-8", errors="replace")
    lines, troubles = parse_hosts(text, PREFIX, "hosts")
    assert len(lines) + len(troubles) <= len(text.splitlines())
    for trouble in troubles:
        assert 1 <= trouble.line <= len(text.splitlines())
        assert trouble.message
    table = HostsTable(lines)
    for line in lines:
        assert [line.hit, line.lsi, line.address].count(None) == 2
        assert line.names
        if line.hit is not None:
            assert line.hit in table.hits()
            assert table.names_of(line.hit)
            for name in line.names:
                assert table.hit_of(name) is not None
                assert not name.isascii() or table.hit_of(name.upper()) is not None
    for hit in table.hits():
        table.addresses_of(hit)
    assert set(table.fixed_lsis()) <= set(table.hits())


def seeds() -> Iterator[bytes]:
    """One file of each sort."""
    yield b"2001:22:e0d3:30c4::1 gw1 gw1.example # one\n1.0.0.7 gw1\n192.0.2.1 gw1\n"
    yield b"127.0.0.1 localhost\n::1 localhost\nff02::1 all\n\n# nothing\n"
    for word in WORDS:
        yield word + b" name\n"


TARGET = Target("hosts", run, seeds, line_mutator(WORDS))
