"""UDP sockets of HIP's port: control and ESP, told apart by the workers (RFC 9028 section 5.1)."""

from __future__ import annotations

import errno
import socket

from hipgw.drivers.packet_sockets import host_error, open_socket
from hipgw.drivers.steering import steer_datagrams
from hipgw.errors import HostError


def open_hip_udp(
    port: int, *, discover_mtu: bool = False
) -> tuple[socket.socket, socket.socket | None]:
    """Open `port` on every address: one IPv4 socket, and one IPv6 socket if the host has IPv6.

    Args:
        port: 1 to 65535, or 0 for any free one (then the two may differ).
        discover_mtu: see `open_socket`.

    Raises:
        HostError: port in use, or not permitted.
    """
    four = _open(socket.AF_INET, "0.0.0.0", port, discover_mtu=discover_mtu)  # noqa: S104 - a HIP host answers everywhere
    try:
        return four, _open(socket.AF_INET6, "::", port, discover_mtu=discover_mtu)
    except HostError as error:
        if _is_without_family(error):
            return four, None
        four.close()
        raise


def open_hip_udp_group(
    port: int, count: int, *, discover_mtu: bool = False
) -> dict[int, list[socket.socket]]:
    """Open `port` on every address as `open_hip_udp`, with so many sockets for each family.

    The kernel spreads datagrams over them by SPI (steering.py); all control is the first one's.

    Raises:
        HostError: as `open_hip_udp`, or the kernel cannot spread them.
    """
    single = open_hip_udp(port, discover_mtu=discover_mtu)
    if count == 1:
        return {
            family: [channel]
            for family, channel in zip((4, 6), single, strict=True)
            if channel is not None
        }
    # Sockets of a group share the port with whoever asks; that nobody else had it was just seen.
    groups: dict[int, list[socket.socket]] = {}
    try:
        for family, channel in zip((4, 6), single, strict=True):
            if channel is not None:
                at = channel.getsockname()
                channel.close()
                groups[family] = []
                for _ in range(count):
                    _join(groups[family], channel.family, at, count, discover_mtu=discover_mtu)
    except HostError:
        for channel in (*single, *(one for group in groups.values() for one in group)):
            if channel is not None:
                channel.close()
        raise
    return groups


def _join(
    group: list[socket.socket],
    family: socket.AddressFamily,
    at: tuple[object, ...],
    count: int,
    *,
    discover_mtu: bool,
) -> None:
    """Add a socket to a group; the first one tells the kernel how to choose among them."""
    opened = None
    try:
        opened = open_socket(
            family, socket.SOCK_DGRAM, socket.IPPROTO_UDP, discover_mtu=discover_mtu
        )
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if not group:
            steer_datagrams(opened, count)
        opened.bind(at)
    except OSError as error:
        if opened is not None:
            opened.close()
        raise host_error(f"UDP port {at[1]}, {count} times", error) from error
    group.append(opened)


def _is_without_family(error: HostError) -> bool:
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno == errno.EAFNOSUPPORT


def _open(
    family: socket.AddressFamily, address: str, port: int, *, discover_mtu: bool
) -> socket.socket:
    version = 4 if family == socket.AF_INET else 6
    opened = None
    try:
        opened = open_socket(
            family, socket.SOCK_DGRAM, socket.IPPROTO_UDP, discover_mtu=discover_mtu
        )
        opened.bind((address, port))
    except OSError as error:
        if opened is not None:
            opened.close()
        raise host_error(f"UDP port {port} over IPv{version}", error) from error
    return opened
