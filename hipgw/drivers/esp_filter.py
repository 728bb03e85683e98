"""Which ESP packets reach a raw socket of protocol 50.

The kernel gives every raw socket a copy of each ESP packet, whoever decrypts it.  A socket filter
drops the copies that are the kernel's own work, and with several sockets of a family, those that
are another one's share.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from hipgw.drivers import classic_bpf as bpf

SPIS_MOST: Final = 256
"""With more, copies are dropped in user space, by their unknown SPI."""
SHARE_MASK: Final = 0xFF
"""Bits of an SPI that choose among the sockets; as SPI_SHARE_MASK of the data path's tables."""
ALL: Final = (0, 1)


def program(family: int, spis: Collection[int], share: tuple[int, int] = ALL) -> bytes:
    """Instructions that refuse ESP with one of these SPIs, and what is not in a share.

    Args:
        family: 4, where a raw socket sees the IP header, or 6, where it does not.
        spis: the kernel's.
        share: (number of the socket, how many there are).
    """
    if family == 4:
        load = bpf.instruction(bpf.LOAD_HEADER_LENGTH)
        load += bpf.instruction(bpf.LOAD_WORD_AFTER_HEADER)
    else:
        load = bpf.instruction(bpf.LOAD_WORD)
    refusals = b"".join(
        bpf.instruction(bpf.JUMP_IF_EQUAL, spi, 0, 1) + bpf.instruction(bpf.RETURN)
        for spi in sorted(spis)
    )
    number, count = share
    mine = b""
    if count > 1:
        mine = bpf.instruction(bpf.AND, SHARE_MASK) + bpf.instruction(bpf.MODULO, count)
        mine += bpf.instruction(bpf.JUMP_IF_EQUAL, number, 1, 0) + bpf.instruction(bpf.RETURN)
    return load + refusals + mine + bpf.instruction(bpf.RETURN, bpf.WHOLE)


class EspFilter:
    """The filters of the raw ESP sockets, by address family (4 or 6), shares in their order."""

    def __init__(self, sockets: Mapping[int, Sequence[socket.socket]]) -> None:
        self._sockets = {
            (family, (number, len(channels))): channel
            for family, channels in sockets.items()
            for number, channel in enumerate(channels)
        }
        self._is_attached = False

    def share(self) -> None:
        """Give each socket its share and no more; nothing to do for the only one of a family."""
        for (family, share), channel in self._sockets.items():
            if share != ALL:
                bpf.attach(channel, program(family, (), share))

    def refuse(self, spis: Collection[int]) -> None:
        """From now on these SPIs, and no others, are kept off all of the sockets."""
        if not spis or len(spis) > SPIS_MOST:
            self._detach()
            return
        for (family, share), channel in self._sockets.items():
            bpf.attach(channel, program(family, spis, share))
        self._is_attached = True

    def _detach(self) -> None:
        if self._is_attached:
            for (_, share), channel in self._sockets.items():
                if share == ALL:
                    channel.setsockopt(socket.SOL_SOCKET, bpf.SO_DETACH_FILTER, 0)
            self.share()
        self._is_attached = False
