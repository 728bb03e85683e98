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

from hipgw.drivers.offload import Offload
from hipgw.drivers.steering import steer_queues
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
_TUNSETQUEUE: Final = 0x400454D9
_TUNSETOFFLOAD: Final = 0x400454D0
_SIOCSIFMTU: Final = 0x8922
_SIOCSIFTXQLEN: Final = 0x8943
_IFF_TUN: Final = 0x0001
_IFF_NO_PI: Final = 0x1000
_IFF_MULTI_QUEUE: Final = 0x0100
_IFF_DETACH_QUEUE: Final = 0x0400
_IFF_VNET_HDR: Final = 0x4000
# What the device may be handed unfinished (linux/if_tun.h): checksums, TCP super-packets of both
# families and with ECN; UDP ones, since Linux 6.2.
_TUN_F_CSUM_TSO: Final = 0x01 | 0x02 | 0x04 | 0x08
_TUN_F_USO: Final = 0x20 | 0x40
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
    """A TUN device; it disappears when closed.

    Attributes:
        fd: non-blocking; one inner IP packet a read or write, without packet information.
        queues: descriptors of all queues, `fd` first; packets of a flow are read from one of them.
        writer_fd: where to write, so that the queue that a flow is read from stays the same.
        steering: why the kernel does not choose queues as it was asked to, or "".
        name: as the kernel spells it.
        vnet_hdr: each packet has a vnet header in front, and may be a super-packet.
        uso: the device gives and takes super-packets of UDP, too.
        reason: why not both, or "".
    """

    __slots__ = ("name", "queues", "reason", "steering", "uso", "vnet_hdr", "writer_fd")

    def __init__(
        self, fd: int, name: str, *, vnet_hdr: bool = False, uso: bool = False, reason: str = ""
    ) -> None:
        self.queues = [fd]
        self.writer_fd = fd
        self.steering = ""
        self.name: Final = name
        self.vnet_hdr: Final = vnet_hdr
        self.uso: Final = uso
        self.reason: Final = reason

    @property
    def fd(self) -> int:
        """The first queue, or -1 when closed."""
        return self.queues[0] if self.queues else -1

    def close(self) -> None:
        """Close the descriptors, and with them the device; harmless twice."""
        opened = {*self.queues, self.writer_fd} - {-1}
        self.queues, self.writer_fd = [], -1
        for fd in opened:
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


def open_tun(
    name: str, *, mtu: int, offload: Offload = Offload.OFF, queues: int = 1, steering: int = 1
) -> TunDevice:
    """Create the TUN device `name`.

    Args:
        name: 1 to 15 octets; a "%d" in it is replaced by the kernel with the first free number.
        mtu: octets of the largest inner packet, IP header included.
        offload: whether it is opened with vnet headers, and given unfinished packets.
        queues: how many can be read; packets are spread over them by flow.
        steering: the odd number by which destinations are spread; see `queue_program`.

    Raises:
        HostError: with the remedy, when the host does not give the device, or not with the
            offloads that are demanded.
        ValueError: a name or MTU that no device can have.
    """
    if not 0 < len(name.encode()) <= NAME_OCTETS_MOST:
        raise ValueError(f"device name {name!r}: expected 1 to {NAME_OCTETS_MOST} octets")
    if not MTU_LEAST <= mtu <= MTU_MOST:
        raise ValueError(f"MTU {mtu}: expected {MTU_LEAST} to {MTU_MOST} octets")
    several = _IFF_MULTI_QUEUE if queues > 1 else 0
    device = _open_device(name, mtu, offload, several)
    if several:
        _add_queues(device, queues, several | (_IFF_VNET_HDR if device.vnet_hdr else 0))
        device.steering = steer_queues(device.fd, steering, queues)
    return device


