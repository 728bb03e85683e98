"""What offloads the kernel is asked for, and what happens when it has none."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Callable

import pytest

from hipgw.drivers.offload import UDP_GRO, Offload, enable_udp, kernel_release
from hipgw.drivers.tun import TunDevice, open_tun
from hipgw.errors import HostError

TUNSETIFF = 0x400454CA
TUNSETOFFLOAD = 0x400454D0
VNET_HDR = 0x4000
USO = 0x60


class Kernel:
    """Answers the ioctls of a TUN device; `refused` says no."""

    def __init__(self, refused: Callable[[int, object], int]) -> None:
        self.refused = refused
        self.flags: list[int] = []
        self.offloads: list[int] = []

    def ioctl(self, _fd: int, request: int, argument: object) -> bytes:
        number = self.refused(request, argument)
        if request == TUNSETOFFLOAD:
            assert isinstance(argument, int)
            self.offloads.append(argument)
        if request == TUNSETIFF:
            assert isinstance(argument, bytes)
            self.flags.append(struct.unpack_from("H", argument, 16)[0])
        if number:
            raise OSError(number, os.strerror(number))
        return b"hip0".ljust(40, b"\0")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[TunDevice, Kernel]]:
    def open_one(
        offload: Offload, refused: Callable[[int, object], int] = lambda *_: 0
    ) -> tuple[TunDevice, Kernel]:
        kernel = Kernel(refused)
        monkeypatch.setattr("hipgw.drivers.tun.os.open", lambda *_: os.eventfd(0))
        monkeypatch.setattr(fcntl, "ioctl", kernel.ioctl)
        return open_tun("hip0", mtu=1400, offload=offload), kernel

    return open_one


def without_vnet(request: int, argument: object) -> int:
    is_asked = isinstance(argument, bytes) and struct.unpack_from("H", argument, 16)[0] & VNET_HDR
    return errno.EINVAL if request == TUNSETIFF and is_asked else 0


def without_uso(request: int, argument: object) -> int:
    is_asked = request == TUNSETOFFLOAD and isinstance(argument, int) and argument & USO
    return errno.EINVAL if is_asked else 0


def test_off_asks_for_nothing(opened: Callable[..., tuple[TunDevice, Kernel]]) -> None:
    device, kernel = opened(Offload.OFF)
    with device:
        assert (device.vnet_hdr, device.uso, device.reason) == (False, False, "switched off")
        assert (kernel.flags, kernel.offloads) == ([0x1001], [])


@pytest.mark.parametrize("switch", [Offload.AUTO, Offload.ON])
def test_everything_is_taken(
    opened: Callable[..., tuple[TunDevice, Kernel]], switch: Offload
) -> None:
    device, kernel = opened(switch)
    with device:
        assert (device.vnet_hdr, device.uso, device.reason) == (True, True, "")
        assert (kernel.flags, kernel.offloads) == ([0x5001], [0x6F])


def test_a_kernel_without_udp_super_packets_gives_the_rest(
    opened: Callable[..., tuple[TunDevice, Kernel]],
) -> None:
    device, kernel = opened(Offload.AUTO, without_uso)
    with device:
        assert (device.vnet_hdr, device.uso) == (True, False)
        assert device.reason == "no UDP super-packets in this kernel"
        assert kernel.offloads == [0x6F, 0x0F]


def test_a_kernel_without_vnet_headers_gives_a_plain_device(
    opened: Callable[..., tuple[TunDevice, Kernel]],
) -> None:
    device, kernel = opened(Offload.AUTO, without_vnet)
    with device:
        assert (device.vnet_hdr, device.uso) == (False, False)
        assert device.reason == "no vnet headers in this kernel"
        assert kernel.flags == [0x5001, 0x1001]


def test_on_refuses_to_start_without(opened: Callable[..., tuple[TunDevice, Kernel]]) -> None:
    with pytest.raises(HostError, match=r'\[offload\] tun = "on".*say "auto"'):
        opened(Offload.ON, without_vnet)


def test_another_trouble_is_not_taken_for_a_missing_offload(
    opened: Callable[..., tuple[TunDevice, Kernel]],
) -> None:
    with pytest.raises(HostError, match="busy"):
        opened(Offload.AUTO, lambda request, _: errno.EBUSY if request == TUNSETIFF else 0)


class OldSocket(socket.socket):
    """UDP of a kernel that knows no trains."""

    unknown: tuple[int, ...] = ()

    def setsockopt(self, level: int, option: int, *value: object) -> None:  # type: ignore[override]
        if option in self.unknown:
            raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))
        super().setsockopt(level, option, *value)  # type: ignore[call-overload]

    def getsockopt(self, level: int, option: int) -> int:  # type: ignore[override]
        if option in self.unknown:
            raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))
        return super().getsockopt(level, option)


@pytest.fixture
def datagrams() -> OldSocket:
    return OldSocket(socket.AF_INET, socket.SOCK_DGRAM)


def test_trains_are_switched_on(datagrams: OldSocket) -> None:
    with datagrams:
        found = enable_udp([datagrams], Offload.AUTO)
        assert (found.udp_gso, found.udp_gro, found.udp_reason) == (True, True, "")
        assert datagrams.getsockopt(socket.IPPROTO_UDP, UDP_GRO) == 1


def test_trains_stay_off(datagrams: OldSocket) -> None:
    with datagrams:
        found = enable_udp([datagrams], Offload.OFF)
        assert (found.udp_gso, found.udp_gro, found.udp_reason) == (False, False, "switched off")
        assert datagrams.getsockopt(socket.IPPROTO_UDP, UDP_GRO) == 0


@pytest.mark.parametrize(("option", "words"), [(103, "no UDP_SEGMENT"), (104, "no UDP_GRO")])
def test_a_missing_half_is_named(datagrams: OldSocket, option: int, words: str) -> None:
    with datagrams:
        datagrams.unknown = (option,)
        found = enable_udp([datagrams], Offload.AUTO)
        assert (found.udp_gso, found.udp_gro) == (option != 103, option != 104)
        assert words in found.udp_reason
        with pytest.raises(HostError, match=f'udp = "on": {words}.*say "auto"'):
            enable_udp([datagrams], Offload.ON)


def test_a_kernel_whose_trains_are_wrong_is_not_trusted(
    datagrams: OldSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hipgw.drivers.offload.GRO_KERNEL", (*kernel_release(), 1))
    with datagrams:
        found = enable_udp([datagrams], Offload.AUTO)
        assert (found.udp_gso, found.udp_gro) == (True, False)
        assert "not to be trusted" in found.udp_reason
