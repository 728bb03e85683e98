"""ICMP Parameter Problems, octet by octet (RFC 792, 4443, 1812)."""

from __future__ import annotations

import struct
from ipaddress import ip_address

from hipgw.daemon.icmp_sockets import IcmpSockets, message_v4, message_v6
from hipgw.proto import SendIcmp
from hipgw.values import Path

V4 = Path(ip_address("127.0.0.1"), ip_address("127.0.0.2"))
V6 = Path(ip_address("2001:db8::1"), ip_address("2001:db8::2"))
PACKET = bytes(range(1, 41)) + b"parameters"


def ones_complement_sum(octets: bytes) -> int:
    total = sum(struct.unpack(f"!{(len(octets) + 1) // 2}H", octets + bytes(len(octets) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def test_over_ipv4() -> None:
    message = message_v4(V4, 3, PACKET)
    assert message is not None
    assert message[:2] == bytes([12, 0])
    assert message[4] == 23, "the version octet, behind an IP header of 20"
    assert ones_complement_sum(message) == 0xFFFF
    quoted = message[8:]
    assert quoted[0] == 0x45
    assert quoted[9] == 139
    assert int.from_bytes(quoted[2:4], "big") == 20 + len(PACKET)
    assert quoted[12:20] == bytes([127, 0, 0, 2, 127, 0, 0, 1]), "as the peer sent it"
    assert ones_complement_sum(quoted[:20]) == 0xFFFF
    assert quoted[20:] == PACKET


def test_over_ipv4_a_pointer_has_one_octet() -> None:
    assert message_v4(V4, 235, bytes(400)) is not None
    assert message_v4(V4, 236, bytes(400)) is None


def test_over_ipv6() -> None:
    message = message_v6(V6, 128, PACKET)
    assert message[:4] == bytes([4, 0, 0, 0])
    assert int.from_bytes(message[4:8], "big") == 168
    quoted = message[8:]
    assert quoted[0] >> 4 == 6
    assert quoted[6] == 139
    assert int.from_bytes(quoted[4:6], "big") == len(PACKET)
    assert quoted[8:40] == V6.peer.packed + V6.local.packed
    assert quoted[40:] == PACKET


def test_a_long_packet_is_quoted_in_part() -> None:
    message = message_v4(V4, 3, bytes(2000))
    assert message is not None
    assert len(message) + 20 == 576
    assert len(message_v6(V6, 3, bytes(2000))) + 40 == 1280


def test_what_cannot_be_sent_is_counted() -> None:
    sockets = IcmpSockets()
    nowhere = Path(ip_address("192.0.2.1"), ip_address("192.0.2.2"))
    assert not sockets.send(SendIcmp(nowhere, 3, PACKET))
    assert sockets.counters == {"icmp_not_sent": 1}
    sockets.close()
