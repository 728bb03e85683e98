"""Super-packets cut and gathered, slowly.

From virtio 1.2 sections 5.1.6 (the header) and 5.1.6.2 (what the driver leaves to the device),
RFC 9293 section 3.1 and RFC 768 (the headers), RFC 3168 section 6.1.2 (CWR on the first packet
only), and the rule of every receive offload: what is gathered can be cut into the same again.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.reference.checksum import checksum, ones_sum, pseudo_header

TCP, UDP = 6, 17
FIN, SYN, RST, PSH, URG, CWR = 0x01, 0x02, 0x04, 0x08, 0x20, 0x80
NEEDS_CSUM = 1
NONE, TCPV4, TCPV6, UDP_L4, ECN = 0, 1, 4, 5, 0x80
PARTS_MOST = 128
FLOWS_OPEN_MOST = 8
PACKET_MOST = 65535 - 40


@dataclass(frozen=True)
class Vnet:
    """`struct virtio_net_hdr`, ten octets in the host's order."""

    flags: int = 0
    gso_type: int = NONE
    header_octets: int = 0
    segment_octets: int = 0
    checksum_start: int = 0
    checksum_offset: int = 0

    def emit(self) -> bytes:
        return struct.pack(
            "=BBHHHH",
            self.flags,
            self.gso_type,
            self.header_octets,
            self.segment_octets,
            self.checksum_start,
            self.checksum_offset,
        )

    @classmethod
    def parse(cls, octets: bytes) -> Vnet:
        return cls(*struct.unpack("=BBHHHH", octets[:10]))


class RefusedError(Exception):
    """A read that is dropped; its argument is the reason."""


def segment(octets: bytes, room: int) -> list[bytes]:
    """Packets of wire size of one read: vnet header and packet."""
    if len(octets) < 10:
        raise RefusedError("runt")
    vnet, packet = Vnet.parse(octets), octets[10:]
    if vnet.gso_type == NONE:
        if len(packet) > room:
            raise RefusedError("truncated")
        return [_finished(vnet, packet)]
    version = packet[0] >> 4 if packet else 0
    protocol = {TCPV4: TCP, TCPV6: TCP, UDP_L4: UDP}.get(vnet.gso_type & ~ECN)
    if (
        protocol is None
        or version not in (4, 6)
        or vnet.gso_type == UDP_L4 | ECN
        or (vnet.gso_type & ~ECN, version) in {(TCPV4, 6), (TCPV6, 4)}
        or vnet.segment_octets == 0
    ):
        raise RefusedError("inner_malformed")
    network = _network_octets(packet, version, protocol)
    packet = packet[: _total_octets(packet, version)]
    least, field_at = (20, 16) if protocol == TCP else (8, 6)
    if len(packet) < network + least:
        raise RefusedError("inner_malformed")
    transport = packet[network + 12] >> 4 << 2 if protocol == TCP else 8
    if transport < least or len(packet) < network + transport:
        raise RefusedError("inner_malformed")
    if vnet.flags & NEEDS_CSUM and (vnet.checksum_start, vnet.checksum_offset) != (
        network,
        field_at,
    ):
        raise RefusedError("inner_malformed")
    header, payload = packet[: network + transport], packet[network + transport :]
    size = vnet.segment_octets
    pieces = [payload[at : at + size] for at in range(0, len(payload), size)] or [b""]
    if len(header) + len(pieces[0]) > room:
        raise RefusedError("truncated")
    return [
        _packet(
            header,
            network,
            piece,
            number=number,
            offset=number * size,
            is_last=number == len(pieces) - 1,
        )
        for number, piece in enumerate(pieces)
    ]


def _finished(vnet: Vnet, packet: bytes) -> bytes:
    if not vnet.flags & NEEDS_CSUM:
        return packet
    at = vnet.checksum_start + vnet.checksum_offset
    if at + 2 > len(packet):
        raise RefusedError("inner_malformed")
    value = checksum(packet[vnet.checksum_start :]) or 0xFFFF
    return packet[:at] + value.to_bytes(2) + packet[at + 2 :]


