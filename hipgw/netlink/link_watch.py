"""Watches one interface: up or down, its MTU, and whether it is still there.

What is true now is asked of the kernel; events of rtnetlink(7) only say when to ask, and tell of a
down that was over before anybody looked.  So lost events cost nothing but time: `look` may be
called now and then as well.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket as sockets
import struct
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterator
from typing import Final, Literal

from hipgw.errors import HostError
from hipgw.netlink.rtnetlink_events import (
    IFF_UP,
    READ_OCTETS,
    READS_PER_WAKE,
    RTM_NEWLINK,
    RTMGRP_LINK,
    messages,
    open_events,
)

LINK_MESSAGE: Final = struct.Struct("=BxHiII")
"""struct ifinfomsg of rtnetlink(7): family, type, index, flags, changed flags."""
SIOCGIFFLAGS: Final = 0x8913
SIOCGIFMTU: Final = 0x8921
IFREQ_OCTETS: Final = 40

Change = Literal["up", "down", "mtu", "deleted", "renamed"]
OnChange = Callable[[Change], None]


class LinkWatch:
    """One interface by its index, from when it was made.

    Attributes:
        is_down: as last seen.
        is_gone: deleted, moved to another namespace, or under another name: nothing more is told.
        mtu_octets: as last seen.
    """

    def __init__(self, name: str, on_change: OnChange) -> None:
        """Look for the first time.

        Args:
            name: of an interface.
            on_change: told of each change once: "up", "down", "mtu", "deleted", "renamed".

        Raises:
            HostError: there is no such interface.
        """
        self._name = name
        self._on_change = on_change
        self.is_gone = False
        try:
            self._index = sockets.if_nametoindex(name)
            self.is_down, self.mtu_octets = _state(name)
        except OSError as error:
            raise HostError(f"interface {name} does not exist; check the name") from error

    @contextlib.contextmanager
    def listening(self, loop: AbstractEventLoop) -> Iterator[None]:
        """Look whenever the kernel tells of the interface, for the length of the block.

        Raises:
            HostError: the kernel gives no events.
        """
        with open_events(RTMGRP_LINK, "watch interfaces") as channel:
            loop.add_reader(channel, self._read, channel)
            try:
                self.look()
                yield
            finally:
                loop.remove_reader(channel)

    def look(self, *, was_down: bool = False) -> None:
        """See what is true now, and tell of what has changed.

        Args:
            was_down: it was down since the last look, whatever it is now.
        """
        if self.is_gone:
            return
        try:
            is_renamed = sockets.if_indextoname(self._index) != self._name
            is_down, mtu_octets = (False, 0) if is_renamed else _state(self._name)
        except OSError:
            self._end("deleted")
            return
        if is_renamed:
            self._end("renamed")
            return
        if mtu_octets != self.mtu_octets:
            self.mtu_octets = mtu_octets
            self._on_change("mtu")
        if was_down and not is_down and not self.is_down:
            self.is_down = True
            self._on_change("down")
        if is_down != self.is_down:
            self.is_down = is_down
            self._on_change("down" if is_down else "up")

    def _end(self, change: Change) -> None:
        self.is_gone = True
        self._on_change(change)

    def _read(self, channel: sockets.socket) -> None:
        was_down = False
        for _ in range(READS_PER_WAKE):
            try:
                octets = channel.recv(READ_OCTETS)
            except BlockingIOError:
                break
            except OSError:
                was_down = True  # ENOBUFS, netlink(7): events were lost, maybe this one
                continue
            was_down = self._tells_of_down(octets) or was_down
        self.look(was_down=was_down)

    def _tells_of_down(self, octets: bytes) -> bool:
        for kind, body in messages(octets):
            if kind == RTM_NEWLINK and len(body) >= LINK_MESSAGE.size:
                family, _, index, flags, _ = LINK_MESSAGE.unpack_from(body)
                if family == 0 and index == self._index and not flags & IFF_UP:
                    return True
        return False


def _state(name: str) -> tuple[bool, int]:
    """Whether an interface is down, and its MTU in octets; OSError when there is none."""
    request = struct.pack(f"16s{IFREQ_OCTETS - 16}x", name.encode())
    with sockets.socket(sockets.AF_INET, sockets.SOCK_DGRAM) as channel:
        flags = fcntl.ioctl(channel.fileno(), SIOCGIFFLAGS, request)
        mtu = fcntl.ioctl(channel.fileno(), SIOCGIFMTU, request)
    (flag_bits,) = struct.unpack_from("=h", flags, 16)
    (mtu_octets,) = struct.unpack_from("=i", mtu, 16)
    return not flag_bits & IFF_UP, int(mtu_octets)
