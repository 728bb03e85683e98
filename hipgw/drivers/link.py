"""A packet socket that only sends: IP packets with their header, to a next hop of any link."""

from __future__ import annotations

import socket
from typing import Final

from hipgw.drivers.packet_sockets import host_error, set_send_buffer

NOTHING: Final = 0
"""The protocol of a packet socket that receives nothing (packet(7))."""


def open_link() -> socket.socket:
    """Open it, non-blocking; the kernel writes the link header.

    Raises:
        HostError: not permitted, or not in this kernel.
    """
    try:
        opened = socket.socket(
            socket.AF_PACKET,
            socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC,
            NOTHING,
        )
    except OSError as error:
        raise host_error("a packet socket", error) from error
    set_send_buffer(opened)
    return opened