def _total_octets(packet: bytes, version: int) -> int:
    if version == 4:
        return int.from_bytes(packet[2:4])
    return 40 + int.from_bytes(packet[4:6])


def _network_octets(packet: bytes, version: int, protocol: int) -> int:
    """Length of the IP header with extension headers that every packet may repeat."""
    if len(packet) < (20 if version == 4 else 40) or _total_octets(packet, version) > len(packet):
        raise RefusedError("inner_malformed")
    packet = packet[: _total_octets(packet, version)]
    if version == 4:
        at, following = (packet[0] & 15) * 4 if packet else 0, 0
        if at < 20 or len(packet) < at or int.from_bytes(packet[6:8]) & 0x3FFF:
            raise RefusedError("inner_malformed")
        following = packet[9]
    else:
        at, following = 40, packet[6]
        while following in (0, 60):
            if at + 8 > len(packet):
                raise RefusedError("inner_malformed")
            following, at = packet[at], at + 8 + packet[at + 1] * 8
    if at > len(packet) or following != protocol:
        raise RefusedError("inner_malformed")
    return at


def _packet(
    header: bytes, network: int, payload: bytes, *, number: int, offset: int, is_last: bool
) -> bytes:
    ip, transport = bytearray(header[:network]), bytearray(header[network:])
    length = len(transport) + len(payload)
    if ip[0] >> 4 == 4:
        ip[2:4] = (network + length).to_bytes(2)
        ip[4:6] = ((int.from_bytes(ip[4:6]) + number) % 65536).to_bytes(2)
        ip[10:12] = bytes(2)
        ip[10:12] = checksum(bytes(ip)).to_bytes(2)
        ends, protocol = (bytes(ip[12:16]), bytes(ip[16:20])), ip[9]
    else:
        ip[4:6] = (network - 40 + length).to_bytes(2)
        ends, protocol = (bytes(ip[8:24]), bytes(ip[24:40])), TCP if len(transport) > 8 else UDP
    if protocol == TCP:
        sequence = (int.from_bytes(transport[4:8]) + offset) % 2**32
        transport[4:8] = sequence.to_bytes(4)
        transport[13] &= 0xFF if is_last else ~(FIN | PSH)
        transport[13] &= 0xFF if number == 0 else ~CWR
    else:
        transport[4:6] = length.to_bytes(2)
    at = 16 if protocol == TCP else 6
    transport[at : at + 2] = bytes(2)
    whole = checksum(pseudo_header(*ends, protocol, length) + transport + payload)
    transport[at : at + 2] = ((whole or 0xFFFF) if protocol == UDP else whole).to_bytes(2)
    return bytes(ip + transport) + payload


@dataclass
class _Bundle:
    numbers: list[int]
    header: bytes
    payloads: list[bytes]
    is_open: bool
    is_right: bool = False
    flow: tuple[object, ...] = ()
    flags: int = field(default=0)

    @property
    def payload(self) -> bytes:
        return b"".join(self.payloads)


def coalesce(
    packets: Sequence[tuple[int, int, bytes]],
    hits: tuple[bytes, bytes],
    lsis: tuple[bytes, bytes],
    *,
    tcp: bool = True,
    udp: bool = True,
) -> list[tuple[list[int], bytes]]:
    """Numbers of the packets that go together, and what the device gets for several.

    Args:
        packets: next header, family (6 HIT, 4 LSI) and payload of each, as they came.
        hits: of source and destination.
        lsis: the same.
        tcp: whether TCP may be gathered.
        udp: whether UDP may be.
    """
    bundles: list[_Bundle] = []
    still_open: list[_Bundle] = []
    for number, (protocol, family, payload) in enumerate(packets):
        if not (tcp if protocol == TCP else udp and protocol == UDP):
            bundles.append(_Bundle([number], b"", [payload], is_open=False))
            continue
        header, kind = _shape(protocol, payload)
        flow = (protocol, family, payload[:4])
        mine = next((b for b in still_open if b.flow == flow and len(payload) >= 8), None)
        if mine is not None:
            if kind and _continues(mine, protocol, header, payload):
                first = mine.header + mine.payloads[0]
                mine.is_right = mine.is_right or _is_right(protocol, first, hits)
                if mine.is_right and _is_right(protocol, payload, hits):
                    mine.numbers.append(number)
                    mine.payloads.append(payload[header:])
                    if protocol == TCP:
                        mine.flags |= payload[13] & (FIN | PSH)
                    if mine.flags or len(payload) - header < len(mine.payloads[0]):
                        still_open.remove(mine)
                    continue
            still_open.remove(mine)
        made = _Bundle([number], payload[:header], [payload[header:]], kind == "part", flow=flow)
        bundles.append(made)
        if made.is_open:
            if len(still_open) == FLOWS_OPEN_MOST:
                still_open.pop(0)
            still_open.append(made)
    return [(b.numbers, _super(b, packets[b.numbers[0]], hits, lsis)) for b in bundles]


