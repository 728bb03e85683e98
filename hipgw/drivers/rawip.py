"""Raw sockets: HIP as IP protocol 139, ESP as protocol 50.

IPv4 raw sockets deliver the IP header in front of the payload, IPv6 ones only the payload.
"""

from __future__ import annotations

import socket
from typing import Final

from hipgw.drivers.packet_sockets import host_error, open_socket

_IPV6_CHECKSUM: Final = 7
_OFF: Final = -1


def open_raw(protocol: int, family: int, *, discover_mtu: bool = False) -> socket.socket:
    """Open a raw socket that sees every packet of an IP protocol sent to this host.

    Args:
        protocol: 139 (HIP) or 50 (ESP).
        family: 4 or 6.
        discover_mtu: see `open_socket`.

    Raises:
        HostError: not permitted, or no such address family.
        ValueError: a family that is neither.
    """
    if family not in (4, 6):
        raise ValueError(f"address family is 4 or 6, not {family}")
    address_family = socket.AF_INET if family == 4 else socket.AF_INET6
    opened = None
    try:
        opened = open_socket(address_family, socket.SOCK_RAW, protocol, discover_mtu=discover_mtu)
        if family == 6:
            # HIP fills its own checksum in, and ESP has none: the kernel must not touch either.
            opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_CHECKSUM, _OFF)
    except OSError as error:
        if opened is not None:
            opened.close()
        raise host_error(f"a raw socket of protocol {protocol} over IPv{family}", error) from error
    return opened
