"""BEET, slowly, from RFC 7402 appendix B and RFC 7401 section 4.5.1."""

from __future__ import annotations

from dataclasses import dataclass

from tests.reference.checksum import checksum, ones_sum, pseudo_header
from tests.reference.esp import Dropped

CHECKSUM_AT = {6: 16, 17: 6}
LEAST = {6: 20, 17: 8}


@dataclass(frozen=True)
class Addresses:
    """What an SA is bound to, seen from this host; LSIs of 0.0.0.0 mean none."""

    local_hit: bytes
    peer_hit: bytes
    local_lsi: bytes = bytes(4)
    peer_lsi: bytes = bytes(4)

    @property
    def has_lsis(self) -> bool:
        return any(self.local_lsi) and any(self.peer_lsi)


@dataclass(frozen=True)
class Payload:
    octets: bytes
    next_header: int
    family: int


def moved(payload: bytes, protocol: int, old: bytes, new: bytes) -> bytes:
    """Checksum over another pair of addresses: the field is a number modulo 65535 (RFC 1624)."""
    if protocol not in CHECKSUM_AT:
        return payload
    if len(payload) < LEAST[protocol]:
        raise Dropped("inner_malformed")
    at = CHECKSUM_AT[protocol]
    field = int.from_bytes(payload[at : at + 2])
    field = (field + ones_sum(old) - ones_sum(new)) % 0xFFFF
    if protocol == 17 and field == 0:
        field = 0xFFFF
    return payload[:at] + field.to_bytes(2) + payload[at + 2 :]


def lsi_payload_to_hits(payload: bytes, protocol: int, sa: Addresses) -> bytes:
    if protocol == 17:
        if len(payload) < 8:
            raise Dropped("inner_malformed")
        length = int.from_bytes(payload[4:6])
        if not 8 <= length <= len(payload):
            raise Dropped("inner_malformed")
        if payload[6:8] == b"\0\0":
            pseudo = pseudo_header(sa.local_hit, sa.peer_hit, 17, length)
            field = checksum(pseudo + payload[:length]) or 0xFFFF
            return payload[:6] + field.to_bytes(2) + payload[8:]
    return moved(payload, protocol, sa.local_lsi + sa.peer_lsi, sa.local_hit + sa.peer_hit)


def strip(packet: bytes, sa: Addresses) -> Payload:
    """Inner packet to payload; Dropped with the reason."""
    version = packet[0] >> 4 if packet else 0
    if version == 6:
        return strip_ipv6(packet, sa)
    if version == 4:
        return strip_ipv4(packet, sa)
    raise Dropped("inner_malformed")


def strip_ipv6(packet: bytes, sa: Addresses) -> Payload:
    if len(packet) < 40:
        raise Dropped("inner_malformed")
    length, protocol = int.from_bytes(packet[4:6]), packet[6]
    if 40 + length > len(packet) or (protocol == 0 and length == 0):
        raise Dropped("inner_malformed")
    if packet[8:24] != sa.local_hit:
        raise Dropped("source_not_ours")
    if packet[24:40] != sa.peer_hit:
        raise Dropped("not_hip_destination")
    if protocol in {1, 59, 94}:
        raise Dropped("next_header")
    return Payload(packet[40 : 40 + length], protocol, 6)


def strip_ipv4(packet: bytes, sa: Addresses) -> Payload:
    if len(packet) < 20:
        raise Dropped("inner_malformed")
    header, total, protocol = (packet[0] & 15) * 4, int.from_bytes(packet[2:4]), packet[9]
    if not 20 <= header <= total <= len(packet):
        raise Dropped("inner_malformed")
    if int.from_bytes(packet[6:8]) & 0x3FFF:
        raise Dropped("inner_malformed")
    if not sa.has_lsis:
        raise Dropped("no_lsi")
    if packet[12:16] != sa.local_lsi:
        raise Dropped("source_not_ours")
    if packet[16:20] != sa.peer_lsi:
        raise Dropped("not_hip_destination")
    if protocol in {58, 59, 94}:
        raise Dropped("next_header")
    return Payload(lsi_payload_to_hits(packet[header:total], protocol, sa), protocol, 4)


def rebuild(payload: Payload, sa: Addresses, hop_limit: int, traffic_class: int) -> bytes:
    """Payload to inner packet, peer to local; Dropped with the reason."""
    protocol, octets = payload.next_header, payload.octets
    if protocol in {59, 94}:
        raise Dropped("next_header")
    family = {1: 4, 58: 6}.get(protocol, payload.family)
    if family != 4:
        first = (6 << 28 | traffic_class << 20).to_bytes(4)
        rest = len(octets).to_bytes(2) + bytes([protocol, hop_limit])
        return first + rest + sa.peer_hit + sa.local_hit + octets
    if not sa.has_lsis:
        raise Dropped("no_lsi")
    if protocol in {0, 43, 44, 60}:
        raise Dropped("next_header")
    if protocol != 17 or len(octets) < 8 or octets[6:8] != b"\0\0":
        octets = moved(octets, protocol, sa.local_hit + sa.peer_hit, sa.local_lsi + sa.peer_lsi)
    header = bytes([0x45, traffic_class]) + (20 + len(octets)).to_bytes(2)
    header += bytes([0, 0, 0x40, 0, hop_limit, protocol])
    addresses = sa.peer_lsi + sa.local_lsi
    return header + checksum(header + addresses).to_bytes(2) + addresses + octets
