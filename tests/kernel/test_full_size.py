"""The longest packets that we let hosts send pass whole, also where the kernel miscounts.

With IPv4 inside and IPv6 outside, and a block cipher, Linux lets TCP segments through that are some
octets too long for one outer packet, and sends two fragments.  Whoever keeps to our MTU never meets
it.  (Packets of LSIs are the only such ones; hipgw carries them itself anyway.)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hipgw.policy import interface_mtus
from hipgw.values import Encapsulation, EspSuite
from tests.kernel.hosts import LSIS, Host, Keys, install, transfer

Hosts = tuple[Host, Host]
CBC = EspSuite.AES_128_CBC_HMAC_SHA256
LINK_OCTETS = 1500


def fragments(host: Host) -> int:
    """IPv6 fragments that a host has made so far."""
    text = host.call(Path("/proc/thread-self/net/snmp6").read_text)
    return int(dict(line.split() for line in text.splitlines())["Ip6FragCreates"])


@pytest.fixture
def carried(hosts: Hosts) -> Iterator[Hosts]:
    """IPv4 inside, IPv6 outside, a block cipher."""
    a, b = hosts
    keys = Keys.fresh(CBC)
    install(a, b, keys, inner=4, outer=6)
    install(b, a, keys, inner=4, outer=6)
    yield hosts
    bound(hosts, LINK_OCTETS)


def bound(hosts: Hosts, mtu_octets: int) -> None:
    for number, host in enumerate(hosts):
        host.ip("route", "replace", *route(number), "mtu", str(mtu_octets))


def route(number: int) -> list[str]:
    return ["1.0.0.0/8", "dev", "hip0", "src", str(LSIS[number])]


def test_the_kernel_fragments_what_it_thinks_fits(carried: Hosts) -> None:
    a, b = carried
    before = fragments(a)
    transfer(a, b, 4)
    assert fragments(a) > before


@pytest.mark.parametrize("suite", [CBC, EspSuite.AES_GCM_16], ids=lambda suite: suite.name)
def test_nothing_is_fragmented_within_our_mtu(carried: Hosts, suite: EspSuite) -> None:
    a, b = carried
    _, lsi_mtu_octets = interface_mtus(LINK_OCTETS, [CBC, suite], Encapsulation)
    bound(carried, lsi_mtu_octets)
    before = fragments(a), fragments(b)
    assert a.ping(b.inner(4), 1, lsi_mtu_octets - 28) == 1
    segment_octets = transfer(a, b, 4)
    assert (fragments(a), fragments(b)) == before
    assert segment_octets <= lsi_mtu_octets - 40
