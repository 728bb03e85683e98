"""The fixed HIP header (RFC 7401 section 5.1): 40 octets, all fields in network order.

Steps of a parse: enough octets for a header, version, Header Length, packet type.  Not checked, as
the RFC says (sections 5.1 and 5.1.2): the SHIM6 bits, the reserved bits beside the version, and the
Controls other than A.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import Final, NamedTuple

from hipgw.errors import LocalProtocolError, WireError
from hipgw.values import Hit

HEADER_OCTETS: Final = 40
PACKET_OCTETS_MAX: Final = 2048
"""Header Length 255 counts 2040 octets beyond the first 8."""
PARAMETER_OCTETS_MAX: Final = PACKET_OCTETS_MAX - HEADER_OCTETS
CHECKSUM_OFFSET: Final = 4
RECEIVER_HIT_OFFSET: Final = 24
NO_NEXT_HEADER: Final = 59
"""IPPROTO_NONE, the only Next Header value that RFC 7401 defines."""
CONTROL_ANONYMOUS: Final = 0x0001
"""The A bit: the sender's Host Identity is in no directory (section 5.1.2)."""
HIP_VERSION: Final = 2
SPOKEN_VERSIONS: Final = frozenset({HIP_VERSION})

_HEADER: Final = Struct("!BBBBHH16s16s")
_SHIM6_BIT: Final = 0x01


class PacketType(IntEnum):
    """HIP packet types (RFC 7401 section 5.3; HDRR: RFC 6537; HIP_DATA: RFC 6078)."""

    I1 = 1
    R1 = 2
    I2 = 3
    R2 = 4
    UPDATE = 16
    NOTIFY = 17
    CLOSE = 18
    CLOSE_ACK = 19
    HDRR = 20
    HIP_DATA = 32


_PACKET_TYPES: Final = {int(kind): kind for kind in PacketType}


class Header(NamedTuple):
    """A header that was read; `end_octets` is where the parameters end."""

    packet_type: PacketType
    version: int
    next_header: int
    controls: int
    sender: Hit
    receiver: Hit
    end_octets: int


def header_end(octets: bytes) -> int:
    """Where the parameters of a packet end, by its Header Length.

    Returns:
        Octets from the start of the packet, 40..2048, never more than `octets` holds.

    Raises:
        WireError: hip_short when octets are missing, hip_malformed when Header Length cannot be.
    """
    if len(octets) < HEADER_OCTETS:
        raise WireError("hip_short", f"{len(octets)} octets, a HIP header has {HEADER_OCTETS}")
    end = (octets[1] + 1) * 8
    if end < HEADER_OCTETS:
        raise WireError("hip_malformed", f"Header Length {octets[1]}, the least is 4", 1)
    if end > len(octets):
        raise WireError("hip_short", f"Header Length says {end} octets, here are {len(octets)}", 1)
    return end


def peek_header(octets: bytes) -> tuple[int, int, Hit, Hit]:
    """First look at a packet before any work is spent on it.

    Returns:
        Packet type (perhaps unknown), version, sender HIT, receiver HIT.

    Raises:
        WireError: hip_short, fewer octets than a header.
    """
    if len(octets) < HEADER_OCTETS:
        raise WireError("hip_short", f"{len(octets)} octets, a HIP header has {HEADER_OCTETS}")
    return octets[2] & 0x7F, octets[3] >> 4, Hit(octets[8:24]), Hit(octets[24:40])


def parse_header(octets: bytes, versions: frozenset[int]) -> Header:
    """Read and check the header.

    Octets after the end that Header Length names are an error when Next Header says that nothing
    follows, and ignored otherwise: they belong to the next protocol (section 5.1).

    Raises:
        WireError: hip_short, hip_version, hip_malformed, hip_long or hip_type.
    """
    if len(octets) < HEADER_OCTETS:
        raise WireError("hip_short", f"{len(octets)} octets, a HIP header has {HEADER_OCTETS}")
    next_header, _, type_octet, version_octet, _, controls, sender, receiver = _HEADER.unpack_from(
        octets
    )
    version = version_octet >> 4
    if version not in versions:
        raise WireError("hip_version", f"version {version}", 3)
    end = header_end(octets)
    if len(octets) > end and next_header == NO_NEXT_HEADER:
        raise WireError("hip_long", f"{len(octets) - end} octets after the packet", end)
    packet_type = _PACKET_TYPES.get(type_octet & 0x7F)
    if packet_type is None:
        raise WireError("hip_type", f"packet type {type_octet & 0x7F}", 2)
    return Header(
        packet_type,
        version,
        next_header,
        controls & CONTROL_ANONYMOUS,
        Hit(sender),
        Hit(receiver),
        end,
    )


def emit_header(header: Header) -> bytes:
    """Write a header with checksum 0.

    Raises:
        LocalProtocolError: a control bit or a number that the header cannot carry.
    """
    if header.controls & ~CONTROL_ANONYMOUS:
        raise LocalProtocolError(f"controls {header.controls:#06x}: only A (0x0001) may be sent")
    if not 1 <= header.version <= 15 or not 0 <= header.next_header <= 255:
        raise LocalProtocolError(f"version {header.version}, next header {header.next_header}")
    return _HEADER.pack(
        header.next_header,
        header.end_octets // 8 - 1,
        header.packet_type,
        header.version << 4 | _SHIM6_BIT,
        0,
        header.controls,
        header.sender.packed,
        header.receiver.packed,
    )
