"""Super-packets and trains through two data paths, and what happens when the kernel says no."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

import pytest

from tests.reference.segmentation import Vnet, segment
from tests.twin.test_segment import HOSTILE, super_packet
from tests.unit.fastpath.wires import (
    EVERY_OFFLOAD,
    HIT_A,
    HIT_B,
    NO_LSI,
    SPI_AB,
    Host,
    dropped,
    ended,
    hit_udp,
    ipv6,
    join,
    running_hosts,
    udp,
    wait_until,
    wired,
)

TCP, UDP = 6, 17
SO_NO_CHECK = 11
ENDS = {"family": 6, "size": 1300}
WAYS = [
    {name: bool(choice >> bit & 1) for bit, name in enumerate(EVERY_OFFLOAD)}
    for choice in range(1 << len(EVERY_OFFLOAD))
]


def between_a_and_b(octets: bytes) -> bytes:
    """A super-packet of the twin tests, sent from HIT_A to HIT_B; its sums are made anew."""
    changed = octets[:10] + octets[10:18] + HIT_A + HIT_B + octets[50:]
    [whole] = segment(Vnet.parse(octets).emit()[:4] + b"\xff\xff" + changed[6:], 1 << 17)
    return octets[:10] + whole


def payload_of(packets: list[bytes]) -> bytes:
    return b"".join(packet[72:] for packet in packets)


@contextlib.contextmanager
def super_hosts(**options: int) -> Iterator[tuple[Host, Host]]:
    with wired(lsis=(NO_LSI, NO_LSI), **(EVERY_OFFLOAD | options)) as (a, b):
        yield a, b


def named(way: dict[str, bool]) -> str:
    return "+".join(name for name, is_on in way.items() if is_on) or "none"


@pytest.mark.parametrize("options", WAYS, ids=named)
def test_every_way_carries_the_same(options: dict[str, bool]) -> None:
    with wired(lsis=(NO_LSI, NO_LSI), **options) as (a, b):
        packets = [hit_udp(os.urandom(size)) for size in (1000, 1000, 1000, 7, 1000, 0, 1, 1)]
        for packet in packets:
            a.application.send(packet)
        assert [b.application.recv(4096) for _ in packets] == packets
        wait_until(lambda: b.path.counters()["tun_tx"] == len(packets))
        assert b.path.counters()["esp_rx"] == len(packets)


@pytest.mark.parametrize("slots", [16, 64, 256])
def test_a_super_packet_crosses_whole_and_comes_out_as_one(slots: int) -> None:
    """With fewer slots than segments, what is left goes with the next batch."""
    with super_hosts(batch=slots) as (a, b):
        sent = between_a_and_b(super_packet(os.urandom(60000), size=1300, flags=0x18))
        a.application.channel.send(sent)
        received = []
        while len(payload_of(received)) < 60000:
            received.append(b.application.recv(4096))
        assert received == segment(sent, 4096)
        wait_until(lambda: b.path.counters()["tun_tx"] == len(received) == 47)
        wait_until(lambda: b.path.counters()["coalesced_out"] >= 1)
        wait_until(lambda: a.path.counters()["gso_out"] >= 1)
        wait_until(lambda: a.path.counters()["esp_tx"] == 47)
        ours, theirs = a.path.counters(), b.path.counters()
        assert ours["tso_in"] == 1
        assert ours["tun_rx"] == ours["esp_tx"] == theirs["esp_rx"] == 47
        assert ours["gso_refused"] == theirs["gso_refused"] == 0


def test_datagrams_cut_by_the_sender_come_out_as_one() -> None:
    with super_hosts() as (a, b):
        sent = between_a_and_b(super_packet(os.urandom(10000), protocol=UDP, size=1000))
        a.application.channel.send(sent)
        packets = segment(sent, 4096)
        assert [b.application.recv(4096) for _ in packets] == packets
        assert a.path.counters()["tso_in"] == 1


@pytest.mark.parametrize("uso", [True, False])
def test_who_reads_datagrams_gets_the_processor(*, uso: bool) -> None:
    """Not a stream's reader, and not for a few; super-packets or not."""
    few = super_packet(os.urandom(10000), protocol=UDP, size=1000)
    stream = super_packet(os.urandom(60000), size=1300, flags=0x18)
    with super_hosts(gives_way=True, uso=uso) as (a, b):
        for sent in map(between_a_and_b, (few, stream)):
            a.application.channel.send(sent)
            received: list[bytes] = []
            while len(received) < len(segment(sent, 4096)):
                received.append(b.application.recv(4096))
            assert b.path.counters()["gave_way"] == 0
        many = [hit_udp(bytes(100)) for _ in range(200)]
        for packet in many:
            a.application.send(packet)
        assert [b.application.recv(4096) for _ in many] == many
        wait_until(lambda: 1 <= b.path.counters()["gave_way"] <= 6)


