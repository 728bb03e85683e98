"""A 32-bit number, and lists of 16-bit and 32-bit ones: most proposals and acknowledgements."""

from __future__ import annotations

import struct
from typing import Final

from hipgw.wire.parameter import ParameterError

LISTS_KEPT: Final = 32
"""Lists of proposals, and counters, that are kept parsed: hosts in a row send the same."""
_U16_LISTS: Final = tuple(struct.Struct(f"!{count}H") for count in range(8))
"""By length: nearly all lists are that short."""


def parse_u32(parameter_type: int, octets: bytes) -> int:
    """Read the one number that is all of a parameter; ParameterError when it is not."""
    if len(octets) != 4:
        raise ParameterError(parameter_type, f"{len(octets)} octets, not 4")
    return int.from_bytes(octets)


def parse_u16_list(parameter_type: int, octets: bytes) -> tuple[int, ...]:
    """Read 16-bit numbers to the end; ParameterError when half a number is left."""
    if len(octets) & 1:
        raise ParameterError(parameter_type, f"{len(octets)} octets are no list of 16-bit numbers")
    count = len(octets) >> 1
    if count < len(_U16_LISTS):
        return _U16_LISTS[count].unpack(octets)
    return struct.unpack(f"!{count}H", octets)


def emit_u16_list(numbers: tuple[int, ...]) -> bytes:
    """Write 16-bit numbers; struct.error when one does not fit."""
    return struct.pack(f"!{len(numbers)}H", *numbers)


def parse_u32_list(parameter_type: int, octets: bytes) -> tuple[int, ...]:
    """Read one or more 32-bit numbers; ParameterError when there is none or part of one."""
    if not octets or len(octets) & 3:
        raise ParameterError(parameter_type, f"{len(octets)} octets are no list of 32-bit numbers")
    return struct.unpack(f"!{len(octets) >> 2}I", octets)


def emit_u32_list(numbers: tuple[int, ...]) -> bytes:
    """Write 32-bit numbers; struct.error when one does not fit."""
    return struct.pack(f"!{len(numbers)}I", *numbers)
