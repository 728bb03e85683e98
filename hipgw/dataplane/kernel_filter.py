"""Keeps the ESP that the kernel carries off our raw sockets (protocol 50).

The kernel gives every raw socket a copy of each ESP packet, whoever decrypts it.  A socket filter
(classic BPF, socket(7) SO_ATTACH_FILTER) drops the copies of SPIs that are the kernel's.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Collection, Mapping
from typing import Final

SO_ATTACH_FILTER: Final = 26
SO_DETACH_FILTER: Final = 27
SPIS_MOST: Final = 256
"""With more, copies are dropped in user space, by their unknown SPI."""
_LOAD_HEADER_LENGTH: Final = 0xB1
_LOAD_WORD_AFTER_HEADER: Final = 0x40
_LOAD_WORD: Final = 0x20
_JUMP_IF_EQUAL: Final = 0x15
_RETURN: Final = 0x06
_WHOLE: Final = 0xFFFFFFFF
_INSTRUCTION: Final = struct.Struct("=HBBI")
_PROGRAM: Final = struct.Struct("@HP")


def program(family: int, spis: Collection[int]) -> bytes:
    """Instructions that refuse ESP with one of these SPIs.

    Args:
        family: 4, where a raw socket sees the IP header, or 6, where it does not.
        spis: the kernel's.
    """
    if family == 4:
        load = _INSTRUCTION.pack(_LOAD_HEADER_LENGTH, 0, 0, 0)
        load += _INSTRUCTION.pack(_LOAD_WORD_AFTER_HEADER, 0, 0, 0)
    else:
        load = _INSTRUCTION.pack(_LOAD_WORD, 0, 0, 0)
    refusals = b"".join(
        _INSTRUCTION.pack(_JUMP_IF_EQUAL, 0, 1, spi) + _INSTRUCTION.pack(_RETURN, 0, 0, 0)
        for spi in sorted(spis)
    )
    return load + refusals + _INSTRUCTION.pack(_RETURN, 0, 0, _WHOLE)


class EspFilter:
    """The filters of the raw ESP sockets, by address family (4 or 6)."""

    def __init__(self, sockets: Mapping[int, socket.socket]) -> None:
        self._sockets = dict(sockets)
        self._is_attached = False

    def refuse(self, spis: Collection[int]) -> None:
        """From now on these SPIs, and no others, are kept off the sockets."""
        if not spis or len(spis) > SPIS_MOST:
            self._detach()
            return
        for family, channel in self._sockets.items():
            octets = program(family, spis)
            memory = ctypes.create_string_buffer(octets, len(octets))
            count = len(octets) // _INSTRUCTION.size
            described = _PROGRAM.pack(count, ctypes.addressof(memory))
            channel.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, described)
        self._is_attached = True

    def _detach(self) -> None:
        if self._is_attached:
            for channel in self._sockets.values():
                channel.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
        self._is_attached = False
