"""What routers say, as scapy writes it."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6
from scapy.packet import Packet, Raw

from hipgw.drivers.icmp import TooBig, parse_too_big
from hipgw.values import Encapsulation

SPI = 0x1234_5678
ESP = Raw(SPI.to_bytes(4) + bytes(20))
OUT4 = IP(src="192.0.2.1", dst="192.0.2.2")
OUT6 = IPv6(src="2001:db8::1", dst="2001:db8::2")
UDP_HEAD = UDP(sport=10500, dport=10501)


def from_router(quoted: Packet, mtu_octets: int = 1400) -> tuple[int, bytes]:
    """Family, and what the socket of that family delivers."""
    if quoted.version == 4:
        error = IP(dst="192.0.2.1") / ICMP(type=3, code=4, nexthopmtu=mtu_octets) / quoted
        return 4, bytes(error)
    error = IPv6(dst="2001:db8::1") / ICMPv6PacketTooBig(mtu=mtu_octets) / quoted
    return 6, bytes(error)[40:]


@pytest.mark.parametrize("outer", [OUT4, OUT6])
def test_esp_is_told_by_its_spi(outer: Packet) -> None:
    raw = outer.copy()
    raw.proto = raw.nh = 50
    assert parse_too_big(*from_router(raw / ESP)) == TooBig(
        ip_address(outer.src), ip_address(outer.dst), Encapsulation.RAW, 0, 0, SPI, 1400
    )
    assert parse_too_big(*from_router(outer / UDP_HEAD / ESP)) == TooBig(
        ip_address(outer.src), ip_address(outer.dst), Encapsulation.UDP, 10500, 10501, SPI, 1400
    )


def test_a_router_that_names_no_mtu_means_little() -> None:
    told = parse_too_big(*from_router(IP(src="192.0.2.1", dst="192.0.2.2", proto=50) / ESP, 0))
    assert told is not None
    assert told.mtu_octets == 1280


@pytest.mark.parametrize(
    "quoted",
    [
        OUT4 / UDP_HEAD,
        IP(proto=50) / Raw(b"abc"),
        IP(proto=6) / ESP,
        OUT6 / UDP_HEAD,
        IPv6(nh=6) / ESP,
    ],
)
def test_what_does_not_show_an_spi_is_nothing(quoted: Packet) -> None:
    assert parse_too_big(*from_router(quoted)) is None


@pytest.mark.parametrize("family", [4, 6])
def test_any_octets_are_read_without_harm(family: int) -> None:
    whole = from_router((OUT4 if family == 4 else OUT6) / UDP_HEAD / ESP)[1]
    for length in range(len(whole)):
        told = parse_too_big(family, whole[:length])
        assert told is None or told.spi == SPI
    for octet in (0, 0x40, 0x4F, 0x60, 0xFF):
        assert parse_too_big(family, bytes([octet]) * 60) is None
