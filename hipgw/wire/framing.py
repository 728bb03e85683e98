"""TLV framing (RFC 7401 section 5.2.1): one pass, every length checked once before use.

Padding is written as zero and not checked on receive.  Types must not decrease, unless the caller
is lenient with a peer known to break this; a type may come twice only if its class says so.  An
unknown critical parameter is reported last, when everything else has turned out well formed, so
that the caller may answer it with a NOTIFY.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Final

from hipgw.errors import LocalProtocolError, WireError
from hipgw.wire.header import HEADER_OCTETS, HIP_VERSION, header_end
from hipgw.wire.parameter import Parameter, ParameterError, UnknownParameter
from hipgw.wire.parameter_types import ParameterType, is_critical
from hipgw.wire.plaintext import strip_plaintext_padding
from hipgw.wire.registry import PARAMETERS, parameters_of

TLV_HEAD_OCTETS: Final = 4
_TLV_HEAD: Final = struct.Struct("!HH")


def total_octets(length_octets: int) -> int:
    """Octets of a TLV on the wire, head and padding included, for a Length field."""
    return 11 + length_octets - (length_octets + 3) % 8


def _fault_of_order(
    number: int,
    highest: int,
    kind: type[Parameter] | None,
    before: Iterable[Parameter],
    *,
    is_lenient: bool,
) -> str | None:
    """What is wrong with a type that is not above all before it, or None.

    RFC 7401 section 5.2.1, RFC 5201 section 5.2.1.  Even where the caller is lenient, nothing may
    follow a MAC or signature that belongs before it: what those do not cover must not pass for
    something they do.
    """
    if number < highest and not (is_lenient and highest < ParameterType.HIP_MAC):
        return f"type {number} after {highest}"
    if kind is None or kind.MAY_REPEAT:
        return None
    return f"type {number} twice" if any(one.wire_type == number for one in before) else None


def read_tlvs(
    octets: bytes,
    start: int,
    end: int,
    kinds: Mapping[int, type[Parameter]] = PARAMETERS,
    *,
    lenient_order: bool = False,
) -> tuple[Parameter, ...]:
    """Read the TLVs of octets[start:end].

    Args:
        octets: a packet, or TLVs alone.
        start: where the first TLV starts.
        end: where the last one ends.
        kinds: parameter type -> class, of the HIP version.
        lenient_order: accept types in any order before the first MAC or signature.

    Raises:
        WireError: hip_malformed, or hip_critical with the first unknown critical type.
    """
    parameters: list[Parameter] = []
    critical: tuple[int, int] | None = None
    highest = -1
    offset = start
    unpack_head, kind_of, keep = _TLV_HEAD.unpack_from, kinds.get, parameters.append
    while offset < end:
        left = end - offset
        if left < TLV_HEAD_OCTETS:
            raise WireError("hip_malformed", f"{left} octets left, no parameter", offset)
        number, length = unpack_head(octets, offset)
        total = 11 + length - ((length + 3) & 7)
        if total > left:
            raise WireError(
                "hip_malformed", f"parameter of {total} octets in {left}", offset, number
            )
        kind = kind_of(number)
        if number > highest:
            highest = number
        else:
            fault = _fault_of_order(number, highest, kind, parameters, is_lenient=lenient_order)
            if fault is not None:
                raise WireError("hip_malformed", fault, offset, number)
        contents = octets[offset + TLV_HEAD_OCTETS : offset + TLV_HEAD_OCTETS + length]
        if kind is not None:
            try:
                keep(kind.parse(contents))
            except ParameterError as error:
                detail = f"{kind.__name__}: {error.detail}"
                raise WireError("hip_malformed", detail, offset, number) from error
        else:
            if critical is None and is_critical(number):
                critical = number, offset
            keep(UnknownParameter(number, contents))
        offset += total
    if critical is not None:
        number, offset = critical
        raise WireError("hip_critical", f"critical type {number} is unknown", offset, number)
    return tuple(parameters)


def parse_parameters(
    octets: bytes,
    *,
    lenient_tail: bool = False,
    version: int = HIP_VERSION,
    lenient_order: bool = False,
) -> tuple[Parameter, ...]:
    """Read TLVs alone, as they are inside ENCRYPTED.

    Args:
        octets: the TLVs.
        lenient_tail: whether padding of the cipher may follow the last one.
        version: HIP version of the packet they came in.
        lenient_order: accept types in any order.

    Raises:
        WireError: hip_malformed or hip_critical.
    """
    if lenient_tail:
        octets = strip_plaintext_padding(octets)
    return read_tlvs(octets, 0, len(octets), parameters_of(version), lenient_order=lenient_order)


def emit_parameter(parameter: Parameter) -> bytes:
    """Write one TLV, padded with zeros to a multiple of 8 octets.

    Raises:
        LocalProtocolError: contents that the RFC does not allow, or that do not fit their fields.
    """
    try:
        contents = parameter.contents()
        head = _TLV_HEAD.pack(parameter.wire_type, len(contents))
    except (struct.error, ValueError, OverflowError) as error:
        name = type(parameter).__name__
        raise LocalProtocolError(f"{name} does not fit its fields: {error}") from error
    return head + contents + bytes(-(TLV_HEAD_OCTETS + len(contents)) & 7)


def emit_tlvs(parameters: Iterable[Parameter]) -> bytes:
    """Write parameters one after the other.

    Raises:
        LocalProtocolError: types out of order, one twice that may not be, or bad contents.
    """
    previous = -1
    parts: list[bytes] = []
    for parameter in parameters:
        number = parameter.wire_type
        if number < previous:
            raise LocalProtocolError(f"parameter type {number} after {previous}: sort by type")
        if number == previous and not parameter.MAY_REPEAT:
            raise LocalProtocolError(f"parameter type {number} twice")
        parts.append(emit_parameter(parameter))
        previous = number
    return b"".join(parts)


def find_tlv(octets: bytes, type_: int, *, start: int = HEADER_OCTETS) -> tuple[int, int] | None:
    """Where the first TLV of a type is in a packet.

    Order of types is not looked at, so that packets which break it can be examined.

    Args:
        octets: the packet.
        type_: of the TLV.
        start: where to begin: at a TLV that an earlier call found.

    Returns:
        Offset from the start of the packet and octets with head and padding; None when absent.

    Raises:
        WireError: hip_short or hip_malformed, when the packet cannot be walked up to there.
    """
    end = header_end(octets)
    offset = start
    unpack_head = _TLV_HEAD.unpack_from
    while offset < end:
        number, length = unpack_head(octets, offset)
        total = 11 + length - ((length + 3) & 7)
        if total > end - offset:
            raise WireError(
                "hip_malformed", f"parameter of {total} octets in {end - offset}", offset, number
            )
        if number == type_:
            return offset, total
        offset += total
    return None


def last_type(octets: bytes, end: int) -> int:
    """Type of the last TLV before `end`, or -1 when there is none; raises as `find_tlv` does."""
    offset, number = HEADER_OCTETS, -1
    while offset < end:
        number, length = _TLV_HEAD.unpack_from(octets, offset)
        total = 11 + length - ((length + 3) & 7)
        if total > end - offset:
            raise WireError(
                "hip_malformed", f"parameter of {total} octets in {end - offset}", offset, number
            )
        offset += total
    return number