def _open_device(name: str, mtu: int, offload: Offload, flags: int) -> TunDevice:
    """With its first queue, and vnet headers if possible and wanted."""
    if offload is Offload.OFF:
        return _open_kind(name, mtu, flags, "switched off")
    try:
        return _open_kind(name, mtu, flags | _IFF_VNET_HDR, "")
    except HostError as error:
        cause = error.__cause__
        if not isinstance(cause, OSError) or cause.errno != errno.EINVAL:
            raise
        if offload is Offload.ON:
            raise HostError(f'[offload] tun = "on": {error}, or say "auto"') from error
    return _open_kind(name, mtu, flags, "no vnet headers in this kernel")


def _attach(name: str, flags: int) -> tuple[int, str]:
    """A queue of the device, which the first one makes: its descriptor and the device's name."""
    try:
        fd = os.open(_CLONE_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _host_error(f"cannot open {_CLONE_DEVICE}", error) from error
    try:
        flags |= _IFF_TUN | _IFF_NO_PI
        request = struct.pack(f"16sH{_IFREQ_OCTETS - 18}x", name.encode(), flags)
        answer = fcntl.ioctl(fd, _TUNSETIFF, request)
    except OSError:
        os.close(fd)
        raise
    return fd, answer[:16].rstrip(b"\0").decode()


def _add_queues(device: TunDevice, queues: int, flags: int) -> None:
    """Further queues, and a descriptor for writing that is none.

    Of what is written to a queue the kernel learns where the flow's packets should go, and moves
    them there, which may put some before others.  From a detached descriptor it learns nothing.
    """
    try:
        for _ in range(queues - 1):
            device.queues.append(_attach(device.name, flags)[0])
        device.writer_fd = _attach(device.name, flags)[0]
        request = struct.pack(f"16sH{_IFREQ_OCTETS - 18}x", b"", _IFF_DETACH_QUEUE)
        fcntl.ioctl(device.writer_fd, _TUNSETQUEUE, request)
        _set_number(device.name, _SIOCSIFTXQLEN, QUEUE_PACKETS)
    except OSError as error:
        device.close()
        raise _host_error(f"cannot add queues to the TUN device {device.name!r}", error) from error
    except HostError:
        device.close()
        raise


def _open_kind(name: str, mtu: int, flags: int, reason: str) -> TunDevice:
    """Create the device, with vnet headers if `flags` say so."""
    try:
        fd, actual = _attach(name, flags)
    except OSError as error:
        raise _host_error(f"cannot create the TUN device {name!r}", error) from error
    try:
        has_vnet = bool(flags & _IFF_VNET_HDR)
        has_uso = has_vnet and _take_unfinished(fd)
        _set_number(actual, _SIOCSIFMTU, mtu)
        _set_number(actual, _SIOCSIFTXQLEN, QUEUE_PACKETS)
    except OSError as error:
        os.close(fd)
        raise _host_error(f"cannot create the TUN device {name!r}", error) from error
    if has_vnet and not has_uso:
        reason = "no UDP super-packets in this kernel"
    return TunDevice(fd, actual, vnet_hdr=has_vnet, uso=has_uso, reason=reason)


def _take_unfinished(fd: int) -> bool:
    """Let the kernel leave checksums and cutting to us; whether that holds for UDP, too."""
    try:
        fcntl.ioctl(fd, _TUNSETOFFLOAD, _TUN_F_CSUM_TSO | _TUN_F_USO)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        fcntl.ioctl(fd, _TUNSETOFFLOAD, _TUN_F_CSUM_TSO)
        return False
    return True


def _set_number(name: str, request: int, value: int) -> None:
    octets = struct.pack(f"16si{_IFREQ_OCTETS - 20}x", name.encode(), value)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        fcntl.ioctl(asked.fileno(), request, octets)


def _host_error(what: str, error: OSError) -> HostError:
    remedy = _REMEDIES.get(error.errno or 0, "see the kernel's log")
    return HostError(f"{what}: {error.strerror}: {remedy}")
