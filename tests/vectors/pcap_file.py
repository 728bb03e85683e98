"""A reader of classic pcap files, just enough for the captures in this folder.

Link types (https://www.tcpdump.org/linktypes.html): 1 Ethernet, 101 raw IP.  Frames that are not IP
(ARP) are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from struct import unpack_from

PCAP_FOLDER = Path(__file__).parent / "pcap"

LINK_ETHERNET = 1
LINK_RAW = 101
PROTOCOL_UDP = 17
PROTOCOL_ESP = 50
PROTOCOL_HIP = 139
HIP_UDP_PORT = 10500


@dataclass(frozen=True)
class Datagram:
    """What an IP packet carried; HIP and ESP are taken out of UDP port 10500."""

    source: IPv4Address | IPv6Address
    destination: IPv4Address | IPv6Address
    protocol: int
    octets: bytes
    in_udp: bool = False


def frames(path: Path) -> Iterator[bytes]:
    """IP packets of a capture file."""
    octets = path.read_bytes()
    order = {b"\xd4\xc3\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">"}[octets[:4]]
    (link,) = unpack_from(order + "I", octets, 20)
    offset = 24
    while offset < len(octets):
        captured, original = unpack_from(order + "II", octets, offset + 8)
        assert captured == original, "capture cut short"
        frame = octets[offset + 16 : offset + 16 + captured]
        offset += 16 + captured
        if link == LINK_RAW:
            yield frame
        elif link == LINK_ETHERNET:
            if frame[12:14] in {b"\x08\x00", b"\x86\xdd"}:
                yield frame[14:]
        else:
            raise ValueError(f"{path.name}: link type {link}")


def datagrams(path: Path) -> Iterator[Datagram]:
    """HIP, ESP and other datagrams of a capture, in order."""
    for packet in frames(path):
        source: IPv4Address | IPv6Address
        destination: IPv4Address | IPv6Address
        if packet[0] >> 4 == 4:
            head, (total,) = (packet[0] & 15) * 4, unpack_from("!H", packet, 2)
            source, destination = IPv4Address(packet[12:16]), IPv4Address(packet[16:20])
            protocol, payload = packet[9], packet[head:total]
        else:
            (length,) = unpack_from("!H", packet, 4)
            source, destination = IPv6Address(packet[8:24]), IPv6Address(packet[24:40])
            protocol, payload = packet[6], packet[40 : 40 + length]
        if protocol == PROTOCOL_UDP and HIP_UDP_PORT in unpack_from("!HH", payload):
            is_control = payload[8:12] == b"\0\0\0\0"
            yield Datagram(
                source,
                destination,
                PROTOCOL_HIP if is_control else PROTOCOL_ESP,
                payload[12:] if is_control else payload[8:],
                in_udp=True,
            )
        else:
            yield Datagram(source, destination, protocol, payload)


def hip_packets(path: Path) -> list[Datagram]:
    """Only the HIP control packets of a capture, without the marker of UDP encapsulation."""
    return [each for each in datagrams(path) if each.protocol == PROTOCOL_HIP]
