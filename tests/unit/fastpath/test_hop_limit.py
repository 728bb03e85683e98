"""The hop limit of an inner packet travels in the outer header, both ways."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet, Raw

from hipgw._fastpath.punts import PUNT_FAMILY, PUNT_FIRST_ESP
from tests.unit.fastpath.wires import HIT_A, HIT_B, LSI_A, LSI_B, wait_until, wired

pytestmark = pytest.mark.usefixtures("each_way")

LIMITS = [255, 64, 64, 17, 17, 17, 64, 2, 1]


def named(family: int, limit: int, number: int) -> Packet:
    layers = UDP(sport=1000, dport=2000) / Raw(bytes([number]) * 100)
    if family == 6:
        return IPv6(src=address(HIT_A), dst=address(HIT_B), hlim=limit) / layers
    return IP(src=address(LSI_A), dst=address(LSI_B), ttl=limit, flags="DF") / layers


def address(octets: bytes) -> str:
    return (
        (IPv6 if len(octets) == 16 else IP)()
        .fieldtype["src"]
        .i2h(None, (octets.hex(":", 2) if len(octets) == 16 else ".".join(map(str, octets))))
    )


@pytest.mark.parametrize("inner", [6, 4])
@pytest.mark.parametrize("outer", [4, 6])
def test_every_packet_keeps_its_own(outer: int, inner: int) -> None:
    """Also neighbours of one flow and size, which would be one train."""
    with wired(family=outer) as (a, b):
        b.path.set_port_family(17, 2000, inner)
        for number, limit in enumerate(LIMITS):
            a.application.send(bytes(named(inner, limit, number)))
        for number, limit in enumerate(LIMITS):
            octets = b.application.recv(4096)
            got = IPv6(octets) if inner == 6 else IP(octets)
            assert bytes(got[Raw]) == bytes([number]) * 100
            assert (got.hlim if inner == 6 else got.ttl) == limit


def test_also_when_the_control_plane_had_to_look() -> None:
    with wired() as (a, b):
        packet = named(6, 33, 7)
        packet.tc = 0xB8
        a.application.send(bytes(packet))
        wait_until(lambda: b.path.counters()["punt_family"] == 1)
        punts = [punt for punt in b.path.take_punts() if punt[0] != PUNT_FIRST_ESP]
        ((kind, octets, (spi, _, _)),) = punts
        assert kind == PUNT_FAMILY
        for family in (6, 4):
            assert b.path.deliver_inbound(octets, family, spi)
            got = b.application.recv(4096)
            if family == 6:
                assert (IPv6(got).hlim, IPv6(got).tc) == (33, 0xB8)
            else:
                assert (IP(got).ttl, IP(got).tos) == (33, 0xB8)
