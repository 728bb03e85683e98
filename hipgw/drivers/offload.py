"""Offloads of the data path's descriptors: what the operator wants, and what the kernel gave."""

from __future__ import annotations

import errno
import os
import re
import socket
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from hipgw.errors import HostError

UDP_SEGMENT: Final = 103
UDP_GRO: Final = 104
"""Socket options of level IPPROTO_UDP; not in the socket module, numbers of linux/udp.h."""
GRO_KERNEL: Final = (5, 12)
"""Before it, forwarded trains could be delivered with a wrong segment size."""


class Offload(StrEnum):
    """A switch of `[offload]`: what the kernel can do, nothing less, or nothing."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


class RawSending(StrEnum):
    """How ESP of protocol 50 leaves: `raw` of `[offload]`."""

    AUTO = "auto"
    """To the next hop where that is known and no packet filter is in the way, else as SOCKET."""
    SOCKET = "socket"
    """Through the kernel's IP output, by a raw socket."""


@dataclass(frozen=True, slots=True)
class Offloads:
    """What is on, and why something is not."""

    vnet_hdr: bool = False
    """TUN: checksums and TCP super-packets, both ways."""
    uso: bool = False
    """TUN: UDP super-packets, both ways."""
    udp_gso: bool = False
    udp_gro: bool = False
    tun_reason: str = ""
    udp_reason: str = ""
    """Empty when everything of it is on."""


NOTHING_ON: Final = Offloads()


def enable_udp(sockets: list[socket.socket], wanted: Offload) -> Offloads:
    """Turn receive trains on, and see whether trains can be sent.

    Args:
        sockets: the UDP sockets of the data path.
        wanted: the switch.

    Returns:
        Only the UDP fields are filled.

    Raises:
        HostError: ON, and the kernel cannot do both.
    """
    if wanted is Offload.OFF:
        return Offloads(udp_reason="switched off")
    reasons = []
    has_gso = all(_can_send_trains(opened) for opened in sockets)
    if not has_gso:
        reasons.append("no UDP_SEGMENT in this kernel")
    has_gro = False
    if kernel_release() < GRO_KERNEL and wanted is Offload.AUTO:
        reasons.append("UDP_GRO of this kernel is not to be trusted")
    elif all(_receive_trains(opened) for opened in sockets):
        has_gro = True
    else:
        reasons.append("no UDP_GRO in this kernel")
    if wanted is Offload.ON and reasons:
        raise HostError(f'[offload] udp = "on": {", ".join(reasons)}: say "auto"')
    return Offloads(udp_gso=has_gso, udp_gro=has_gro, udp_reason=", ".join(reasons))


def kernel_release() -> tuple[int, ...]:
    """Major and minor number of the running kernel."""
    return tuple(int(number) for number in re.findall(r"\d+", os.uname().release)[:2])


def _can_send_trains(opened: socket.socket) -> bool:
    try:
        opened.getsockopt(socket.IPPROTO_UDP, UDP_SEGMENT)
    except OSError as error:
        return _is_unknown(error)
    return True


def _receive_trains(opened: socket.socket) -> bool:
    try:
        opened.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
    except OSError as error:
        return _is_unknown(error)
    return True


def _is_unknown(error: OSError) -> bool:
    """False for "no such option"; anything else is no answer, and goes on."""
    if error.errno in {errno.ENOPROTOOPT, errno.EINVAL, errno.EOPNOTSUPP}:
        return False
    raise error