def _shape(protocol: int, payload: bytes) -> tuple[int, str]:
    """Transport header, and whether the packet may be a part, only the last one, or neither."""
    if protocol == UDP:
        is_whole = len(payload) > 8 and int.from_bytes(payload[4:6]) == len(payload)
        usable = is_whole and payload[6:8] != bytes(2) and len(payload) <= PACKET_MOST
        return 8, "part" if usable else ""
    header = payload[12] >> 4 << 2 if len(payload) > 20 else 0
    if not 20 <= header < len(payload) <= PACKET_MOST or payload[13] & (SYN | RST | URG):
        return header, ""
    return header, "last" if payload[13] & (FIN | PSH) else "part"


def _continues(mine: _Bundle, protocol: int, header: int, payload: bytes) -> bool:
    length = len(payload) - header
    if (
        len(mine.payloads) == PARTS_MOST
        or length > len(mine.payloads[0])
        or len(mine.header) + len(mine.payload) + length > PACKET_MOST
    ):
        return False
    if protocol == UDP:
        return True
    first, expected = mine.header, int.from_bytes(mine.header[4:8]) + len(mine.payload)
    return (
        int.from_bytes(payload[4:8]) == expected % 2**32
        and payload[8:13] == first[8:13]
        and payload[13] & ~(FIN | PSH) == first[13] & ~(FIN | PSH | CWR)
        and payload[14:16] == first[14:16]
        and payload[20:header] == first[20:]
    )


def _is_right(protocol: int, payload: bytes, hits: tuple[bytes, bytes]) -> bool:
    return checksum(pseudo_header(*hits, protocol, len(payload)) + payload) == 0


def _super(
    bundle: _Bundle,
    first: tuple[int, int, bytes],
    hits: tuple[bytes, bytes],
    lsis: tuple[bytes, bytes],
) -> bytes:
    if len(bundle.numbers) == 1:
        return b""
    protocol, family, _ = first
    transport, payload = bytearray(bundle.header), bundle.payload
    length = len(transport) + len(payload)
    ends = hits if family == 6 else lsis
    at = 16 if protocol == TCP else 6
    if protocol == TCP:
        transport[13] |= bundle.flags
    else:
        transport[4:6] = length.to_bytes(2)
    transport[at : at + 2] = ones_sum(pseudo_header(*ends, protocol, length)).to_bytes(2)
    ip = ip_header(*ends, protocol, length)
    kind = UDP_L4 if protocol == UDP else TCPV6 if family == 6 else TCPV4
    if protocol == TCP and transport[13] & CWR:
        kind |= ECN
    vnet = Vnet(NEEDS_CSUM, kind, len(ip) + len(transport), len(bundle.payloads[0]), len(ip), at)
    return vnet.emit() + ip + transport + payload


def ip_header(source: bytes, destination: bytes, protocol: int, length: int) -> bytes:
    """As BEET rebuilds it: hop limit 64, no traffic class, unfragmented."""
    if len(source) == 16:
        return b"\x60\0\0\0" + length.to_bytes(2) + bytes([protocol, 64]) + source + destination
    head = bytes([0x45, 0]) + (20 + length).to_bytes(2) + b"\0\0\x40\0\x40"
    head += bytes([protocol, 0, 0]) + source + destination
    return head[:10] + checksum(head).to_bytes(2) + head[12:]
