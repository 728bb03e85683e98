"""`segment` against the reference, and its packets against scapy."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6

from hipgw._fastpath.segment import cut_super
from tests.reference import segmentation as reference
from tests.reference.checksum import ones_sum, pseudo_header
from tests.reference.segmentation import ECN, NEEDS_CSUM, TCPV4, TCPV6, UDP_L4, Vnet, ip_header

HITS = bytes.fromhex("20010021") + bytes(11) + b"\x0a", bytes.fromhex("20010022") + bytes(12)
LSIS = bytes([1, 0, 0, 1]), bytes([1, 0, 0, 2])
ROOM = 2112
OPTIONS = b"\x01\x01\x08\x0a" + bytes(range(8))


def super_packet(
    payload: bytes,
    *,
    family: int = 6,
    protocol: int = 6,
    size: int = 1400,
    flags: int = 0x10,
    sequence: int = 1,
    options: bytes = OPTIONS,
    ports: tuple[int, int] = (1000, 2000),
    acknowledgement: int = 7,
) -> bytes:
    """As a kernel hands it over: the checksum field holds the sum of the pseudo-header."""
    ends = HITS if family == 6 else LSIS
    head = ports[0].to_bytes(2) + ports[1].to_bytes(2)
    if protocol == 6:
        head += sequence.to_bytes(4) + acknowledgement.to_bytes(4)
        head += bytes([(20 + len(options)) << 2, flags]) + b"\x12\x34\0\0\0\0" + options
        kind, at = (TCPV6 if family == 6 else TCPV4), 16
        kind |= ECN if flags & 0x80 else 0
    else:
        head += (8 + len(payload)).to_bytes(2) + bytes(2)
        kind, at = UDP_L4, 6
    length = len(head) + len(payload)
    partial = ones_sum(pseudo_header(*ends, protocol, length)).to_bytes(2)
    ip = ip_header(*ends, protocol, length)
    vnet = Vnet(NEEDS_CSUM, kind, len(ip) + len(head), size, len(ip), at)
    return vnet.emit() + ip + head[:at] + partial + head[at + 2 :] + payload


def reference_of(octets: bytes, room: int) -> tuple[str, list[bytes]]:
    try:
        return "none", reference.segment(octets, room)
    except reference.RefusedError as error:
        return str(error), []


SUPERS = st.builds(
    super_packet,
    st.integers(0, 9000).map(lambda n: bytes(k & 0xFF for k in range(n))),
    family=st.sampled_from([4, 6]),
    protocol=st.sampled_from([6, 17]),
    size=st.integers(1, 2000).filter(lambda n: n > 30),
    flags=st.integers(0, 255),
    sequence=st.sampled_from([0, 1, 2**31, 2**32 - 1, 2**32 - 3000]),
    options=st.sampled_from([b"", OPTIONS, bytes(40)]),
)


@given(SUPERS)
def test_super_packets_become_what_the_reference_says(octets: bytes) -> None:
    assert cut_super(octets, ROOM) == reference_of(octets, ROOM)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("protocol", [6, 17])
@pytest.mark.parametrize("payload", [0, 1, 1399, 1400, 1401, 2800, 65000])
def test_boundaries(family: int, protocol: int, payload: int) -> None:
    octets = super_packet(b"\xa5" * payload, family=family, protocol=protocol)
    reason, packets = cut_super(octets, ROOM)
    assert (reason, packets) == reference_of(octets, ROOM)
    assert len(packets) == max(1, -(-payload // 1400))


@pytest.mark.parametrize("family", [4, 6])
def test_scapy_reads_the_packets_as_meant(family: int) -> None:
    octets = super_packet(b"x" * 3000, family=family, flags=0x99, sequence=2**32 - 1000)
    packets = [(IP if family == 4 else IPv6)(packet) for packet in cut_super(octets, ROOM)[1]]
    assert [int(packet[TCP].flags) for packet in packets] == [0x90, 0x10, 0x19]
    assert [packet[TCP].seq for packet in packets] == [2**32 - 1000, 400, 1800]
    for packet in packets:
        given_sum = packet[TCP].chksum
        del packet[TCP].chksum
        assert type(packet)(bytes(packet))[TCP].chksum == given_sum
    if family == 4:
        assert [packet.id for packet in packets] == [0, 1, 2]


def with_octets(octets: bytes, **at: int) -> bytes:
    """`octets` with some of them changed: names are o0, o1, ... counted from the vnet header."""
    changed = bytearray(octets)
    for name, value in at.items():
        changed[int(name[1:])] = value
    return bytes(changed)


GOOD = super_packet(bytes(3000))
GOOD4 = super_packet(bytes(3000), family=4)
HOSTILE = {
    "no header": b"\0" * 9,
    "segment size 0": with_octets(GOOD, o4=0, o5=0),
    "segment size beyond a slot": with_octets(GOOD, o4=0xFF, o5=0xFF),
    "checksum begins elsewhere": with_octets(GOOD, o6=41),
    "checksum begins beyond": with_octets(GOOD, o6=0xFF, o7=0xFF),
    "checksum written elsewhere": with_octets(GOOD, o8=6),
    "TCPv4 that is IPv6": with_octets(GOOD, o1=TCPV4),
    "TCPv6 that is IPv4": with_octets(GOOD4, o1=TCPV6),
    "UFO": with_octets(GOOD, o1=3),
    "UDP with ECN": with_octets(super_packet(bytes(3000), protocol=17), o1=UDP_L4 | ECN),
    "UDP that is TCP": with_octets(GOOD, o1=UDP_L4),
    "kind unknown": with_octets(GOOD, o1=0x7F),
    "header only": GOOD[:10],
    "cut in the IP header": GOOD[:49],
    "cut in the TCP header": GOOD[:60],
    "longer than it is": GOOD[:-1],
    "TCP header beyond the end": with_octets(super_packet(b""), o62=0xF0),
    "TCP header too short": with_octets(GOOD, o62=0x40),
    "IPv4 header too short": with_octets(GOOD4, o10=0x44),
    "IPv4 header beyond the end": with_octets(super_packet(b"", family=4, options=b""), o10=0x4F),
    "IPv4 total too short": with_octets(GOOD4, o12=0, o13=19),
    "IPv4 fragment": with_octets(GOOD4, o16=0x20),
    "extension header without end": with_octets(GOOD, o16=0, o51=255),
    "routing header": with_octets(GOOD, o16=43),
    "version 5": with_octets(GOOD, o10=0x50),
    "plain, checksum beyond the end": Vnet(NEEDS_CSUM, 0, 0, 0, 60000, 16).emit() + bytes(100),
    "plain, checksum across the end": Vnet(NEEDS_CSUM, 0, 0, 0, 40, 59).emit() + bytes(100),
    "plain, longer than a slot": bytes(10 + ROOM + 1),
}


@pytest.mark.parametrize("octets", HOSTILE.values(), ids=HOSTILE)
def test_hostile_super_packets_are_refused_by_name(octets: bytes) -> None:
    reason, packets = cut_super(octets, ROOM)
    assert (reason, packets) == reference_of(octets, ROOM)
    assert reason in {"runt", "inner_malformed", "truncated"}
    assert not packets


@given(SUPERS, st.lists(st.tuples(st.integers(0, 90), st.integers(0, 255)), max_size=4))
@example(GOOD, [(16, 60), (51, 0)])
def test_any_change_ends_as_in_the_reference(octets: bytes, changes: list[tuple[int, int]]) -> None:
    changed = bytearray(octets)
    for at, value in changes:
        changed[at % len(changed)] = value
    if int.from_bytes(changed[4:6], "little") < 30 < len(changed):
        changed[4] |= 32  # not a packet for each octet: the reference is slow
    assert cut_super(bytes(changed), ROOM) == reference_of(bytes(changed), ROOM)


@given(st.binary(max_size=120), st.integers(0, 120), st.integers(0, 120))
def test_a_plain_packet_gets_its_checksum(packet: bytes, start: int, offset: int) -> None:
    for flags in (0, NEEDS_CSUM):
        octets = Vnet(flags, 0, 0, 0, start, offset).emit() + packet
        assert cut_super(octets, ROOM) == reference_of(octets, ROOM)


@given(st.binary(min_size=1, max_size=200))
def test_noise_ends_as_in_the_reference(octets: bytes) -> None:
    assert cut_super(octets, ROOM) == reference_of(octets, ROOM)
