"""What the control plane reads of inner packets, and how it puts one into another."""

from __future__ import annotations

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6

from hipgw.daemon.inner_packets import in_ipv6, inner_ends
from hipgw.values import Hit

LOCAL, PEER = Hit.parse("2001:22::a"), Hit.parse("2001:22::b")


def test_packets_of_hosts_without_hip_go_between_the_hits() -> None:
    for inner, protocol in (
        (IP(src="192.168.7.2", dst="192.168.8.2", tos=0xB9) / UDP(), 4),
        (IPv6(src="fd00:7::2", dst="fd00:8::2", tc=0xB9) / UDP(), 41),
    ):
        octets = bytes(inner)
        found = IPv6(in_ipv6(octets, LOCAL, PEER))
        assert (found.version, found.tc, found.fl, found.nh, found.hlim) == (
            6, 0xB9, 0, protocol, 64,
        )  # fmt: skip
        assert found.plen == len(octets)
        assert bytes(found)[40:] == octets
        assert inner_ends(bytes(found)) == (LOCAL, PEER)
