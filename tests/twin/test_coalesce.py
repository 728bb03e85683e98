"""`coalesce` against the reference; what it gathers, `segment` cuts into the same again."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipgw._fastpath.coalesce import Coalescer
from hipgw._fastpath.segment import cut_super
from tests.reference import segmentation as reference
from tests.reference.checksum import checksum, pseudo_header
from tests.reference.segmentation import CWR, FIN, NEEDS_CSUM, PSH, RST, SYN, URG, Vnet
from tests.twin.batches import Batch
from tests.twin.test_segment import HITS, LSIS, OPTIONS, super_packet

ROOM = 2112
ACK = 0x10
TCP, UDP = 6, 17
Packet = tuple[int, int, bytes]


def coalesce(packets: Sequence[Packet], **kinds: bool) -> list[tuple[list[int], bytes]]:
    """As the inbound worker does it; and as the reference does it, which must be the same."""
    batch = Batch.of(
        [payload for *_, payload in packets],
        room=0,
        next_header=[protocol for protocol, *_ in packets],
        family=[family for _, family, _ in packets],
    )
    context = Coalescer(HITS[1], HITS[0], LSIS[1], LSIS[0])
    found = context.coalesce_batch(batch.arena, batch.raw, **kinds)
    assert found == reference.coalesce(packets, HITS, LSIS, **kinds)
    assert sorted(number for numbers, _ in found for number in numbers) == [*range(len(packets))]
    return found


def together(packets: Sequence[Packet], **kinds: bool) -> list[list[int]]:
    return [numbers for numbers, _ in coalesce(packets, **kinds)]


def tcp(
    payload: bytes,
    sequence: int = 0,
    flags: int = ACK,
    *,
    family: int = 6,
    ports: tuple[int, int] = (1000, 2000),
    acknowledgement: int = 7,
    window: int = 500,
    options: bytes = b"",
    wrong: int = 0,
) -> Packet:
    """A segment as it comes out of ESP: its checksum is over the HITs."""
    head = ports[0].to_bytes(2) + ports[1].to_bytes(2) + sequence.to_bytes(4)
    head += acknowledgement.to_bytes(4) + bytes([(20 + len(options)) << 2, flags])
    head += window.to_bytes(2) + bytes(4) + options
    total = checksum(pseudo_header(*HITS, TCP, len(head) + len(payload)) + head + payload) ^ wrong
    return TCP, family, head[:16] + total.to_bytes(2) + head[18:] + payload


def udp(
    payload: bytes, ports: tuple[int, int] = (1000, 2000), *, family: int = 6, wrong: int = 0
) -> Packet:
    length = 8 + len(payload)
    head = ports[0].to_bytes(2) + ports[1].to_bytes(2) + length.to_bytes(2) + bytes(2)
    total = (checksum(pseudo_header(*HITS, UDP, length) + head + payload) or 0xFFFF) ^ wrong
    return UDP, family, head[:6] + total.to_bytes(2) + payload


def stream(count: int, size: int = 100, **options: int) -> list[Packet]:
    """Consecutive segments of one flow."""
    return [tcp(bytes([n]) * size, n * size, **options) for n in range(count)]


def payloads_of(packet: bytes, family: int) -> bytes:
    """Inner packet to what BEET carries, its checksum over the HITs."""
    network = 20 if family == 4 else 40
    protocol = packet[9] if family == 4 else packet[6]
    at = network + (16 if protocol == TCP else 6)
    cleared = packet[network:at] + bytes(2) + packet[at + 2 :]
    total = checksum(pseudo_header(*HITS, protocol, len(cleared)) + cleared)
    total = total or (0xFFFF if protocol == UDP else 0)
    return packet[network:at] + total.to_bytes(2) + packet[at + 2 :]


@given(
    parts=st.integers(1, 40),
    size=st.integers(1, 1400),
    last=st.integers(1, 1400),
    family=st.sampled_from([4, 6]),
    protocol=st.sampled_from([TCP, UDP]),
    flags=st.sampled_from([ACK, ACK | PSH, ACK | FIN, ACK | CWR, ACK | 0x40]),
    options=st.sampled_from([b"", OPTIONS]),
    sequence=st.sampled_from([1, 2**32 - 1000]),
)
def test_what_was_cut_is_gathered_again(
    *,
    parts: int,
    size: int,
    last: int,
    family: int,
    protocol: int,
    flags: int,
    options: bytes,
    sequence: int,
) -> None:
    payload = bytes(n * 31 & 0xFF for n in range(parts * size + min(last, size)))
    whole = super_packet(
        payload,
        family=family,
        protocol=protocol,
        size=size,
        flags=flags,
        sequence=sequence,
        options=options,
    )
    reason, packets = cut_super(whole, ROOM)
    assert reason == "none"
    found = coalesce([(protocol, family, payloads_of(packet, family)) for packet in packets])
    assert [octets for _, octets in found] == [whole]


def test_a_stream_becomes_one() -> None:
    assert together(stream(50)) == [[*range(50)]]
    assert together(stream(50), tcp=False) == [[n] for n in range(50)]


def test_no_more_than_65535_octets_nor_128_packets() -> None:
    [one, two] = coalesce(stream(60, 1400))
    assert len(one[1]) - 10 <= 65535 < len(one[1]) - 10 + 1400
    assert [len(numbers) for numbers in together(stream(150, 10))] == [128, 22]
    assert len(two[1]) > 0


def test_a_shorter_packet_ends_and_a_longer_one_begins() -> None:
    packets = [tcp(b"x" * 100, 0), tcp(b"x" * 60, 100), tcp(b"x" * 60, 160), tcp(b"x" * 61, 220)]
    assert together(packets) == [[0, 1], [2], [3]]


@pytest.mark.parametrize(
    "change",
    [
        {"acknowledgement": 8},
        {"window": 501},
        {"options": OPTIONS},
        {"flags": ACK | 0x40},
        {"flags": ACK | CWR},
        {"flags": ACK | URG},
        {"flags": ACK | SYN},
        {"flags": RST},
        {"wrong": 1},
        {"ports": (1001, 2000)},
        {"family": 4},
    ],
)
def test_a_change_begins_another(change: dict[str, object]) -> None:
    odd = tcp(b"x" * 100, 100, **change)  # type: ignore[arg-type]
    found = together([tcp(b"x" * 100, 0), odd])
    assert found == [[0], [1]]


@pytest.mark.parametrize("flags", [ACK | PSH, ACK | FIN])
def test_push_and_fin_go_in_and_end(flags: int) -> None:
    packets = [
        tcp(b"x" * 100, 0),
        tcp(b"x" * 100, 100, flags),
        tcp(b"x" * 100, 200),
        tcp(b"x" * 100, 300),
    ]
    found = coalesce(packets)
    assert [numbers for numbers, _ in found] == [[0, 1], [2, 3]]
    assert found[0][1][50 + 13] == flags
    assert found[1][1][50 + 13] == ACK


@pytest.mark.parametrize("flags", [ACK | PSH, ACK | FIN])
def test_a_pushed_packet_begins_nothing(flags: int) -> None:
    assert together([tcp(b"x" * 100, 0, flags), tcp(b"x" * 100, 100)]) == [[0], [1]]


def test_congestion_window_reduced_stands_on_the_first_only() -> None:
    found = coalesce([tcp(b"x", 0, ACK | CWR), tcp(b"x", 1), tcp(b"x", 2, ACK | CWR)])
    assert [numbers for numbers, _ in found] == [[0, 1], [2]]
    assert Vnet.parse(found[0][1]).gso_type == reference.TCPV6 | reference.ECN


@pytest.mark.parametrize("flag", [SYN, RST, URG])
def test_odd_packets_stand_alone_and_keep_their_place(flag: int) -> None:
    packets = [tcp(b"x", 0), tcp(b"x", 1), tcp(b"x", 2, ACK | flag), tcp(b"x", 3), tcp(b"x", 4)]
    assert together(packets) == [[0, 1], [2], [3, 4]]


def test_a_pure_acknowledgement_ends_the_bundle() -> None:
    packets = [tcp(b"x", 0), tcp(b"x", 1), tcp(b"", 2), tcp(b"x", 2), tcp(b"x", 3)]
    assert together(packets) == [[0, 1], [2], [3, 4]]


def test_flows_interleaved_are_gathered_each_in_order() -> None:
    packets = [
        tcp(bytes([n]) * 100, n * 100, ports=(flow, 80)) for n in range(20) for flow in (1, 2, 3)
    ]
    assert together(packets) == [[*range(flow, 60, 3)] for flow in range(3)]


def test_more_flows_than_are_kept_open_lose_nothing() -> None:
    packets = [
        tcp(bytes([n]) * 100, n * 100, ports=(flow, 80)) for n in range(3) for flow in range(9)
    ]
    for numbers in together(packets):
        assert numbers == sorted(numbers)


def test_out_of_order_and_lost_segments_are_not_merged() -> None:
    packets = stream(6)
    assert together([packets[n] for n in (0, 1, 3, 2, 4, 5)]) == [[0, 1], [2], [3], [4, 5]]
    assert together([packets[n] for n in (0, 1, 3, 4)]) == [[0, 1], [2, 3]]
    assert together([packets[n] for n in (0, 0, 1)]) == [[0], [1, 2]]


@pytest.mark.parametrize("bad", range(6))
@pytest.mark.parametrize("wrong", [1, 0x8000, 0xFFFF])
def test_a_wrong_checksum_is_never_hidden(bad: int, wrong: int) -> None:
    packets = stream(6)
    packets[bad] = tcp(bytes([bad]) * 100, bad * 100, wrong=wrong)
    found = coalesce(packets)
    alone = [numbers for numbers, octets in found if not octets]
    assert [bad] in alone
    datagrams = [udp(bytes([n]) * 10) for n in range(6)]
    datagrams[bad] = udp(bytes([bad]) * 10, wrong=wrong)
    assert [bad] in together(datagrams)


def test_datagrams_of_one_size_become_one() -> None:
    packets = [udp(bytes([n]) * 10) for n in range(5)] + [udp(b"y" * 9), udp(b"z" * 9)]
    assert together(packets) == [[0, 1, 2, 3, 4, 5], [6]]
    assert together(packets, udp=False) == [[n] for n in range(7)]


def test_datagrams_that_are_odd_stand_alone() -> None:
    kind, family, good = udp(b"x" * 10)
    unsummed = good[:6] + bytes(2) + good[8:]
    longer = good[:4] + (19).to_bytes(2) + good[6:]
    for odd in (unsummed, longer, good + b"?", good[:7], b"", udp(b"")[2]):
        assert together([(kind, family, good), (kind, family, odd), (kind, family, good)])[1] == [1]


@pytest.mark.parametrize("family", [4, 6])
def test_the_super_packet_asks_for_its_checksum(family: int) -> None:
    [(_, octets)] = coalesce(stream(3, family=family))
    vnet = Vnet.parse(octets)
    network = 20 if family == 4 else 40
    assert vnet == Vnet(NEEDS_CSUM, 1 if family == 4 else 4, network + 20, 100, network, 16)
    reason, packets = cut_super(octets, ROOM)
    assert (reason, len(packets)) == ("none", 3)
    ends = HITS if family == 6 else LSIS
    for packet in packets:
        payload = packet[network:]
        assert checksum(pseudo_header(*ends, TCP, len(payload)) + payload) == 0


SEGMENTS = st.builds(
    tcp,
    st.sampled_from([b"", b"a", b"ab", b"ab", b"abc"]),
    st.integers(0, 6),
    st.sampled_from([ACK, ACK, ACK, ACK | PSH, ACK | FIN, ACK | CWR, SYN, RST, URG]),
    family=st.sampled_from([4, 6]),
    ports=st.tuples(st.integers(1, 2), st.just(80)),
    options=st.sampled_from([b"", b"", OPTIONS]),
    wrong=st.sampled_from([0, 0, 0, 1]),
)
DATAGRAMS = st.builds(
    udp,
    st.sampled_from([b"", b"a", b"ab", b"ab", b"abc"]),
    st.tuples(st.integers(1, 12), st.just(53)),
    family=st.sampled_from([4, 6]),
    wrong=st.sampled_from([0, 0, 0, 1]),
)
OTHERS = st.tuples(
    st.sampled_from([TCP, UDP, 1, 58]), st.sampled_from([4, 6]), st.binary(max_size=70)
)


@given(st.lists(st.one_of(SEGMENTS, DATAGRAMS, OTHERS), max_size=60))
def test_any_packets_are_gathered_as_in_the_reference(packets: list[Packet]) -> None:
    coalesce(packets)


@pytest.mark.parametrize("count", [0, 1, 2, 67, 255, 256])
def test_batches_of_every_size(count: int) -> None:
    assert sum(map(len, together(stream(count, 20)))) == count


def test_what_no_batch_is_gets_refused() -> None:
    context = Coalescer(HITS[1], HITS[0], LSIS[1], LSIS[0])
    batch = Batch.of([b"x"] * 257, room=0)
    with pytest.raises(ValueError, match="at most 256"):
        context.coalesce_batch(batch.arena, batch.raw)
    with pytest.raises(ValueError, match="two HITs"):
        Coalescer(b"", HITS[0], LSIS[1], LSIS[0])
