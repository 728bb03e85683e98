"""Programs of classic BPF, which sockets take without any privilege (socket(7), linux/filter.h)."""

from __future__ import annotations

import ctypes
import socket
import struct
from typing import Final

SO_ATTACH_FILTER: Final = 26
SO_DETACH_FILTER: Final = 27
SO_ATTACH_REUSEPORT_CBPF: Final = 51

LOAD_HEADER_LENGTH: Final = 0xB1
"""X = the octets of the IPv4 header that begins at an offset."""
LOAD_WORD_AFTER_HEADER: Final = 0x40
"""A = four octets, big-endian, at an offset from X; too short a packet ends the program with 0."""
LOAD_WORD: Final = 0x20
"""The same at an offset from the begin."""
AND: Final = 0x54
MODULO: Final = 0x94
JUMP_IF_EQUAL: Final = 0x15
RETURN: Final = 0x06
RETURN_A: Final = 0x16
WHOLE: Final = 0xFFFFFFFF
"""What a filter returns for a packet that passes."""

_INSTRUCTION: Final = struct.Struct("=HBBI")
_PROGRAM: Final = struct.Struct("@HP")


def instruction(code: int, operand: int = 0, if_true: int = 0, if_false: int = 0) -> bytes:
    """One instruction; the jumps count instructions from the next one on."""
    return _INSTRUCTION.pack(code, if_true, if_false, operand)


def attach(channel: socket.socket, program: bytes, option: int = SO_ATTACH_FILTER) -> None:
    """Give a socket a program, in place of any before.

    Args:
        channel: a packet socket of whatever kind.
        program: instructions, 8 octets each.
        option: SO_ATTACH_FILTER, or SO_ATTACH_REUSEPORT_CBPF for its whole group.

    Raises:
        OSError: the kernel does not take it.
    """
    memory = ctypes.create_string_buffer(program, len(program))
    count = len(program) // _INSTRUCTION.size
    channel.setsockopt(socket.SOL_SOCKET, option, _PROGRAM.pack(count, ctypes.addressof(memory)))
