"""The HIP checksum over either pseudo-header (RFC 7401 section 5.1.1)."""

from __future__ import annotations

from struct import Struct
from typing import Final

from hipgw.errors import LocalProtocolError, WireError
from hipgw.values import HIP_PROTOCOL, Address
from hipgw.wire.header import CHECKSUM_OFFSET, header_end

_PSEUDO_V4: Final = Struct("!4s4sBBH")
_PSEUDO_V6: Final = Struct("!16s16sIHBB")
_ONES: Final = 0xFFFF


def _pseudo_header(source: Address, destination: Address, length_octets: int) -> bytes:
    if source.version != destination.version:
        raise LocalProtocolError(f"checksum between families: {source} and {destination}")
    if source.version == 4:
        return _PSEUDO_V4.pack(source.packed, destination.packed, 0, HIP_PROTOCOL, length_octets)
    return _PSEUDO_V6.pack(source.packed, destination.packed, length_octets, 0, 0, HIP_PROTOCOL)


def _is_zero_sum(octets: bytes) -> bool:
    """Whether the 16-bit one's complement sum is minus zero; `octets` even and not all zero.

    2^16 is 1 modulo 65535, so the whole string, read as one number, has the remainder of its sum.
    """
    return int.from_bytes(octets) % _ONES == 0


def with_checksum(octets: bytes, source: Address, destination: Address) -> bytes:
    """Fill in the checksum of a complete packet; whatever the field holds is ignored.

    Args:
        octets: the packet, exactly as long as its Header Length says.
        source: source address of the IP packet that will carry it.
        destination: destination address, of the same family.

    Raises:
        LocalProtocolError: mixed families, or octets that are not one packet.
    """
    try:
        end = header_end(octets)
    except WireError as error:
        raise LocalProtocolError(f"cannot checksum: {error}") from error
    if end != len(octets):
        raise LocalProtocolError(f"cannot checksum: packet of {end} octets in {len(octets)}")
    head, tail = octets[:CHECKSUM_OFFSET], octets[CHECKSUM_OFFSET + 2 :]
    pseudo = _pseudo_header(source, destination, end)
    remainder = int.from_bytes(pseudo + head + b"\0\0" + tail) % _ONES
    checksum = _ONES - (remainder or _ONES)
    return head + checksum.to_bytes(2) + tail


def checksum_is_right(octets: bytes, source: Address, destination: Address) -> bool:
    """Whether a received packet carries the right checksum; False when it is too short to tell.

    The checksum covers as many octets as Header Length names.

    Raises:
        LocalProtocolError: mixed families.
    """
    try:
        end = header_end(octets)
    except WireError:
        return False
    return _is_zero_sum(_pseudo_header(source, destination, end) + octets[:end])