def test_nobody_gives_way_who_was_not_told() -> None:
    with super_hosts() as (a, b):
        many = [hit_udp(bytes(100)) for _ in range(100)]
        for packet in many:
            a.application.send(packet)
        assert [b.application.recv(4096) for _ in many] == many
        wait_until(lambda: b.path.counters()["tun_tx"] == len(many))
        assert b.path.counters()["gave_way"] == 0


def test_trains_of_two_associations_and_many_sizes_keep_their_order() -> None:
    with super_hosts() as (a, b):
        packets = [
            hit_udp(bytes([n & 0xFF]) * size, (1000 + n % 3, 2000))
            for n, size in enumerate([900, 900, 900, 40, 900] * 80)
        ]
        received: dict[bytes, list[bytes]] = {}
        for packet in packets:
            a.application.send(packet)
        for _ in packets:
            got = b.application.recv(4096)
            received.setdefault(got[40:44], []).append(got)
        for flow, arrived in received.items():
            assert arrived == [packet for packet in packets if packet[40:44] == flow]


def test_a_refused_train_goes_as_datagrams_and_no_other_is_tried() -> None:
    """UDP without checksums takes no trains (EINVAL); every packet still arrives, in order."""
    with super_hosts() as (a, b):
        a.udp.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
        sent = between_a_and_b(super_packet(os.urandom(30000), size=1000))
        for _ in range(3):
            a.application.channel.send(sent)
            packets = segment(sent, 4096)
            assert [b.application.recv(4096) for _ in packets] == packets
        wait_until(lambda: a.path.counters()["esp_tx"] == 90)
        wait_until(lambda: a.path.counters()["gso_refused"] >= 1)
        counters = a.path.counters()
        assert counters["gso_refused"] <= 3
        assert counters["gso_out"] == 0
        assert counters["send_error"] == counters["send_full"] == 0


