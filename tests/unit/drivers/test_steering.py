"""Packets of one SPI come to one socket, those of one peer to one queue, by the kernel's choice."""

from __future__ import annotations

import os
import select
import socket
from collections import Counter

import pytest

from hipgw.drivers import classic_bpf
from hipgw.drivers.esp_filter import EspFilter
from hipgw.drivers.udp import open_hip_udp_group
from hipgw.errors import HostError

LOOPBACK = {4: "127.0.0.1", 6: "::1"}
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
PATIENCE_S = 60.0


def arrivals(sockets: list[socket.socket], count: int) -> list[tuple[int, bytes]]:
    """(socket, datagram) of the next `count`."""
    found: list[tuple[int, bytes]] = []
    while len(found) < count:
        ready, _, _ = select.select(sockets, [], [], PATIENCE_S)
        assert ready, f"{len(found)} of {count} arrived"
        found += [(sockets.index(one), one.recv(4096)) for one in ready]
    return found


def drained(channel: socket.socket) -> list[bytes]:
    """Everything that waits in a socket."""
    found = []
    while select.select([channel], [], [], 0)[0]:
        found.append(channel.recv(64))
    return found


def spi_after(header: bytes, octets: bytes) -> int:
    return int.from_bytes(octets[len(header) :][:4], "big")


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("count", [2, 3, 16])
def test_datagrams_go_by_the_last_octet_of_their_spi(family: int, count: int) -> None:
    groups = open_hip_udp_group(0, count)
    sockets = groups[family]
    port = sockets[0].getsockname()[1]
    try:
        assert {one.getsockname()[1] for one in sockets} == {port}
        assert not any(one.getblocking() for one in sockets)
        sent = []
        with socket.socket(FAMILIES[family], socket.SOCK_DGRAM) as sender:
            for spi in range(0x7700_0000, 0x7700_0100):
                for source in (spi, spi ^ 0x1234_0000):
                    sent.append(source.to_bytes(4, "big") + bytes(8))
                    sender.sendto(sent[-1], (LOOPBACK[family], port))
            found = arrivals(sockets, len(sent))
            for number, octets in found:
                assert number == octets[3] % count
            spread = Counter(number for number, _ in found)
            assert set(spread) == set(range(count))
            assert max(spread.values()) - min(spread.values()) <= 2
            for short in (bytes(4) + b"control", b"\xff", b"", b"abc"):
                sender.sendto(short, (LOOPBACK[family], port))
            assert {number for number, _ in arrivals(sockets, 4)} == {0}
    finally:
        for opened in (one for group in groups.values() for one in group):
            opened.close()


def test_one_socket_is_no_group() -> None:
    groups = open_hip_udp_group(0, 1)
    assert [len(group) for group in groups.values()] == [1, 1]
    for (opened,) in groups.values():
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 0
        opened.close()


@pytest.mark.parametrize("held_by_group", [False, True])
def test_a_port_in_use_is_not_shared(held_by_group: bool) -> None:
    """SO_REUSEPORT would let a second daemon take half of the first one's packets."""
    groups = open_hip_udp_group(0, 2 if held_by_group else 1)
    port = groups[4][0].getsockname()[1]
    try:
        with pytest.raises(HostError, match=f"UDP port {port} .*in use"):
            open_hip_udp_group(port, 2)
    finally:
        for opened in (one for group in groups.values() for one in group):
            opened.close()


@pytest.mark.parametrize(("family", "header"), [(4, b"\x46" + bytes(23)), (6, b"")])
def test_each_raw_socket_has_its_share_also_beside_the_kernels(family: int, header: bytes) -> None:
    ends = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(3)]
    sieve = EspFilter({family: [near for near, _ in ends]})

    def passed() -> list[set[int]]:
        """What comes through to each socket, of SPIs that are sent to all, as the kernel does."""
        found: list[set[int]] = []
        for near, far in ends:
            near.setblocking(False)
            for spi in range(256, 286):
                far.send(header + spi.to_bytes(4, "big") + bytes(8))
            found.append({spi_after(header, octets) for octets in drained(near)})
        return found

    shares = [{spi for spi in range(256, 286) if spi % 256 % 3 == one} for one in range(3)]
    try:
        sieve.share()
        assert passed() == shares
        sieve.refuse({256, 260})
        assert passed() == [share - {256, 260} for share in shares]
        sieve.refuse(())
        assert passed() == shares
    finally:
        for near, far in ends:
            near.close()
            far.close()


def test_a_program_that_the_kernel_refuses_is_an_error() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        with pytest.raises(OSError, match="Invalid argument"):
            classic_bpf.attach(opened, classic_bpf.instruction(classic_bpf.MODULO, 0))
        assert os.fstat(opened.fileno())
