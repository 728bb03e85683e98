"""Every packet that is not forwarded adds one to exactly one counter."""

from __future__ import annotations

import os
import random
import socket
import threading
from collections.abc import Iterator
from tempfile import TemporaryFile

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.packet import Packet, Raw

from hipgw._fastpath.reasons import REASONS
from hipgw._fastpath.worker import DataPath
from tests.reference.replay import SetWindow
from tests.unit.fastpath.wires import (
    HIT_A,
    HIT_B,
    KEYS,
    LSI_A,
    LSI_B,
    NO_LSI,
    PASSED,
    PATIENCE_S,
    SPI_AB,
    Host,
    dropped,
    ended,
    hit_udp,
    ipv4,
    ipv6,
    running_hosts,
    udp,
    wait_until,
    wired,
)

pytestmark = pytest.mark.usefixtures("each_way")

LAST = hit_udp(b"the last one", (1, 1))
REPLAY_WORDS = 32
"""64 sequence numbers each; the newest word protects no more than what it has seen."""
FE80 = bytes.fromhex("fe80") + bytes(13) + b"\1"
OUTBOUND = {
    "empty version": (b"\x00" * 40, "inner_malformed"),
    "ipv6 cut": (hit_udp(b"")[:39], "inner_malformed"),
    "ipv4 cut": (ipv4(b"")[:19], "inner_malformed"),
    "ipv6 length": (hit_udp(b"abc")[:-1], "inner_malformed"),
    "router solicitation": (
        ipv6(b"\x85" + bytes(7), 58, FE80, bytes.fromhex("ff02") + bytes(13) + b"\2"),
        "multicast",
    ),
    "ipv4 multicast": (ipv4(b"", destination=bytes([224, 0, 0, 251])), "multicast"),
    "ipv4 broadcast": (ipv4(b"", destination=b"\xff" * 4), "multicast"),
    "LSI broadcast": (ipv4(b"", destination=bytes([1, 255, 255, 255])), "multicast"),
    "ipv6 elsewhere": (ipv6(b"", destination=FE80), "not_hip_destination"),
    "ipv4 elsewhere": (ipv4(b"", destination=bytes([10, 0, 0, 1])), "not_hip_destination"),
    "beyond the HIT prefix": (
        ipv6(b"", destination=bytes.fromhex("20010030") + bytes(12)),
        "not_hip_destination",
    ),
    "source no HIT": (ipv6(b"", source=FE80), "source_not_ours"),
    "source no LSI": (ipv4(bytes(8), 1, source=bytes([10, 0, 0, 9])), "source_not_ours"),
}


@pytest.mark.parametrize(("packet", "reason"), OUTBOUND.values(), ids=OUTBOUND)
def test_outbound_drops_have_names(packet: bytes, reason: str) -> None:
    with wired() as (a, _):
        before = a.path.counters()
        a.application.send(packet)
        wait_until(lambda: a.path.counters()["tun_rx"] == 1)
        wait_until(lambda: a.path.counters() != before | {"tun_rx": 1})
        assert dropped(before, a.path.counters()) == {reason: 1}
        assert a.path.counters()["esp_tx"] == 0


@pytest.mark.parametrize("prefix", ["20010010", "2001001f", "20010020", "2001002f"])
def test_both_generations_of_hits_are_for_the_control_plane(prefix: str) -> None:
    with running_hosts(1) as (a,):
        packet = ipv6(b"", destination=bytes.fromhex(prefix) + bytes(12))
        a.application.send(packet)
        assert [octets for _, octets, _ in a.punts(1)] == [packet]


def hostile_datagrams() -> Iterator[bytes]:
    """Every length from 0 to 120: noise, zeros, ones, and the head of a real SA."""
    noise = random.Random(4303)
    for length in range(121):
        yield noise.randbytes(length)
        yield bytes(length)
        yield b"\xff" * length
        yield SPI_AB.to_bytes(4)[:length] + noise.randbytes(max(0, length - 4))
        yield (SPI_AB.to_bytes(4) + bytes(4))[:length] + noise.randbytes(max(0, length - 8))
        yield (b"\0\0\0" + noise.randbytes(1))[:length] + bytes(max(0, length - 4))


