"""`beet` against the reference, and its checksums against scapy."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrFragment
from scapy.packet import Packet, Raw

from hipgw._fastpath.contexts import BeetContext
from tests.reference import beet as reference
from tests.reference.beet import Addresses, Payload
from tests.reference.checksum import checksum, ones_sum, pseudo_header
from tests.reference.esp import Dropped
from tests.twin.batches import FORWARD, Batch
from tests.twin.test_esp_seal import BATCH_SIZES, LENGTHS

SA = Addresses(
    bytes.fromhex("20010021000000000000000000000001"),
    bytes.fromhex("2001002200000000000000000000fffe"),
    bytes([1, 0, 0, 1]),
    bytes([1, 0, 0, 2]),
)
BACK = Addresses(SA.peer_hit, SA.local_hit, SA.peer_lsi, SA.local_lsi)
HITS = {"src": "2001:21::1", "dst": "2001:22::fffe"}
LSIS = {"src": "1.0.0.1", "dst": "1.0.0.2"}
NO_LSIS = Addresses(SA.local_hit, SA.peer_hit)
Outcome = Payload | str


def context_of(*addresses: Addresses) -> BeetContext:
    context = BeetContext()
    for sa in addresses:
        context.add(sa.local_hit, sa.peer_hit, sa.local_lsi, sa.peer_lsi)
    return context


def strip(packets: list[bytes], sa: Addresses = SA) -> list[Outcome]:
    batch = Batch.of(packets, room=0)
    stay = context_of(sa).strip_batch(batch.arena, batch.raw)
    found: list[Outcome] = [
        Payload(batch.packet(i), int(row["next_header"]), int(row["family"]))
        if row["verdict"] == FORWARD
        else batch.reason(i)
        for i, row in enumerate(batch.desc)
    ]
    assert stay == sum(not isinstance(outcome, str) for outcome in found)
    return found


def rebuild(
    payloads: list[Payload], sa: Addresses = BACK, hop_limit: int = 64, traffic_class: int = 0
) -> list[bytes | str]:
    batch = Batch.of(
        [p.octets for p in payloads],
        room=40,
        next_header=[p.next_header for p in payloads],
        family=[p.family for p in payloads],
    )
    stay = context_of(sa).rebuild_batch(batch.arena, batch.raw, hop_limit, traffic_class)
    found = [
        batch.packet(i) if row["verdict"] == FORWARD else batch.reason(i)
        for i, row in enumerate(batch.desc)
    ]
    assert stay == sum(not isinstance(outcome, str) for outcome in found)
    return found


def said(function: Callable[..., Payload | bytes], *arguments: object) -> Payload | bytes | str:
    """What the reference answers, a drop as the name of its reason."""
    try:
        return function(*arguments)
    except Dropped as outcome:
        return str(outcome.args[0])


def over_hits(transport: Packet) -> bytes:
    """What scapy computes for the transport header over the HITs."""
    return bytes(IPv6(**HITS) / transport)[40:]


def transports(length: int) -> list[tuple[int, Callable[[], Packet]]]:
    data = bytes(i * 3 % 256 for i in range(length))
    return [
        (6, lambda: TCP(sport=1, dport=22, seq=7) / Raw(data)),
        (17, lambda: UDP(sport=5000, dport=53) / Raw(data)),
    ]


@pytest.mark.parametrize("length", [0, 1, 2, 3, 63, 64, 99, 1360, 8860])
def test_lsi_checksums_become_hit_checksums_and_back(length: int) -> None:
    for protocol, transport in transports(length):
        inner = bytes(IP(**LSIS, id=0, flags="DF", ttl=64) / transport())
        assert strip([inner]) == [Payload(over_hits(transport()), protocol, 4)]
        assert rebuild([Payload(over_hits(transport()), protocol, 4)]) == [inner]


def test_hit_packets_pass_bit_by_bit() -> None:
    for packet in (
        IPv6(**HITS, hlim=9, tc=0xB8) / TCP(dport=80) / Raw(b"abc"),
        IPv6(**HITS, hlim=9, tc=0xB8) / UDP(dport=80) / Raw(b"abcd"),
        IPv6(**HITS, hlim=9, tc=0xB8) / ICMPv6EchoRequest(data=b"ping"),
        IPv6(**HITS, hlim=9, tc=0xB8) / IPv6ExtHdrFragment(id=5, m=1, nh=17) / Raw(bytes(64)),
        IPv6(**HITS, hlim=9, tc=0xB8, nh=41) / IPv6(src="fd00::1", dst="fd00::2") / UDP(),
    ):
        inner = bytes(packet)
        (payload,) = strip([inner])
        assert payload == Payload(inner[40:], inner[6], 6)
        assert rebuild([payload], BACK, 9, 0xB8) == [inner]


def test_icmp_decides_the_family_by_itself() -> None:
    echo = bytes(IP(**LSIS, id=0, flags="DF") / ICMP() / Raw(b"ping"))
    assert strip([echo]) == [Payload(echo[20:], 1, 4)]
    assert rebuild([Payload(echo[20:], 1, 6)]) == [echo]
    echo6 = bytes(IPv6(**HITS) / ICMPv6EchoRequest(data=b"ping"))
    assert rebuild([Payload(echo6[40:], 58, 4)]) == [echo6]


def test_udp_without_a_checksum_gets_one() -> None:
    for length in (0, 1, 7, 500):
        data = bytes(i % 256 for i in range(length))
        bare = bytes(IP(**LSIS) / UDP(sport=5, dport=6, chksum=0) / Raw(data))
        (payload,) = strip([bare])
        assert payload == Payload(over_hits(UDP(sport=5, dport=6) / Raw(data)), 17, 4)


@pytest.mark.parametrize("zero_over", ["hits", "lsis"])
def test_udp_checksums_that_come_out_as_zero_are_written_as_ones(zero_over: str) -> None:
    pseudo = {
        "hits": pseudo_header(SA.local_hit, SA.peer_hit, 17, 10),
        "lsis": pseudo_header(SA.local_lsi, SA.peer_lsi, 17, 10),
    }
    head = struct.pack("!HHHH", 5, 6, 10, 0)
    data = checksum(pseudo[zero_over] + head).to_bytes(2)
    field = {name: checksum(octets + head + data) or 0xFFFF for name, octets in pseudo.items()}
    assert field[zero_over] == 0xFFFF
    over = {name: head[:6] + value.to_bytes(2) + data for name, value in field.items()}
    inner = bytes(IP(**LSIS, id=0, flags="DF", proto=17) / Raw(over["lsis"]))
    without = bytes(IP(**LSIS, proto=17) / Raw(head + data))
    assert strip([inner, without]) == [Payload(over["hits"], 17, 4)] * 2
    assert rebuild([Payload(over["hits"], 17, 4)]) == [inner]


def test_a_udp_checksum_of_zero_on_the_wire_stays_none() -> None:
    datagram = struct.pack("!HHHH", 5, 6, 12, 0) + b"data"
    (packet,) = rebuild([Payload(datagram, 17, 4)])
    assert isinstance(packet, bytes)
    assert packet[20:] == datagram


def test_the_example_of_rfc_7401_appendix_c_3() -> None:
    """TCP SYN over the HITs 2001:20::1 and 2001:20::2, checksum 0x6faa, as an LSI packet."""
    hits = [bytes.fromhex("2001002000000000000000000000000" + n) for n in "12"]
    sa = Addresses(hits[0], hits[1], SA.local_lsi, SA.peer_lsi)
    syn = TCP(sport=65500, dport=22, seq=1, window=65535)
    (payload,) = strip([bytes(IP(**LSIS) / syn)], sa)
    assert isinstance(payload, Payload)
    assert payload.octets[16:18].hex() == "6faa"


def test_link_padding_and_ipv4_options_are_cut_off() -> None:
    udp = UDP(sport=1, dport=2) / Raw(b"xyz")
    six = bytes(IPv6(**HITS) / udp)
    four = bytes(IP(**LSIS, options=[IPOption_NOP()] * 8) / udp)
    assert four[0] == 0x47
    assert strip([six + bytes(9), four + bytes(9)]) == [
        Payload(six[40:], 17, 6), Payload(over_hits(udp), 17, 4),
    ]  # fmt: skip


MALFORMED = {
    "fragment": (bytes(IP(**LSIS, flags="MF") / UDP()), "inner_malformed"),
    "last fragment": (bytes(IP(**LSIS, frag=2) / UDP()), "inner_malformed"),
    "version 5": (b"\x55" + bytes(60), "inner_malformed"),
    "header length 16": (b"\x44" + bytes(60), "inner_malformed"),
    "short tcp": (bytes(IP(**LSIS, proto=6) / Raw(bytes(19))), "inner_malformed"),
    "short udp": (bytes(IP(**LSIS, proto=17) / Raw(bytes(7))), "inner_malformed"),
    "udp length 7": (bytes(IP(**LSIS) / UDP(len=7)), "inner_malformed"),
    "udp length 9": (bytes(IP(**LSIS) / UDP(len=9)), "inner_malformed"),
    "jumbogram": (bytes(IPv6(**HITS, nh=0, plen=0) / Raw(bytes(80))), "inner_malformed"),
    "other source": (bytes(IPv6(src="2001:21::2", dst=HITS["dst"]) / UDP()), "source_not_ours"),
    "other lsi": (bytes(IP(src="1.0.0.3", dst=LSIS["dst"]) / UDP()), "source_not_ours"),
    "other hit": (bytes(IPv6(src=HITS["src"], dst="2001:22::1") / UDP()), "not_hip_destination"),
    "other peer lsi": (bytes(IP(src=LSIS["src"], dst="1.9.9.9") / UDP()), "not_hip_destination"),
    "icmpv4 over hits": (bytes(IPv6(**HITS, nh=1) / ICMP()), "next_header"),
    "icmpv6 over lsis": (bytes(IP(**LSIS, proto=58) / Raw(bytes(8))), "next_header"),
    "no next header": (bytes(IPv6(**HITS, nh=59)), "next_header"),
    "beet pseudo header": (bytes(IP(**LSIS, proto=94) / Raw(bytes(8))), "next_header"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_not_carried(name: str) -> None:
    packet, reason = MALFORMED[name]
    batch = Batch.of([packet], room=0)
    before = batch.arena.copy(), int(batch.desc["offset"][0]), int(batch.desc["length"][0])
    assert context_of(SA).strip_batch(batch.arena, batch.raw) == 0
    assert batch.reason(0) == reason
    assert (batch.arena == before[0]).all()
    assert (int(batch.desc["offset"][0]), int(batch.desc["length"][0])) == before[1:]


def test_without_lsis_ipv4_goes_nowhere() -> None:
    inner = bytes(IP(**LSIS) / UDP())
    assert strip([inner], NO_LSIS) == ["no_lsi"]
    assert rebuild([Payload(bytes(8), 1, 6)], NO_LSIS) == ["no_lsi"]
    assert rebuild([Payload(bytes(8), 17, 4)], NO_LSIS) == ["no_lsi"]


def test_what_is_not_rebuilt() -> None:
    found = rebuild(
        [Payload(bytes(64), number, 4) for number in (0, 43, 44, 59, 60, 94)]
        + [Payload(bytes(64), number, 6) for number in (59, 94)]
        + [Payload(bytes(19), 6, 4), Payload(bytes(7), 17, 4), Payload(bytes(65516), 50, 4)]
        + [Payload(bytes(65536), 50, 6)]
    )
    assert found == ["next_header"] * 8 + ["inner_malformed"] * 4


@pytest.mark.parametrize("family", [4, 6])
def test_every_prefix_of_a_good_packet(family: int) -> None:
    udp = UDP(sport=1, dport=2) / Raw(bytes(30))
    packet = bytes(IP(**LSIS) / udp) if family == 4 else bytes(IPv6(**HITS) / udp)
    for length in range(len(packet)):
        assert strip([packet[:length]]) == ["inner_malformed"], length


@pytest.mark.parametrize("size", BATCH_SIZES)
def test_every_batch_size(size: int) -> None:
    rng = np.random.default_rng(size)
    packets = []
    for index in range(size):
        _, transport = transports(index)[index % 2]
        packets.append(bytes((IP(**LSIS) if index % 3 else IPv6(**HITS)) / transport()))
        if index % 7 == 3:
            packets[-1] = rng.bytes(index)
    assert strip(packets) == [said(reference.strip, packet, SA) for packet in packets]


@pytest.mark.parametrize("family", [4, 6])
def test_every_length(family: int) -> None:
    payloads = [
        Payload(bytes(length), protocol, family) for length in LENGTHS for protocol in (6, 17, 50)
    ]
    context = context_of(BACK)
    batch = Batch.of(
        [p.octets for p in payloads], 40, next_header=[6, 17, 50] * len(LENGTHS), family=family
    )
    context.rebuild_batch(batch.arena, batch.raw, 3, 0xFF)
    for index, payload in enumerate(payloads):
        right = said(reference.rebuild, payload, BACK, 3, 0xFF)
        found = batch.packet(index) if batch.reason(index) == "none" else batch.reason(index)
        assert found == right
        if family == 4 and isinstance(right, bytes):
            assert ones_sum(right[:20]) == 0xFFFF
    assert batch.untouched_outside()
    forwarded = batch.desc[batch.desc["verdict"] == FORWARD]
    assert context.octets_in(0) == int(forwarded["length"].sum())


@given(st.data())
def test_any_octets_strip_as_in_the_reference(data: st.DataObject) -> None:
    packets = []
    for _ in range(data.draw(st.integers(0, 6))):
        body = data.draw(st.binary(max_size=60))
        kind = data.draw(st.sampled_from(["any", "four", "six"]))
        protocol = data.draw(st.sampled_from([6, 17, 17, 1, 58, 59, 0, 44, 132]))
        if kind == "four":
            total = max(0, 20 + len(body) + data.draw(st.integers(-3, 1)))
            fragment = data.draw(st.sampled_from([0, 0, 0x4000, 0x2000, 0x1FFF]))
            head = struct.pack("!BBHHHBBH", 0x45, 0, total, 7, fragment, 64, protocol, 0)
            body = head + SA.local_lsi + SA.peer_lsi + body
        elif kind == "six":
            total = max(0, len(body) + data.draw(st.integers(-3, 1)))
            body = (
                struct.pack("!IHBB", 6 << 28, total, protocol, 1)
                + SA.local_hit
                + SA.peer_hit
                + body
            )
        packets.append(body)
    assert strip(packets) == [said(reference.strip, packet, SA) for packet in packets]


@given(
    st.lists(
        st.builds(Payload, st.binary(max_size=60), st.integers(0, 255), st.sampled_from([4, 6])),
        max_size=6,
    ),
    st.integers(0, 255),
    st.integers(0, 255),
    st.sampled_from([BACK, NO_LSIS]),
)
def test_any_payload_is_rebuilt_as_in_the_reference(
    payloads: list[Payload], hop_limit: int, traffic_class: int, sa: Addresses
) -> None:
    right = [said(reference.rebuild, p, sa, hop_limit, traffic_class) for p in payloads]
    assert rebuild(payloads, sa, hop_limit, traffic_class) == right


@given(st.binary(min_size=20, max_size=80), st.sampled_from([6, 17]))
def test_a_wrong_checksum_stays_exactly_as_wrong(octets: bytes, protocol: int) -> None:
    """There and back the field is the same modulo 65535, so the end host still sees the error."""
    if protocol == 17:
        octets = octets[:4] + len(octets).to_bytes(2) + b"\x12" + octets[7:]
    inner = bytes(IP(**LSIS, id=0, flags="DF", proto=protocol) / Raw(octets))
    (payload,) = strip([inner])
    assert isinstance(payload, Payload)
    (back,) = rebuild([payload])
    assert isinstance(back, bytes)
    at = 20 + (16 if protocol == 6 else 6)
    assert back[:at] == inner[:at]
    assert back[at + 2 :] == inner[at + 2 :]
    before, after = (int.from_bytes(p[at : at + 2]) for p in (inner, back))
    assert (before - after) % 0xFFFF == 0


def test_the_context_checks_what_it_is_given() -> None:
    context = BeetContext()
    with pytest.raises(ValueError, match="16 octets"):
        context.add(bytes(15), bytes(16), bytes(4), bytes(4))
    batch = Batch.of([bytes(60)], room=39)
    with pytest.raises(ValueError, match="no SA"):
        context.strip_batch(batch.arena, batch.raw)
    context.add(bytes(16), bytes(16), bytes(4), bytes(4))
    with pytest.raises(ValueError, match="leave the arena"):
        context.rebuild_batch(batch.arena, batch.raw, 64, 0)
    with pytest.raises(IndexError):
        context.octets_in(1)
