"""Invariant: what `split` takes apart, `join` puts together again.

HIP packets as a header and raw TLVs, however wrong those are; and mutation at that level.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from hipgw.wire import HEADER_OCTETS, PACKET_OCTETS_MAX, PARAMETERS, PARAMETERS_V1, total_octets
from tests.fuzz.target import Havoc

Tlv = tuple[int, bytes]
"""Type and contents."""
KNOWN_TYPES = sorted(set(PARAMETERS) | set(PARAMETERS_V1))
PACKET_TYPES = (1, 2, 3, 4, 16, 17, 18, 19, 20, 32)
CONTENTS_MOST = 600


@dataclass(frozen=True)
class RawPacket:
    """The 40 octets of the header, the TLVs, and what cannot be read as one."""

    header: bytes
    tlvs: tuple[Tlv, ...]
    tail: bytes = b""


def split(octets: bytes) -> RawPacket:
    """Take a packet apart as far as it goes."""
    header = octets[:HEADER_OCTETS].ljust(HEADER_OCTETS, b"\0")
    tlvs = []
    offset = HEADER_OCTETS
    while offset + 4 <= len(octets):
        number = int.from_bytes(octets[offset : offset + 2], "big")
        length = int.from_bytes(octets[offset + 2 : offset + 4], "big")
        total = total_octets(length)
        if offset + total > len(octets):
            break
        tlvs.append((number, octets[offset + 4 : offset + 4 + length]))
        offset += total
    return RawPacket(header, tuple(tlvs), octets[offset:])


def join(packet: RawPacket) -> bytes:
    """Put a packet together with a Header Length that fits, if any can."""
    body = b"".join(emit(one) for one in packet.tlvs) + packet.tail
    units = min((HEADER_OCTETS + len(body)) // 8 - 1, 255)
    return packet.header[:1] + bytes([units]) + packet.header[2:] + body


def emit(tlv: Tlv) -> bytes:
    """One TLV with its padding."""
    number, contents = tlv
    head = number.to_bytes(2, "big") + len(contents).to_bytes(2, "big")
    return (head + contents).ljust(total_octets(len(contents)), b"\0")


def mutate_packet(octets: bytes, most: int, rng: random.Random, havoc: Havoc) -> bytes:
    """Change a packet; mostly its framing stays right."""
    if rng.random() < 0.1:
        return havoc(octets, most)
    packet = split(octets)
    if rng.random() < 0.9:
        packet = replace(packet, tail=b"")
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        packet = _one_change(packet, rng, havoc)
    if rng.random() < 0.8:
        packet = replace(packet, tlvs=tuple(sorted(packet.tlvs, key=lambda tlv: tlv[0])))
    while packet.tlvs and len(join(packet)) > PACKET_OCTETS_MAX and rng.random() < 0.95:
        packet = replace(packet, tlvs=packet.tlvs[:-1])
    joined = join(packet)
    if rng.random() < 0.05:
        joined = joined[:1] + rng.randbytes(1) + joined[2:]
    return joined[:most]


def _one_change(packet: RawPacket, rng: random.Random, havoc: Havoc) -> RawPacket:
    tlvs = list(packet.tlvs)
    at = rng.randrange(len(tlvs)) if tlvs else 0
    choice = rng.randrange(12)
    if not tlvs or choice == 0:
        number = rng.choice(KNOWN_TYPES) if rng.random() < 0.9 else rng.randrange(0x10000)
        contents = havoc(bytes(rng.choice((0, 1, 4, 8, 12, 36))), CONTENTS_MOST)
        tlvs.insert(at, (number, contents))
    elif choice == 1:
        del tlvs[at]
    elif choice == 2:
        tlvs.insert(at, tlvs[at])
    elif choice == 3:
        other = rng.randrange(len(tlvs))
        tlvs[at], tlvs[other] = tlvs[other], tlvs[at]
    elif choice == 4:
        tlvs[at] = rng.choice(KNOWN_TYPES), tlvs[at][1]
    elif choice == 5:
        return replace(packet, header=_changed_header(packet.header, rng, havoc))
    elif choice == 6:
        number, contents = tlvs[at]
        tlvs[at] = number, contents[: rng.randrange(len(contents) + 1)]
    else:
        number, contents = tlvs[at]
        tlvs[at] = number, havoc(contents, CONTENTS_MOST)
    return replace(packet, tlvs=tuple(tlvs))


def _changed_header(header: bytes, rng: random.Random, havoc: Havoc) -> bytes:
    match rng.randrange(4):
        case 0:
            return header[:2] + bytes([rng.choice(PACKET_TYPES)]) + header[3:]
        case 1:
            return header[:3] + rng.choice((b"\x21", b"\x11")) + header[4:]
        case 2:
            return rng.choice((b"\x3b", b"\x06")) + header[1:]
        case _:
            return havoc(header, HEADER_OCTETS).ljust(HEADER_OCTETS, b"\0")