@pytest.mark.parametrize("suite", KEYS)
def test_a_hostile_datagram_raises_one_counter(suite: int) -> None:
    with running_hosts(2) as (a, b):
        b.install_in(SPI_AB, (HIT_B, HIT_A), (LSI_B, LSI_A), suite=suite)
        for sent, datagram in enumerate(hostile_datagrams(), start=1):
            a.udp.sendto(datagram, (b.address, b.port))
            wait_until(lambda sent=sent: ended(b) >= sent)
            assert ended(b) == sent, datagram.hex()
            b.path.take_punts()
        assert b.path.counters()["net_rx"] == sent
        assert b.path.counters()["tun_tx"] == 0


def test_keepalives_and_runts_are_told_apart() -> None:
    with running_hosts(2) as (a, b):
        before = b.path.counters()
        for datagram in (b"\xff", b"\xfe", b"", bytes(3), bytes(43), bytes([0, 0, 1, 0, 0, 0, 0])):
            a.udp.sendto(datagram, (b.address, b.port))
        for spi in (1, 255):
            a.udp.sendto(spi.to_bytes(4) + bytes(60), (b.address, b.port))
        wait_until(lambda: sum(dropped(before, b.path.counters()).values()) == 8)
        assert dropped(before, b.path.counters()) == {"keepalive": 1, "runt": 5, "spi_reserved": 2}


def captured_esp(b: Host, count: int) -> list[bytes]:
    """ESP datagrams for B's inbound SA, as another sealing data path sends them."""
    with running_hosts(1) as (sealer,), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tap:
        tap.bind(("127.0.0.1", 0))
        tap.settimeout(PATIENCE_S)
        sealer.install_out(SPI_AB, (HIT_A, HIT_B), (NO_LSI, NO_LSI), tap.getsockname()[1])
        b.install_in(SPI_AB, (HIT_B, HIT_A), (NO_LSI, NO_LSI))
        taken = []
        for n in range(count):
            sealer.application.send(hit_udp(bytes([n & 0xFF])))
            taken.append(tap.recv(4096))
        return taken


def test_replays_forgeries_and_latecomers_are_dropped_by_name() -> None:
    with running_hosts(2) as (a, b):
        one, two, *many = captured_esp(b, 2100)
        target = b.address, b.port
        before = b.path.counters()
        for datagram in (two, two, one, one):
            a.udp.sendto(datagram, target)
        assert b.application.recv(4096) == hit_udp(b"\1")
        assert b.application.recv(4096) == hit_udp(b"\0")
        forged = bytearray(many[0])
        for at in range(8, len(forged)):
            forged[at] ^= 1
            a.udp.sendto(forged, target)
            forged[at] ^= 1
        forgeries = len(forged) - 8
        wait_until(lambda: b.path.counters()["icv_wrong"] == forgeries)
        a.udp.sendto(many[-1], target)
        b.application.recv(4096)
        a.udp.sendto(many[0], target)
        wait_until(lambda: b.path.counters()["too_old"] == 1)
        assert dropped(before, b.path.counters()) == {
            "esp_replayed": 2, "icv_wrong": forgeries, "too_old": 1,
        }  # fmt: skip


