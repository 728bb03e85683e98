"""UDP sockets of HIP's port: control and ESP, told apart by the workers (RFC 9028 section 5.1)."""

from __future__ import annotations

import errno
import socket

from hipgw.drivers.packet_sockets import host_error, open_socket
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
