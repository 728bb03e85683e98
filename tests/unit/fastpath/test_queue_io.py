"""What is said of a queued packet that the kernel did not say."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipgw._fastpath.queue_io import describe_packet
from hipgw._fastpath.segment import cut_super
from tests.unit.fastpath.wires import HIT_A, HIT_B, LSI_A, LSI_B, ipv4, ipv6, tcp, udp

UNFINISHED, SUPER = 1, 2
PLAIN = (0, 0, 0, 0, 0, 0)


def described(packet: bytes, flags: int, mtu: int = 1400, whole: int | None = None) -> object:
    said = describe_packet(packet, flags, len(packet) if whole is None else whole, mtu)
    return None if said is None else struct.unpack("=BBHHHH", said)


def tcp_octets(payload: int, options: int = 0) -> bytes:
    head = bytearray(tcp(HIT_A, HIT_B, (1, 2)))
    head[12] = (5 + options // 4) << 4
    return bytes(head) + bytes(options) + bytes(payload)


def test_a_finished_packet_needs_nothing() -> None:
    assert described(ipv6(b"anything", next_header=50), 0) == PLAIN
    assert described(ipv4(bytes(1380)), 0) == PLAIN


def test_one_longer_than_the_interface_is_left() -> None:
    assert described(ipv4(bytes(1381)), 0) is None
    assert described(ipv6(tcp_octets(1400), 6), UNFINISHED) is None


def test_one_that_is_cut_off_is_left() -> None:
    assert described(ipv6(tcp_octets(100), 6), SUPER | UNFINISHED, whole=70000) is None


@pytest.mark.parametrize(("protocol", "offset"), [(6, 16), (17, 6)])
def test_an_unfinished_checksum_is_found(protocol: int, offset: int) -> None:
    assert described(ipv6(tcp_octets(10), protocol), UNFINISHED) == (1, 0, 0, 0, 40, offset)
    packet = ipv4(tcp_octets(10), protocol)
    with_options = bytes([0x46]) + packet[1:20] + bytes(4) + packet[20:]
    assert described(with_options, UNFINISHED) == (1, 0, 0, 0, 24, offset)
    with_options_6 = ipv6(bytes([protocol, 0]) + bytes(6) + tcp_octets(10), 60)
    assert described(with_options_6, UNFINISHED) == (1, 0, 0, 0, 48, offset)


def test_a_tcp_super_packet_is_cut_to_the_interface() -> None:
    assert described(ipv6(tcp_octets(5000), 6), SUPER | UNFINISHED) == (1, 4, 0, 1340, 40, 16)
    assert described(ipv6(tcp_octets(5000, 12), 6), SUPER | UNFINISHED) == (1, 4, 0, 1328, 40, 16)
    assert described(ipv4(tcp_octets(5000), 6), SUPER | UNFINISHED, 9000) == (
        1, 1, 0, 8960, 20, 16,
    )  # fmt: skip


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(ipv6(udp(bytes(5000), HIT_A, HIT_B)), id="UDP, whose sizes only it knows"),
        pytest.param(ipv4(udp(bytes(5000), LSI_A, LSI_B)), id="UDP over IPv4"),
        pytest.param(ipv6(bytes(5000), 132), id="SCTP"),
        pytest.param(ipv6(tcp_octets(0)[:19], 6), id="TCP header cut off"),
        pytest.param(ipv6(bytes([60, 255]) + bytes(100), 60), id="extension beyond its end"),
        pytest.param(b"\x50" + bytes(100), id="version 5"),
        pytest.param(b"\x45", id="one octet"),
        pytest.param(b"\x60" + bytes(38), id="half a header"),
    ],
)
def test_what_only_the_kernel_can_cut_is_left(packet: bytes) -> None:
    assert described(packet, SUPER | UNFINISHED) is None


@given(st.binary(min_size=1, max_size=120), st.integers(0, 3), st.integers(1260, 2000))
def test_whatever_is_described_can_be_cut(packet: bytes, flags: int, mtu: int) -> None:
    for first in (packet[0], 0x45, 0x60):
        changed = bytes([first]) + packet[1:]
        said = describe_packet(changed, flags, len(changed), mtu)
        if said is not None:
            _, cut = cut_super(said + changed, mtu)
            assert all(len(piece) <= mtu for piece in cut)


def test_a_tcp_super_packet_is_cut_to_what_its_path_carries() -> None:
    packet = ipv6(tcp_octets(5000), 6)
    said = describe_packet(packet, SUPER | UNFINISHED, len(packet), 1400, 1300)
    assert said is not None
    assert struct.unpack("=BBHHHH", said) == (1, 4, 0, 1240, 40, 16)
    # One that is none is longer than no interface: the nodes behind tell its sender.
    whole = ipv6(tcp_octets(1300), 6)
    assert describe_packet(whole, UNFINISHED, len(whole), 1400, 1300) is not None
