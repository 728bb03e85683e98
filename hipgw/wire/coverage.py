"""Which octets MACs and signatures run over (RFC 7401 sections 5.2.12 to 5.2.15, 6.4).

Always: the header with checksum 0 and a Header Length cut at the MAC or signature, then every TLV
before it as it is on the wire, padding included.
"""

from __future__ import annotations

from typing import Final

from hipgw.errors import WireError
from hipgw.wire.framing import TLV_HEAD_OCTETS, find_tlv
from hipgw.wire.header import (
    CHECKSUM_OFFSET,
    HEADER_OCTETS,
    PACKET_OCTETS_MAX,
    RECEIVER_HIT_OFFSET,
    header_end,
)
from hipgw.wire.parameter_types import ParameterType

_HIP_MAC: Final = int(ParameterType.HIP_MAC)
_HIP_MAC_2: Final = int(ParameterType.HIP_MAC_2)
_HIP_SIGNATURE: Final = int(ParameterType.HIP_SIGNATURE)
PUZZLE_OPAQUE_OFFSET: Final = TLV_HEAD_OCTETS + 2
"""From the start of the PUZZLE TLV to its opaque field; random I follows 2 octets later."""


def _with_length(octets: bytes) -> bytes:
    """The packet with Header Length as long as it is and checksum 0."""
    if len(octets) > PACKET_OCTETS_MAX or len(octets) % 8:
        raise WireError("hip_malformed", f"{len(octets)} octets cannot be covered as one packet")
    return b"%c%c%b\0\0%b" % (
        octets[0],
        len(octets) // 8 - 1,
        octets[2:CHECKSUM_OFFSET],
        octets[CHECKSUM_OFFSET + 2 :],
    )


def _up_to(octets: bytes, type_: int) -> bytes:
    """The packet before its first TLV of a type, or all of it when that is not there yet."""
    found = find_tlv(octets, type_)
    return octets[: header_end(octets) if found is None else found[0]]


def covered_octets(octets: bytes, type_: int) -> bytes:
    """What a MAC or signature of a type covers: HIP_MAC, HIP_SIGNATURE, RVS_HMAC, RELAY_HMAC.

    A sender that has not appended it yet needs no call: an emitted packet is what will be covered.

    Raises:
        WireError: hip_missing when the packet has no such TLV, hip_short, hip_malformed.
    """
    found = find_tlv(octets, type_)
    if found is None:
        raise WireError("hip_missing", f"no parameter of type {type_}", HEADER_OCTETS, type_)
    return _with_length(octets[: found[0]])


def proven_octets(octets: bytes) -> tuple[bytes, bytes]:
    """What HIP_MAC and HIP_SIGNATURE cover: `covered_octets` of both, in less time.

    Raises:
        WireError: hip_missing when the packet lacks one of them or has the signature first,
            hip_short, hip_malformed.
    """
    mac = find_tlv(octets, _HIP_MAC)
    signature = None if mac is None else find_tlv(octets, _HIP_SIGNATURE, start=mac[0])
    if mac is None or signature is None:
        type_ = _HIP_MAC if mac is None else _HIP_SIGNATURE
        raise WireError("hip_missing", f"no parameter of type {type_}", HEADER_OCTETS, type_)
    return _with_length(octets[: mac[0]]), _with_length(octets[: signature[0]])


def mac2_octets(octets: bytes, host_id_tlv: bytes) -> bytes:
    """What HIP_MAC_2 covers: the R2 before it, and the Responder's HOST_ID behind that.

    Args:
        octets: an R2; without HIP_MAC_2 all of it counts, which is what the sender wants.
        host_id_tlv: HOST_ID as in the R1, with head and padding; Header Length counts it.

    Raises:
        WireError: hip_short, hip_malformed; the latter also when both exceed 2048 octets.
    """
    return _with_length(_up_to(octets, _HIP_MAC_2) + host_id_tlv)


def mac2_octets_to_make(octets: bytes, host_id_tlv: bytes) -> bytes:
    """`mac2_octets` for the sender, whose R2 ends where HIP_MAC_2 will be; WireError likewise."""
    return _with_length(octets + host_id_tlv)


def r1_signed_octets(octets: bytes) -> bytes:
    """What HIP_SIGNATURE_2 covers: receiver HIT, and opaque and I of PUZZLE, are zero.

    Args:
        octets: an R1; without HIP_SIGNATURE_2 all of it counts, which is what the signer wants.

    Raises:
        WireError: hip_missing without PUZZLE, hip_short, hip_malformed.
    """
    signed = _up_to(octets, ParameterType.HIP_SIGNATURE_2)
    found = find_tlv(octets, ParameterType.PUZZLE)
    if found is None or found[0] >= len(signed):
        raise WireError(
            "hip_missing", "R1 without PUZZLE", HEADER_OCTETS, int(ParameterType.PUZZLE)
        )
    offset, _ = found
    length = int.from_bytes(octets[offset + 2 : offset + TLV_HEAD_OCTETS])
    variable = length - 2
    if variable < 0:
        raise WireError(
            "hip_malformed", f"PUZZLE of {length} octets", offset, int(ParameterType.PUZZLE)
        )
    blank = bytearray(_with_length(signed))
    blank[RECEIVER_HIT_OFFSET:HEADER_OCTETS] = bytes(HEADER_OCTETS - RECEIVER_HIT_OFFSET)
    start = offset + PUZZLE_OPAQUE_OFFSET
    blank[start : start + variable] = bytes(variable)
    return bytes(blank)