def test_thousands_replayed_and_out_of_order_arrive_once_or_are_counted() -> None:
    """Each of 3000 packets twice, in any order."""
    numbers = [*range(1, 3001)] * 2
    random.Random(2401).shuffle(numbers)
    least, most = SetWindow((REPLAY_WORDS - 1) * 64), SetWindow(REPLAY_WORDS * 64)
    bounds = [sum(w.accept(number) == "none" for number in numbers) for w in (least, most)]
    with running_hosts(2) as (a, b):
        packets = captured_esp(b, 3000)
        before = b.path.counters()
        arrived: list[bytes] = []
        reader = threading.Thread(target=lambda: arrived.extend(until_last(b)))
        reader.start()
        for sent, number in enumerate(numbers, start=1):
            a.udp.sendto(packets[number - 1], (b.address, b.port))
            if sent % 32 == 0:
                wait_until(lambda sent=sent: b.path.counters()["esp_rx"] >= sent)
        wait_until(lambda: ended(b) + b.path.counters()["tun_tx"] == len(numbers))
        after = b.path.counters()
        b.path.write_inner(LAST)
        reader.join(PATIENCE_S)
        lost = dropped(before, after)
        assert set(lost) == {"esp_replayed", "too_old"}
        assert min(lost.values()) > 500
        assert bounds[0] <= after["tun_tx"] <= bounds[1]
        assert after["tun_tx"] + sum(lost.values()) == len(numbers)
        assert len(arrived) == after["tun_tx"]


def until_last(host: Host) -> Iterator[bytes]:
    while (packet := host.application.recv(4096)) != LAST:
        yield packet


def test_packets_longer_than_a_slot_are_dropped_whole() -> None:
    with running_hosts(2, udp_gro=False) as (a, b):
        before = b.path.counters()
        a.udp.sendto(SPI_AB.to_bytes(4) + bytes(2109), (b.address, b.port))
        b.application.send(hit_udp(bytes(2112 - 48 + 1)))
        wait_until(lambda: b.path.counters()["truncated"] == 2)
        assert dropped(before, b.path.counters()) == {"truncated": 2}


@pytest.mark.parametrize(
    "packet",
    [
        IPv6() / IPv6ExtHdrHopByHop() / UDP(dport=2000) / Raw(b"hop by hop"),
        IPv6() / IPv6ExtHdrDestOpt() / UDP(dport=2000) / Raw(b"options"),
        IPv6() / IPv6ExtHdrRouting(addresses=["2001:22::9"]) / UDP() / Raw(b"routing"),
        IPv6() / IPv6ExtHdrFragment(id=7, m=1) / UDP() / Raw(bytes(64)),
        IPv6() / IPv6ExtHdrFragment(id=7, offset=9) / Raw(bytes(64)),
        IPv6() / IPv6ExtHdrHopByHop() / IPv6ExtHdrFragment() / IPv6ExtHdrDestOpt() / UDP(),
    ],
    ids=["hop by hop", "options", "routing", "first fragment", "fragment", "chain"],
)
def test_extension_headers_and_fragments_arrive_as_they_were(packet: Packet) -> None:
    head = bytes(packet)[:40]
    octets = head[:7] + b"\x40" + HIT_A + HIT_B + bytes(packet)[40:]
    with wired() as (a, b):
        b.path.set_port_family(17, 2000, 6)
        before = b.path.counters()
        a.application.send(octets)
        assert b.application.recv(4096) == octets
        assert dropped(before, b.path.counters()) == {}


def test_a_jumbo_slot_carries_jumbo_packets() -> None:
    with running_hosts(2, slot_octets=9216, batch=64) as (a, b):
        b.install_in(SPI_AB, (HIT_B, HIT_A), (NO_LSI, NO_LSI))
        a.install_out(SPI_AB, (HIT_A, HIT_B), (NO_LSI, NO_LSI), b.port)
        packet = hit_udp(os.urandom(8900))
        a.application.send(packet)
        assert b.application.recv(10000) == packet


