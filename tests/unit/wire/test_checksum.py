"""RFC 7401 Appendix C and the corners of one's complement arithmetic."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from hipgw.errors import LocalProtocolError
from hipgw.values import Address, Hit
from hipgw.wire import (
    DhGroupList,
    HipPacket,
    PacketType,
    checksum_is_right,
    emit_packet,
    parse_packet,
    with_checksum,
)

# Appendix C.1: I1 with DH groups 3, 4, 8, from 2001:20::1 to 2001:20::2.
I1 = bytes.fromhex(
    "3b050121 00000000"
    "20010020 00000000 00000000 00000001"
    "20010020 00000000 00000000 00000002"
    "01ff0003 03040800"
)
V6 = ip_address("2001:db8::1"), ip_address("2001:db8::2")
V4 = ip_address("192.0.2.1"), ip_address("192.0.2.2")


@pytest.mark.parametrize(("addresses", "checksum"), [(V6, 0x1A5E), (V4, 0xF1CE)])
def test_appendix_c(addresses: tuple[Address, Address], checksum: int) -> None:
    """Appendix C.1 (IPv6) and C.2 (IPv4)."""
    filled = with_checksum(I1, *addresses)
    assert filled == I1[:4] + checksum.to_bytes(2, "big") + I1[6:]
    assert checksum_is_right(filled, *addresses)


def test_appendix_c_packet_is_what_we_emit() -> None:
    packet = HipPacket(
        PacketType.I1,
        Hit.parse("2001:20::1"),
        Hit.parse("2001:20::2"),
        (DhGroupList((3, 4, 8)),),
    )
    assert emit_packet(packet) == I1
    assert parse_packet(with_checksum(I1, *V6)) == packet


def test_old_checksum_is_ignored() -> None:
    assert with_checksum(I1[:4] + b"\xff\xff" + I1[6:], *V6) == with_checksum(I1, *V6)


def test_every_bit_counts() -> None:
    filled = with_checksum(I1, *V6)
    for octet in range(len(filled)):
        if octet == 1:
            continue  # Header Length: another length, tested below
        for bit in range(8):
            broken = bytearray(filled)
            broken[octet] ^= 1 << bit
            assert not checksum_is_right(bytes(broken), *V6)


def test_addresses_count() -> None:
    filled = with_checksum(I1, *V4)
    assert checksum_is_right(filled, V4[1], V4[0])  # a sum does not see their order
    assert not checksum_is_right(filled, V4[0], ip_address("192.0.2.3"))
    assert not checksum_is_right(filled, *V6)


def test_checksum_zero_is_written_as_it_is() -> None:
    """A sum of 0xffff gives checksum 0x0000 (section 5.1.1 gives zero no meaning)."""
    almost = with_checksum(I1, *V4)
    groups = int.from_bytes(almost[4:6], "big")  # this much must be added to the last group word
    body = bytearray(I1)
    word = int.from_bytes(body[46:48], "big") + groups
    word = (word & 0xFFFF) + (word >> 16)
    body[46:48] = word.to_bytes(2, "big")
    filled = with_checksum(bytes(body), *V4)
    assert filled[4:6] == b"\0\0"
    assert checksum_is_right(filled, *V4)


def test_what_follows_the_packet_is_not_summed() -> None:
    assert checksum_is_right(with_checksum(I1, *V6) + b"payload", *V6)


@pytest.mark.parametrize("octets", [b"", I1[:39], I1[:47], b"\0" * 40, b"\x3b\x03" + bytes(38)])
def test_too_short_to_tell(octets: bytes) -> None:
    assert not checksum_is_right(octets, *V6)
    with pytest.raises(LocalProtocolError):
        with_checksum(octets, *V6)


def test_not_one_packet() -> None:
    with pytest.raises(LocalProtocolError):
        with_checksum(I1 + bytes(8), *V6)


def test_mixed_families() -> None:
    with pytest.raises(LocalProtocolError):
        with_checksum(I1, V6[0], V4[1])
    with pytest.raises(LocalProtocolError):
        checksum_is_right(I1, V4[0], V6[1])
