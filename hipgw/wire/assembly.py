"""Packets made in steps: one more parameter behind a MAC, and R1s filled in from a template."""

from __future__ import annotations

from typing import Final

from hipgw.errors import LocalProtocolError, WireError
from hipgw.values import Hit
from hipgw.wire.coverage import PUZZLE_OPAQUE_OFFSET
from hipgw.wire.framing import TLV_HEAD_OCTETS, emit_parameter, find_tlv, last_type
from hipgw.wire.header import (
    CHECKSUM_OFFSET,
    HEADER_OCTETS,
    PACKET_OCTETS_MAX,
    RECEIVER_HIT_OFFSET,
    header_end,
)
from hipgw.wire.parameter import Parameter
from hipgw.wire.parameter_types import ParameterType
from hipgw.wire.registry import require_layout_of

_OPAQUE_OCTETS: Final = 2


def append_parameter(octets: bytes, p: Parameter) -> bytes:
    """One more parameter at the end of a packet; Header Length is set, checksum becomes 0.

    Raises:
        LocalProtocolError: a type below the last one, the same type where the RFC allows one only,
            a layout of another HIP version than the packet's, or more than 2048 octets.
        WireError: `octets` are not one well-framed packet.
    """
    end = header_end(octets)
    if end != len(octets):
        raise WireError("hip_long", f"{len(octets) - end} octets after the packet", end)
    require_layout_of(octets[3] >> 4, p)
    last, number = last_type(octets, end), p.wire_type
    if number < last or (number == last and not p.MAY_REPEAT):
        raise LocalProtocolError(f"parameter type {number} cannot follow {last}")
    tlv = emit_parameter(p)
    total = end + len(tlv)
    if total > PACKET_OCTETS_MAX:
        raise LocalProtocolError(f"packet of {total} octets, at most {PACKET_OCTETS_MAX}")
    return b"%c%c%b\0\0%b%b" % (
        octets[0],
        total // 8 - 1,
        octets[2:CHECKSUM_OFFSET],
        octets[CHECKSUM_OFFSET + 2 :],
        tlv,
    )


def puzzle_opaque_at(template: bytes) -> int:
    """Where the opaque field of the PUZZLE is in an R1; I follows it.

    Raises:
        LocalProtocolError: no PUZZLE, or not a well-framed packet.
    """
    try:
        found = find_tlv(template, ParameterType.PUZZLE)
    except WireError as error:
        raise LocalProtocolError(f"R1 template: {error}") from error
    if found is None:
        raise LocalProtocolError("R1 template without PUZZLE")
    return found[0] + PUZZLE_OPAQUE_OFFSET


def patch_r1(template: bytes, receiver: Hit, puzzle_opaque: bytes, puzzle_i: bytes) -> bytes:
    """Fill in a pre-made R1 what its signature leaves out (RFC 7401 section 5.2.15).

    Args:
        template: a signed R1 whose PUZZLE has room for `puzzle_i`.
        receiver: HIT of the Initiator.
        puzzle_opaque: 2 octets.
        puzzle_i: random I, RHASH_len / 8 octets; 8 octets in HIPv1.

    Returns:
        The R1 with checksum 0.

    Raises:
        LocalProtocolError: the template has no PUZZLE, or one of another size.
    """
    start = puzzle_opaque_at(template)
    offset = start - PUZZLE_OPAQUE_OFFSET
    length = int.from_bytes(template[offset + 2 : offset + TLV_HEAD_OCTETS])
    if len(puzzle_opaque) != _OPAQUE_OCTETS or length != 2 + _OPAQUE_OCTETS + len(puzzle_i):
        raise LocalProtocolError(
            f"PUZZLE of {length} octets cannot take opaque of {len(puzzle_opaque)} and I of"
            f" {len(puzzle_i)}"
        )
    return b"".join(
        (
            template[:CHECKSUM_OFFSET],
            b"\0\0",
            template[CHECKSUM_OFFSET + 2 : RECEIVER_HIT_OFFSET],
            receiver.packed,
            template[HEADER_OCTETS:start],
            puzzle_opaque,
            puzzle_i,
            template[start + _OPAQUE_OCTETS + len(puzzle_i) :],
        )
    )