def test_a_socket_that_refuses_costs_its_packet_only() -> None:
    """No raw socket, a destination without a route, and then a packet that arrives."""
    with running_hosts(2) as (a, b):
        b.install_in(SPI_AB, (HIT_B, HIT_A), (NO_LSI, NO_LSI))
        before = a.path.counters()
        keys = bytes(range(20)), b""
        peer = HIT_B[:-1] + b"\1", HIT_B[:-1] + b"\2"
        common = {"udp": False, "source_port": 0, "destination_port": 0, "source": bytes(4)}
        a.path.install_out(
            0x1001, 13, *keys, HIT_A, peer[0], NO_LSI, NO_LSI,
            family=4, destination=b"\x7f\0\0\1", **common,
        )  # fmt: skip
        a.path.install_out(
            0x1002, 13, *keys, HIT_A, peer[1], NO_LSI, NO_LSI,
            family=4, destination=b"\xff\xff\xff\xff", **(common | {"udp": True}),
        )  # fmt: skip
        a.install_out(SPI_AB, (HIT_A, HIT_B), (NO_LSI, NO_LSI), b.port)
        for destination in (*peer, HIT_B, peer[0], HIT_B):
            a.application.send(ipv6(udp(b"x", HIT_A, destination), 17, HIT_A, destination))
        assert b.application.recv(4096) == hit_udp(b"x")
        assert b.application.recv(4096) == hit_udp(b"x")
        wait_until(lambda: a.path.counters()["send_error"] == 3)
        assert dropped(before, a.path.counters()) == {"send_error": 3}


def test_an_application_that_does_not_read_loses_packets_by_name() -> None:
    with running_hosts(2, uso=False) as (a, b):
        b.tun.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
        for datagram in captured_esp(b, 100):
            a.udp.sendto(datagram, (b.address, b.port))
        wait_until(lambda: b.path.counters()["esp_rx"] == 100)
        wait_until(lambda: b.path.counters()["tun_tx"] + b.path.counters()["tun_full"] == 100)
        assert 0 < b.path.counters()["tun_full"] < 100
        b.application.recv(4096)


def test_a_full_punt_ring_drops_by_name_and_recovers() -> None:
    with running_hosts(1, punt_octets=4096) as (a,):
        before = a.path.counters()
        for _ in range(20):
            a.application.send(hit_udp(bytes(1000)))
        wait_until(lambda: a.path.counters()["tun_rx"] == 20)
        wait_until(lambda: a.path.counters()["punt_no_sa"] + a.path.counters()["punt_full"] == 20)
        kept = a.path.counters()["punt_no_sa"]
        assert 1 <= kept < 20
        assert dropped(before, a.path.counters()) == {"punt_full": 20 - kept}
        assert len(a.punts(kept)) == kept
        a.application.send(hit_udp(b"again"))
        assert a.punts(1)[0][1] == hit_udp(b"again")


def test_a_full_inject_ring_says_so() -> None:
    host = Host(punt_octets=4096)  # not started: nobody takes what is injected
    try:
        taken = sum(host.path.inject_outbound(bytes(1000)) for _ in range(20))
        assert 1 <= taken < 20
    finally:
        host.close()


def test_an_application_end_that_closed_does_not_spin() -> None:
    with running_hosts(1) as (a,):
        a.application.close()
        wait_until(lambda: a.path.counters()["read_trouble"] > 0)
        assert a.path.counters()["read_trouble"] < 50


def test_every_reason_has_a_counter() -> None:
    host = Host()
    try:
        assert host.path.counters().keys() == PASSED | REASONS.keys()
    finally:
        host.close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"slot_octets": 511}, "512 to"),
        ({"slot_octets": 1 << 18}, "512 to"),
        ({"batch": 0}, "1 to 256"),
        ({"batch": 257}, "1 to 256"),
    ],
)
def test_impossible_shapes_are_refused(options: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DataPath(tun_fd=-1, **options)


def test_a_descriptor_that_cannot_be_waited_on_is_refused() -> None:
    with TemporaryFile() as plain, pytest.raises(OSError, match="cannot be waited on"):
        DataPath(tun_fd=plain.fileno())


def test_port_families_are_checked() -> None:
    host = Host()
    try:
        for arguments in ((132, 80, 6), (6, 65536, 6), (6, -1, 6), (6, 80, 5)):
            with pytest.raises(ValueError, match=r"expected|not"):
                host.path.set_port_family(*arguments)
    finally:
        host.close()
