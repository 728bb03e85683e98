"""ICMP Packet Too Big, read by scapy."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6PacketTooBig, IPv6
from scapy.packet import Raw

from hipgw.policy import too_big

V4 = {"src": "192.168.7.2", "dst": "192.168.8.2"}
V6 = {"src": "fd00:7::2", "dst": "fd00:8::2"}


def test_ipv4_says_how_long_and_quotes() -> None:
    packet = bytes(IP(**V4, flags="DF") / UDP(sport=1, dport=2) / Raw(bytes(1400)))
    answer = too_big(packet, 1300)
    assert answer is not None
    read = IP(answer)
    assert (read.src, read.dst) == (V4["dst"], V4["src"])
    assert (read[ICMP].type, read[ICMP].code, read[ICMP].nexthopmtu) == (3, 4, 1300)
    assert len(answer) == 576
    assert bytes(read[ICMP].payload)[:28] == packet[:28]
    sums = read.chksum, read[ICMP].chksum
    del read.chksum, read[ICMP].chksum
    again = IP(bytes(read))
    assert (again.chksum, again[ICMP].chksum) == sums


@pytest.mark.parametrize("octets", [100, 101, 1400])
def test_ipv6_says_how_long_and_quotes(octets: int) -> None:
    packet = bytes(IPv6(**V6) / UDP(sport=1, dport=2) / Raw(bytes(octets)))
    answer = too_big(packet, 1290)
    assert answer is not None
    read = IPv6(answer)
    assert (read.src, read.dst) == (V6["dst"], V6["src"])
    assert read[ICMPv6PacketTooBig].mtu == 1290
    assert len(answer) == min(1280, 48 + len(packet))
    right = read[ICMPv6PacketTooBig].cksum
    del read[ICMPv6PacketTooBig].cksum
    assert IPv6(bytes(read))[ICMPv6PacketTooBig].cksum == right


def test_no_ipv6_host_is_asked_for_less_than_it_must_send() -> None:
    answer = too_big(bytes(IPv6(**V6) / UDP() / Raw(bytes(1400))), 1240)
    assert answer is not None
    assert IPv6(answer)[ICMPv6PacketTooBig].mtu == 1280


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x45",
        b"\x60" + bytes(38),
        bytes(IP(**V4) / ICMP(type=3, code=4) / Raw(bytes(40))),
        bytes(IP(**V4) / ICMP(type=11) / Raw(bytes(40))),
        bytes(IP(**V4, frag=5) / Raw(bytes(1400))),
        bytes(IPv6(**V6) / ICMPv6PacketTooBig() / Raw(bytes(40))),
        b"\x50" + bytes(60),
    ],
)
def test_errors_and_fragments_are_not_answered(packet: bytes) -> None:
    assert too_big(packet, 1300) is None


def test_echo_and_first_fragments_are_answered() -> None:
    for packet in (
        IP(**V4, flags="DF") / ICMP() / Raw(bytes(1400)),
        IP(**V4, flags="MF") / TCP() / Raw(bytes(1400)),
        IPv6(**V6) / ICMPv6EchoRequest(data=bytes(1400)),
    ):
        assert too_big(bytes(packet), 1300) is not None
