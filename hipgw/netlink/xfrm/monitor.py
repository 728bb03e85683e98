"""A socket that hears what happens to states and policies; for an event loop's reader."""

from __future__ import annotations

import errno
import socket
from collections.abc import Collection
from types import TracebackType
from typing import Final, Self

from hipgw.netlink.xfrm.events import Event, Overrun, parse_event
from hipgw.netlink.xfrm.octets import XfrmFormatError, read_messages
from hipgw.netlink.xfrm.uapi import NETLINK_ADD_MEMBERSHIP, NETLINK_XFRM, SOL_NETLINK, Group

RECEIVE_OCTETS: Final = 1 << 16
SO_RCVBUFFORCE: Final = 33
DATAGRAMS: Final = 64
"""How many are read in one turn, so that a flood of events does not hold up the loop."""
EVERY_GROUP: Final = (
    Group.ACQUIRE,
    Group.EXPIRE,
    Group.SA,
    Group.POLICY,
    Group.MIGRATE,
    Group.MAPPING,
)


class XfrmMonitor:
    """Events of the network namespace in which it was made.

    Attributes:
        malformed: events that could not be understood, so far; another program may have caused
            them with options that this codec does not know.
        is_drained: whether the last `read` came to the end of the queue.
    """

    def __init__(
        self, groups: Collection[Group] = EVERY_GROUP, *, receive_octets: int | None = None
    ) -> None:
        """Listen.

        Args:
            groups: what to hear.
            receive_octets: size of the kernel's queue, or None for its default; what does not fit
                is lost and becomes an `Overrun`.

        Raises:
            OSError: no XFRM in this kernel, or no CAP_NET_ADMIN.
        """
        self.malformed = 0
        self.is_drained = True
        self._buffer = bytearray(RECEIVE_OCTETS)
        self._socket = socket.socket(
            socket.AF_NETLINK,
            socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK,
            NETLINK_XFRM,
        )
        try:
            if receive_octets is not None:
                self._take_room(receive_octets)
            self._socket.bind((0, 0))
            for group in groups:
                self._socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
        except OSError:
            self._socket.close()
            raise

    def _take_room(self, octets: int) -> None:
        """A queue of this size, within net.core.rmem_max for those who may not go beyond."""
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, octets)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, octets)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening; harmless twice."""
        self._socket.close()

    def fileno(self) -> int:
        """The descriptor, readable when there are events."""
        return self._socket.fileno()

    def read(self) -> list[Event]:
        """What has happened since, without waiting; `Overrun` stands where something is missing.

        The kernel says so once, and not again until the queue was empty: whoever lists the tables
        after an `Overrun` does it when `is_drained`.
        """
        found: list[Event] = []
        self.is_drained = False
        for _ in range(DATAGRAMS):
            try:
                length, _, flags, _ = self._socket.recvmsg_into([self._buffer])
            except BlockingIOError:
                self.is_drained = True
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                found.append(Overrun())
                continue
            found += self._parse(length)
            self._buffer[:length] = bytes(length)
            if flags & socket.MSG_TRUNC:
                found.append(Overrun())
        return found

    def _parse(self, length: int) -> list[Event]:
        """The events of one datagram, up to the first that is malformed."""
        found: list[Event] = []
        try:
            for message in read_messages(memoryview(self._buffer)[:length]):
                event = parse_event(message)
                if event is not None:
                    found.append(event)
        except XfrmFormatError:
            self.malformed += 1
        return found
