"""The TUN device: the interface that applications route HITs and LSIs to.

Addresses, routes and bringing it up belong to `netlink`; here are its descriptor, name and MTU.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from types import TracebackType
from typing import Final, Self

from hipgw.errors import HostError

NAME_OCTETS_MOST: Final = 15
"""IFNAMSIZ less the closing zero."""
MTU_LEAST: Final = 1280
"""Least MTU of a link that carries IPv6 (RFC 8200 section 5), as HITs do."""
MTU_MOST: Final = 65535
QUEUE_PACKETS: Final = 2000
"""Packets that wait for the outbound worker; the kernel's 500 overflow within one TCP window."""

_CLONE_DEVICE: Final = "/dev/net/tun"
_TUNSETIFF: Final = 0x400454CA
_SIOCSIFMTU: Final = 0x8922
_SIOCSIFTXQLEN: Final = 0x8943
_IFF_TUN: Final = 0x0001
_IFF_NO_PI: Final = 0x1000
_IFREQ_OCTETS: Final = 40

_REMEDIES: Final = {
    errno.ENOENT: "load the module with 'modprobe tun', or make the device node",
    errno.ENODEV: "load the module with 'modprobe tun'",
    errno.EPERM: "run as root or with CAP_NET_ADMIN",
    errno.EACCES: "run as root or with CAP_NET_ADMIN",
    errno.EBUSY: "stop the process that holds it, or choose another name",
    errno.EINVAL: "a device of that name and another kind exists: choose another name",
}


class TunDevice:
    """A TUN device of one queue; it disappears when closed.

    Attributes:
        fd: non-blocking; one inner IP packet a read or write, without packet information.
        name: as the kernel spells it.
    """

    __slots__ = ("fd", "name")

    def __init__(self, fd: int, name: str) -> None:
        self.fd = fd
        self.name: Final = name

    def close(self) -> None:
        """Close the descriptor, and with it the device; harmless twice."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_tun(name: str, *, mtu: int) -> TunDevice:
    """Create the TUN device `name`.

    Args:
        name: 1 to 15 octets; a "%d" in it is replaced by the kernel with the first free number.
        mtu: octets of the largest inner packet, IP header included.

    Raises:
        HostError: with the remedy, when the host does not give the device.
        ValueError: a name or MTU that no device can have.
    """
    if not 0 < len(name.encode()) <= NAME_OCTETS_MOST:
        raise ValueError(f"device name {name!r}: expected 1 to {NAME_OCTETS_MOST} octets")
    if not MTU_LEAST <= mtu <= MTU_MOST:
        raise ValueError(f"MTU {mtu}: expected {MTU_LEAST} to {MTU_MOST} octets")
    try:
        fd = os.open(_CLONE_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _host_error(f"cannot open {_CLONE_DEVICE}", error) from error
    try:
        request = struct.pack(f"16sH{_IFREQ_OCTETS - 18}x", name.encode(), _IFF_TUN | _IFF_NO_PI)
        answer = fcntl.ioctl(fd, _TUNSETIFF, request)
        actual = answer[:16].rstrip(b"\0").decode()
        _set_number(actual, _SIOCSIFMTU, mtu)
        _set_number(actual, _SIOCSIFTXQLEN, QUEUE_PACKETS)
    except OSError as error:
        os.close(fd)
        raise _host_error(f"cannot create the TUN device {name!r}", error) from error
    return TunDevice(fd, actual)


def _set_number(name: str, request: int, value: int) -> None:
    octets = struct.pack(f"16si{_IFREQ_OCTETS - 20}x", name.encode(), value)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        fcntl.ioctl(asked.fileno(), request, octets)


def _host_error(what: str, error: OSError) -> HostError:
    remedy = _REMEDIES.get(error.errno or 0, "see the kernel's log")
    return HostError(f"{what}: {error.strerror}: {remedy}")
