"""Netfilter queues: sockets on which the kernel asks what to do with packets.

A rule with the target NFQUEUE sends packets to a queue by number; whoever has bound that number
reads them.  Rules belong to `netlink`, batches of packets and verdicts to `_fastpath`; here a queue
is bound and told how to speak (linux/netfilter/nfnetlink_queue.h).  Closing the socket gives the
queue back, and drops what waits in it.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from enum import StrEnum
from typing import Final

from hipgw.errors import HostError

COPY_OCTETS_MOST: Final = 65531
"""A netlink attribute counts its length in 16 bits, header included."""
BUFFER_OCTETS: Final = 8 << 20
"""Of each direction: a batch of super-packets is 4 MiB."""
WAITING_MOST: Final = 8192
"""Packets that may wait for verdicts."""

_NETLINK_NETFILTER: Final = 12
_SOL_NETLINK: Final = 270
_NETLINK_NO_ENOBUFS: Final = 5
_NETLINK_CAP_ACK: Final = 10
_SO_SNDBUFFORCE: Final = 32
_SO_RCVBUFFORCE: Final = 33
_SO_MEMINFO: Final = 55
_SK_MEMINFO_DROPS: Final = 8

_NLM_F_REQUEST: Final = 1
_NLM_F_ACK: Final = 4
_NLMSG_ERROR: Final = 2
_CONFIG_MESSAGE: Final = 3 << 8 | 2  # NFNL_SUBSYS_QUEUE, NFQNL_MSG_CONFIG
_CFG_CMD: Final = 1
_CFG_PARAMS: Final = 2
_CFG_QUEUE_MAXLEN: Final = 3
_CFG_MASK: Final = 4
_CFG_FLAGS: Final = 5
_CMD_BIND: Final = 1
_COPY_PACKET: Final = 2
_F_FAIL_OPEN: Final = 1
_F_GSO: Final = 4
_ANSWER_S: Final = 5.0

_REMEDIES: Final = {
    errno.EBUSY: "another program has it: give [datapath] queue_first another number",
    errno.EPERM: "run as root or with CAP_NET_ADMIN",
    errno.EACCES: "run as root or with CAP_NET_ADMIN",
    errno.EPROTONOSUPPORT: "load the module with 'modprobe nfnetlink_queue', or say \"tun\"",
    errno.EINVAL: "load the module with 'modprobe nfnetlink_queue', or say \"tun\"",
}


class Intercept(StrEnum):
    """How packets to HITs and LSIs are taken: read from the interface, or queued before it."""

    TUN = "tun"
    NFQUEUE = "nfqueue"


def open_queue(
    number: int,
    *,
    gso: bool = True,
    fail_open: bool = False,
    reports_overruns: bool = False,
    copy_octets: int = COPY_OCTETS_MOST,
    waiting: int = WAITING_MOST,
    buffer_octets: int = BUFFER_OCTETS,
) -> socket.socket:
    """Bind a queue; whole packets are copied from it.

    Args:
        number: 0 to 65535.
        gso: super-packets come whole and checksums unfinished; else the kernel cuts and finishes.
        fail_open: what finds no room passes as if there were no rule; else it is dropped.
        reports_overruns: the socket says ENOBUFS after packets found no room in its buffer.
        copy_octets: of each packet at most, 1 to 65531; what is cut off says so.
        waiting: packets that may wait for verdicts.
        buffer_octets: of the socket's buffers; beyond the system's limit with CAP_NET_ADMIN.

    Returns:
        A non-blocking socket, the caller's to close.

    Raises:
        HostError: with the remedy, when the host does not give the queue.
        ValueError: a number or size out of range.
    """
    if not 0 <= number <= 65535:
        raise ValueError(f"queue {number}: expected 0 to 65535")
    if not 0 < copy_octets <= COPY_OCTETS_MOST:
        raise ValueError(f"{copy_octets} octets: expected 1 to {COPY_OCTETS_MOST}")
    opened = None
    is_privileged = False
    try:
        opened = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER
        )
        opened.bind((0, 0))
        is_privileged = _set_options(opened, buffer_octets, reports_overruns=reports_overruns)
        flags = (_F_GSO if gso else 0) | (_F_FAIL_OPEN if fail_open else 0)
        for attributes in (
            _attribute(_CFG_CMD, struct.pack("!BxH", _CMD_BIND, 0)),
            _attribute(_CFG_PARAMS, struct.pack("!IB", copy_octets, _COPY_PACKET)),
            _attribute(_CFG_QUEUE_MAXLEN, struct.pack("!I", waiting)),
            _attribute(_CFG_MASK, struct.pack("!I", _F_GSO | _F_FAIL_OPEN))
            + _attribute(_CFG_FLAGS, struct.pack("!I", flags)),
        ):
            _configure(opened, number, attributes)
        opened.setblocking(False)
    except OSError as error:
        if opened is not None:
            opened.close()
        cause = error.errno or 0
        if cause == errno.EPERM and is_privileged:
            cause = errno.EBUSY  # the kernel says EPERM also to whoever is late
        remedy = _REMEDIES.get(cause, "see the kernel's log")
        raise HostError(
            f"cannot bind netfilter queue {number}: {os.strerror(cause)}: {remedy}"
        ) from error
    return opened


def socket_drops(descriptor: int) -> int:
    """Packets that found no room in the socket's buffer since it was opened."""
    with socket.socket(fileno=os.dup(descriptor)) as asked:
        facts = asked.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4 * (_SK_MEMINFO_DROPS + 1))
    return int(struct.unpack_from("=I", facts, 4 * _SK_MEMINFO_DROPS)[0])


def _set_options(opened: socket.socket, octets: int, *, reports_overruns: bool) -> bool:
    """Returns whether we have CAP_NET_ADMIN."""
    is_privileged = True
    for forced, asked in (
        (_SO_RCVBUFFORCE, socket.SO_RCVBUF),
        (_SO_SNDBUFFORCE, socket.SO_SNDBUF),
    ):
        try:
            opened.setsockopt(socket.SOL_SOCKET, forced, octets)
        except PermissionError:
            is_privileged = False
            opened.setsockopt(socket.SOL_SOCKET, asked, octets)
    opened.setsockopt(_SOL_NETLINK, _NETLINK_NO_ENOBUFS, not reports_overruns)
    # A refusal need not carry the refused packet back.
    opened.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
    opened.settimeout(_ANSWER_S)
    return is_privileged


def _attribute(kind: int, content: bytes) -> bytes:
    octets = struct.pack("=HH", 4 + len(content), kind) + content
    return octets + bytes(-len(octets) % 4)


def _configure(opened: socket.socket, number: int, attributes: bytes) -> None:
    """One question and its answer; raises OSError when the answer is a refusal."""
    body = struct.pack("!BBH", 0, 0, number) + attributes
    flags = _NLM_F_REQUEST | _NLM_F_ACK
    head = struct.pack("=IHHII", 16 + len(body), _CONFIG_MESSAGE, flags, 1, 0)
    opened.send(head + body)
    while True:
        # Packets may come already: they wait for the verdict of a later one.
        answer = opened.recv(1 << 16)
        if len(answer) >= 20 and struct.unpack_from("=H", answer, 4)[0] == _NLMSG_ERROR:
            refusal = -struct.unpack_from("=i", answer, 16)[0]
            if refusal:
                raise OSError(refusal, os.strerror(refusal))
            return
