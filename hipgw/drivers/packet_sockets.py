"""What the sockets of HIP and ESP have in common: buffers and packet information."""

from __future__ import annotations

import errno
import socket
from typing import Final

from hipgw.errors import HostError

BUFFER_OCTETS: Final = 4 << 20
"""Socket buffers asked for: a round of the workers must not overflow them at full rate."""
HOP_LIMIT: Final = 64
"""Of packets that are not told otherwise; the data path counts on it (`_fastpath.beet`)."""

# Not in the socket module; numbers of asm-generic/socket.h and linux/in.h, in6.h.
_SO_SNDBUFFORCE: Final = 32
_SO_RCVBUFFORCE: Final = 33
_SO_BUSY_POLL: Final = 46
_IP_PKTINFO: Final = 8
_IP_MTU_DISCOVER: Final = 10
_IP_PMTUDISC_DONT: Final = 0
_IP_PMTUDISC_WANT: Final = 1
_IP_RECVTOS: Final = 13
_IP_RECVTTL: Final = 12
_IPV6_MTU_DISCOVER: Final = 23


def open_socket(
    family: socket.AddressFamily,
    kind: socket.SocketKind,
    protocol: int,
    *,
    discover_mtu: bool = False,
) -> socket.socket:
    """A non-blocking socket, ready for batches; the caller binds it and closes it.

    Packet information is on, so the local address of each packet is known and can be chosen; so is
    the traffic class and the hop limit of received packets.

    Args:
        family: AF_INET or AF_INET6.
        kind: SOCK_DGRAM or SOCK_RAW.
        protocol: of IP.
        discover_mtu: packets that fit the path, as far as the kernel knows it, go with DF.  Longer
            ones are fragmented in any case: HIP control packets may need that (RFC 7401 section
            5.1.3).

    Raises:
        OSError: the host does not give the socket.
    """
    opened = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol)
    discovery = _IP_PMTUDISC_WANT if discover_mtu else _IP_PMTUDISC_DONT
    try:
        _set_buffers(opened)
        if family == socket.AF_INET:
            opened.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            opened.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, discovery)
            opened.setsockopt(socket.IPPROTO_IP, _IP_RECVTOS, 1)
            opened.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
            opened.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, HOP_LIMIT)
        else:
            if kind == socket.SOCK_DGRAM:  # a raw IPv6 socket is of one family anyway
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, discovery)
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, HOP_LIMIT)
    except OSError:
        opened.close()
        raise
    return opened


def _set_buffers(opened: socket.socket) -> None:
    """Large buffers; beyond the system's limit only with CAP_NET_ADMIN, else up to the limit."""
    _set_buffer(opened, _SO_RCVBUFFORCE, socket.SO_RCVBUF)
    set_send_buffer(opened)


def set_send_buffer(opened: socket.socket) -> None:
    """The same for what is sent, of a socket that `open_socket` has not made."""
    _set_buffer(opened, _SO_SNDBUFFORCE, socket.SO_SNDBUF)


def _set_buffer(opened: socket.socket, forced: int, asked: int) -> None:
    try:
        opened.setsockopt(socket.SOL_SOCKET, forced, BUFFER_OCTETS)
    except PermissionError:
        opened.setsockopt(socket.SOL_SOCKET, asked, BUFFER_OCTETS)


def poll_busily(opened: socket.socket, time_us: int) -> bool:
    """Have reads of this socket look at the network card for so long; whether that is permitted."""
    try:
        opened.setsockopt(socket.SOL_SOCKET, _SO_BUSY_POLL, time_us)
    except (PermissionError, ValueError):
        return False
    return True


_REMEDIES: Final = {
    errno.EADDRINUSE: "stop the process that uses it ('ss -ulpn' shows which), or choose another",
    errno.EACCES: "run as root or with CAP_NET_BIND_SERVICE",
    errno.EPERM: "run as root or with CAP_NET_RAW",
    errno.EAFNOSUPPORT: "switch this address family on in the kernel (no 'ipv6.disable=1')",
    errno.EPROTONOSUPPORT: "switch raw sockets on in the kernel",
}


def host_error(what: str, error: OSError) -> HostError:
    """The same trouble, with the remedy."""
    return HostError(
        f"cannot open {what}: {error.strerror}: "
        + _REMEDIES.get(error.errno or 0, "see the kernel's log")
    )