@pytest.mark.parametrize("octets", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_super_packet_raises_one_counter_and_stops_nothing(octets: bytes) -> None:
    with super_hosts() as (a, b):
        before = a.path.counters()
        a.application.channel.send(octets)
        wait_until(lambda: dropped(before, a.path.counters()) != {})
        assert sum(dropped(before, a.path.counters()).values()) == 1
        a.application.send(hit_udp(b"still alive"))
        assert b.application.recv(4096) == hit_udp(b"still alive")


def test_an_unfinished_checksum_is_finished() -> None:
    with super_hosts() as (a, b):
        right = hit_udp(b"payload")
        partial = bytearray(right)
        partial[46:48] = segment_sum(right)
        a.application.channel.send(Vnet(1, 0, 0, 0, 40, 6).emit() + partial)
        assert b.application.recv(4096) == right


def segment_sum(packet: bytes) -> bytes:
    """What a kernel leaves in the checksum field of an inner UDP packet."""
    total = int.from_bytes(packet[4:6]) + UDP
    for at in range(8, 40, 2):
        total += int.from_bytes(packet[at : at + 2])
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total.to_bytes(2)


def test_a_bad_inner_checksum_arrives_as_bad_as_it_was() -> None:
    """The checksum is end to end: nothing on the way may make it right, or vouch for it."""
    with super_hosts() as (a, b):
        good = [hit_udp(bytes([n]) * 100) for n in range(5)]
        bad = bytearray(good[2])
        bad[-1] ^= 1
        sent = [*good[:2], bytes(bad), *good[3:]]
        for packet in sent:
            a.application.send(packet)
        assert [b.application.recv(4096) for _ in sent] == sent


def train_of(b: Host, datagrams: list[bytes]) -> list[tuple[int, bytes, tuple[object, ...]]]:
    """Send datagrams to B as one train; the control packets that B's control plane then gets."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(("127.0.0.1", 0))
        size = len(datagrams[0]).to_bytes(2, "little")
        sender.sendmsg(
            [b"".join(datagrams)], [(socket.IPPROTO_UDP, 103, size)], 0, (b.address, b.port)
        )
        port = sender.getsockname()[1]
    wait_until(lambda: b.path.counters()["net_rx"] == len(datagrams))
    wait_until(lambda: ended(b) == len(datagrams))
    punts = b.path.take_punts()
    assert all(meta == (b"\x7f\0\0\1", port, b"\x7f\0\0\1") for _, _, meta in punts)
    return punts


def test_control_packets_in_a_train_keep_their_sender() -> None:
    with running_hosts(1, **EVERY_OFFLOAD) as (b,):
        control = [bytes(4) + bytes([59, 4, n, 0x21]) + bytes(60) for n in range(1, 6)]
        punts = train_of(b, [*control, control[0][:50]])
        assert [octets for _, octets, _ in punts] == [c[4:] for c in control] + [control[0][4:50]]
        assert b.path.counters()["gro_in"] == 1


def test_a_train_of_keepalives_and_runts_is_counted_one_by_one() -> None:
    with running_hosts(1, **EVERY_OFFLOAD) as (b,):
        before = b.path.counters()
        train_of(b, [b"\xff"] * 60)
        assert dropped(before, b.path.counters()) == {"keepalive": 60}


def test_an_undecided_family_inside_a_train_spoils_no_neighbour() -> None:
    """Punted packets get their headers beside the train, not over the packet before them."""
    with running_hosts(2, **EVERY_OFFLOAD) as (a, b):
        join(a, b, 13, (bytes([1, 0, 0, 1]), bytes([1, 0, 0, 2])))
        b.path.set_port_family(UDP, 2000, 6)
        packets = [hit_udp(bytes([n]) * 500, (1000, 2000 + n % 2)) for n in range(20)]
        for packet in packets:
            assert a.path.inject_outbound(packet)
        known = packets[::2]
        assert [b.application.recv(4096) for _ in known] == known
        punts = [octets for kind, octets, _ in b.punts(11) if octets]
        assert punts == packets[1::2]
        octets_in = [row[3] for row in b.path.sa_statistics() if row[1] == SPI_AB]
        assert octets_in == [sum(map(len, packets))]


def test_a_device_that_takes_no_super_packets_gets_each_packet() -> None:
    """A socket pair with a small buffer says EMSGSIZE; nothing may hang, all is counted."""
    with super_hosts() as (a, b):
        b.tun.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
        a.application.channel.send(between_a_and_b(super_packet(os.urandom(60000), size=1300)))
        wait_until(lambda: b.path.counters()["tun_tx"] + b.path.counters()["tun_full"] == 47)
        assert b.path.counters()["tun_full"] > 0


def test_a_train_that_cannot_be_sent_costs_its_packets_only() -> None:
    with running_hosts(2, **EVERY_OFFLOAD) as (a, b):
        b.install_in(SPI_AB, (HIT_B, HIT_A), (NO_LSI, NO_LSI))
        a.install_out(SPI_AB, (HIT_A, HIT_B), (NO_LSI, NO_LSI), b.port)
        peer = HIT_B[:-1] + b"\x77"
        a.path.install_out(
            0x1001, 13, bytes(range(20)), b"", HIT_A, peer, NO_LSI, NO_LSI,
            family=4, source=bytes(4), destination=b"\xff\xff\xff\xff", udp=True,
            source_port=1, destination_port=1,
        )  # fmt: skip
        before = a.path.counters()
        for _ in range(4):
            assert a.path.inject_outbound(ipv6(udp(b"x" * 99, HIT_A, peer), 17, HIT_A, peer))
        wait_until(lambda: a.path.counters()["send_error"] == 4)
        for _ in range(50):
            assert a.path.inject_outbound(hit_udp(b"x" * 99))
        for _ in range(50):
            assert b.application.recv(4096) == hit_udp(b"x" * 99)
        assert dropped(before, a.path.counters()) == {"send_error": 4}
        wait_until(lambda: a.path.counters()["esp_tx"] == 50)
        wait_until(lambda: a.path.counters()["gso_out"] >= 1)
