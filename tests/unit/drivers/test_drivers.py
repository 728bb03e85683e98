"""What the drivers ask of the host, and what they say when the host refuses."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct

import pytest

from hipgw.drivers.rawip import open_raw
from hipgw.drivers.tun import TunDevice, open_tun
from hipgw.drivers.udp import open_hip_udp
from hipgw.errors import HostError

IP_PKTINFO = 8


def test_udp_sockets_know_the_local_address_of_each_packet() -> None:
    four, six = open_hip_udp(0)
    assert six is not None
    with four, six:
        assert four.getsockopt(socket.IPPROTO_IP, IP_PKTINFO) == 1
        assert six.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO) == 1
        assert six.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
        assert four.getblocking() is six.getblocking() is False
        assert not os.get_inheritable(four.fileno())
        assert four.getsockname()[0] == "0.0.0.0"  # noqa: S104
        assert six.getsockname()[0] == "::"


def test_a_port_in_use_is_named_with_its_remedy() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("0.0.0.0", 0))  # noqa: S104
        port = holder.getsockname()[1]
        with pytest.raises(HostError, match=f"UDP port {port} .*in use.*stop the process"):
            open_hip_udp(port)


def test_the_first_socket_is_closed_when_the_second_fails() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as holder:
        holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        holder.bind(("::", 0))
        port = holder.getsockname()[1]
        with pytest.raises(HostError, match="IPv6"):
            open_hip_udp(port)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(("0.0.0.0", port))  # noqa: S104


class RefusedSocket(socket.socket):
    """A socket that the host does not give."""

    refused: tuple[socket.AddressFamily, ...] = ()
    number = errno.EPERM

    def __init__(self, family: socket.AddressFamily, *arguments: int) -> None:
        if family in self.refused:
            raise OSError(self.number, os.strerror(self.number))
        super().__init__(family, *arguments)


def test_a_host_without_ipv6_gets_the_ipv4_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RefusedSocket, "refused", (socket.AF_INET6,))
    monkeypatch.setattr(RefusedSocket, "number", errno.EAFNOSUPPORT)
    monkeypatch.setattr("hipgw.drivers.packet_sockets.socket.socket", RefusedSocket)
    four, six = open_hip_udp(0)
    with four:
        assert six is None


@pytest.mark.parametrize("protocol", [50, 139])
@pytest.mark.parametrize("family", [4, 6])
def test_raw_sockets_without_permission_say_what_is_needed(
    monkeypatch: pytest.MonkeyPatch, protocol: int, family: int
) -> None:
    monkeypatch.setattr(RefusedSocket, "refused", (socket.AF_INET, socket.AF_INET6))
    monkeypatch.setattr("hipgw.drivers.packet_sockets.socket.socket", RefusedSocket)
    with pytest.raises(HostError, match=f"protocol {protocol} over IPv{family}.*CAP_NET_RAW"):
        open_raw(protocol, family)


def test_an_unknown_family_is_the_callers_error() -> None:
    with pytest.raises(ValueError, match="not 5"):
        open_raw(50, 5)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOENT, "modprobe tun"),
        (errno.EACCES, "CAP_NET_ADMIN"),
        (errno.EPERM, "CAP_NET_ADMIN"),
    ],
)
def test_a_missing_tun_driver_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("hipgw.drivers.tun.os.open", refuse)
    with pytest.raises(HostError, match=f"/dev/net/tun.*{words}"):
        open_tun("hip0", mtu=1400)


def test_a_busy_tun_device_is_named_and_nothing_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    read_end, write_end = os.pipe()
    monkeypatch.setattr("hipgw.drivers.tun.os.open", lambda *_: read_end)

    def refuse(*_: object) -> bytes:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr("hipgw.drivers.tun.fcntl.ioctl", refuse)
    with pytest.raises(HostError, match=r"'hip0'.*busy.*another name"):
        open_tun("hip0", mtu=1400)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(read_end)
    os.close(write_end)


def test_the_device_is_asked_for_without_packet_information(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[bytes] = []
    read_end, write_end = os.pipe()
    opened: list[int] = []

    def open_clone(path: str, flags: int) -> int:
        assert path == "/dev/net/tun"
        opened.append(flags)
        return read_end

    def answer(_fd: int, _request: int, octets: bytes) -> bytes:
        asked.append(octets)
        return b"hip7".ljust(16, b"\0") + octets[16:]

    monkeypatch.setattr("hipgw.drivers.tun.os.open", open_clone)
    monkeypatch.setattr(fcntl, "ioctl", answer)
    with open_tun("hip%d", mtu=1400) as device:
        assert device.name == "hip7"
        assert device.fd == read_end
    assert device.fd == -1
    device.close()
    os.close(write_end)
    assert opened[0] & os.O_NONBLOCK
    assert opened[0] & os.O_CLOEXEC
    assert asked[0][:16].rstrip(b"\0") == b"hip%d"
    assert struct.unpack_from("H", asked[0], 16)[0] == 0x1001  # IFF_TUN | IFF_NO_PI
    assert asked[1][:16].rstrip(b"\0") == b"hip7"
    assert [struct.unpack_from("i", octets, 16)[0] for octets in asked[1:]] == [1400, 2000]


@pytest.mark.parametrize(
    ("name", "mtu", "words"),
    [("", 1400, "1 to 15"), ("x" * 16, 1400, "1 to 15"), ("hip0", 1279, "1280 to 65535")],
)
def test_impossible_devices_are_refused(name: str, mtu: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        open_tun(name, mtu=mtu)


def test_a_device_closes_once() -> None:
    read_end, write_end = os.pipe()
    os.close(write_end)
    device = TunDevice(read_end, "hip0")
    device.close()
    device.close()
    assert device.fd == -1
