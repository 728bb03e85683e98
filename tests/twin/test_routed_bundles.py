"""Routed packets gathered into super-packets: what comes out, cut again, is what went in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet, Raw

from hipgw._fastpath.coalesce import Coalescer
from tests.reference.segmentation import segment
from tests.twin.batches import Batch
from tests.twin.test_segment import HITS, LSIS

V4 = {"src": "192.168.7.2", "dst": "192.168.8.2"}
V6 = {"src": "fd00:7::2", "dst": "fd00:8::2"}
SIZE = 200


def gather(packets: Sequence[bytes]) -> list[tuple[list[int], bytes]]:
    """As the inbound worker does after `unwrap_routed`."""
    versions = [packet[0] >> 4 for packet in packets]
    octets = [40 if version == 6 else (packet[0] & 15) * 4
              for version, packet in zip(versions, packets, strict=True)]  # fmt: skip
    batch = Batch.of(
        packets,
        room=0,
        family=versions,
        network_octets=octets,
        next_header=[packet[6] if packet[0] >> 4 == 6 else packet[9] for packet in packets],
        traffic_class=[
            int.from_bytes(packet[:2]) >> 4 & 0xFF if packet[0] >> 4 == 6 else packet[1]
            for packet in packets
        ],
    )
    batch.desc["offset"] += np.array(octets, np.uint32)
    batch.desc["length"] -= np.array(octets, np.uint32)
    return Coalescer(HITS[1], HITS[0], LSIS[1], LSIS[0]).coalesce_batch(batch.arena, batch.raw)


def stream(ip: Packet, count: int = 4, *, protocol: str = "tcp") -> list[bytes]:
    """Neighbours of one flow; IPv4 identifications count."""
    found = []
    for number in range(count):
        head = ip.copy()
        if isinstance(head, IP):
            head.id = 1000 + number
        body = TCP(sport=7, dport=8, seq=number * SIZE, flags="A") if protocol == "tcp" else (
            UDP(sport=7, dport=8)
        )  # fmt: skip
        found.append(bytes(head / body / Raw(bytes([number]) * SIZE)))
    return found


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize(
    "ip",
    [
        IP(**V4),
        IP(**V4, flags="DF", tos=0xB8, ttl=7),
        IPv6(**V6),
        IPv6(**V6, tc=0x2E, fl=99, hlim=9),
    ],
)
def test_a_flow_becomes_one_that_is_cut_into_the_same(ip: Packet, protocol: str) -> None:
    packets = stream(ip, protocol=protocol)
    ((numbers, octets),) = gather(packets)
    assert numbers == [0, 1, 2, 3]
    assert segment(octets, 1500) == packets


def spoiled(packet: bytes, at: int, octet: int) -> bytes:
    return packet[:at] + bytes([octet]) + packet[at + 1 :]


def rebuilt(packet: bytes, **changes: object) -> bytes:
    """With right checksums again."""
    read = IP(packet) if packet[0] >> 4 == 4 else IPv6(packet)
    for name, value in changes.items():
        setattr(read, name, value)
    if isinstance(read, IP):
        del read.chksum
    del read[TCP].chksum
    return bytes(read)


ODD = {
    "time to live": (IP(**V4), {"ttl": 9}),
    "tos": (IP(**V4), {"tos": 4}),
    "identification": (IP(**V4), {"id": 7}),
    "don't fragment": (IP(**V4), {"flags": "DF"}),
    "source": (IP(**V4), {"src": "192.168.7.3"}),
    "hop limit": (IPv6(**V6), {"hlim": 9}),
    "traffic class": (IPv6(**V6), {"tc": 4}),
    "flow label": (IPv6(**V6), {"fl": 4}),
    "destination": (IPv6(**V6), {"dst": "fd00:8::3"}),
}


@pytest.mark.parametrize("name", ODD)
def test_a_header_that_differs_stands_alone(name: str) -> None:
    ip, changes = ODD[name]
    packets = stream(ip, 3)
    packets[1] = rebuilt(packets[1], **changes)
    assert [numbers for numbers, _ in gather(packets)] == [[0], [1], [2]]


def test_identifications_do_not_matter_where_nothing_is_fragmented() -> None:
    packets = [rebuilt(packet, id=0) for packet in stream(IP(**V4, flags="DF"))]
    ((numbers, _),) = gather(packets)
    assert numbers == [0, 1, 2, 3]


@pytest.mark.parametrize(("ip", "at"), [(IP(**V4), 10), (IP(**V4), 37), (IPv6(**V6), 57)])
def test_a_wrong_checksum_is_not_hidden(ip: Packet, at: int) -> None:
    packets = stream(ip, 3)
    packets[1] = spoiled(packets[1], at, packets[1][at] ^ 1)
    assert [numbers for numbers, _ in gather(packets)] == [[0], [1], [2]]
    packets = stream(ip, 3)
    packets[0] = spoiled(packets[0], at, packets[0][at] ^ 1)
    assert [numbers for numbers, _ in gather(packets)] == [[0], [1, 2]]


def test_options_and_fragments_are_not_merged() -> None:
    packets = stream(IP(**V4, options=[b"\x01\x01\x01\x01"]))
    batch = Batch.of(packets, room=0, family=4, network_octets=24, next_header=255)
    batch.desc["offset"] += 24
    batch.desc["length"] -= 24
    found = Coalescer(HITS[1], HITS[0], LSIS[1], LSIS[0]).coalesce_batch(batch.arena, batch.raw)
    assert [numbers for numbers, _ in found] == [[0], [1], [2], [3]]


def test_a_routed_flow_and_one_between_hits_are_two() -> None:
    packets = stream(IPv6(**V6), 2)
    batch = Batch.of(
        packets, room=0, family=6, next_header=6, network_octets=[40, 0], traffic_class=0
    )
    batch.desc["offset"] += 40
    batch.desc["length"] -= 40
    found = Coalescer(HITS[1], HITS[0], LSIS[1], LSIS[0]).coalesce_batch(batch.arena, batch.raw)
    assert [numbers for numbers, _ in found] == [[0], [1]]
