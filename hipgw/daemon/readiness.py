"""Tell systemd how the daemon is doing (sd_notify(3)), without its library."""

from __future__ import annotations

import contextlib
import os
import socket


def notify(message: str) -> bool:
    """Send `READY=1` or another message to the service manager; whether there is one.

    Never raises: a service manager that went away is no reason to stop.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel,
    ):
        channel.connect(address)
        channel.sendall(message.encode())
        return True
    return False
