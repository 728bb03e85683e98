"""Packets through two data paths, from application to application."""

from __future__ import annotations

import select
import socket
import threading
import time

import pytest

from hipgw._fastpath.punts import (
    PUNT_CONTROL,
    PUNT_EXPIRE,
    PUNT_FAMILY,
    PUNT_FIRST_ESP,
    PUNT_NO_SA,
    PUNT_STRANGE,
)
from tests.reference.checksum import checksum, pseudo_header
from tests.unit.fastpath.wires import (
    HIT_A,
    HIT_B,
    HIT_C,
    KEYS,
    LSI_A,
    LSI_B,
    NO_LSI,
    SPI_AB,
    SPI_BA,
    Host,
    dropped,
    hit_udp,
    ipv4,
    ipv6,
    running_hosts,
    tcp,
    udp,
    wait_until,
    wired,
)

pytestmark = pytest.mark.usefixtures("each_way")

TCP, UDP = 6, 17


def is_transport_checksum_right(packet: bytes) -> bool:
    if packet[0] >> 4 == 6:
        source, destination, protocol, payload = packet[8:24], packet[24:40], packet[6], packet[40:]
    else:
        source, destination, protocol, payload = (
            packet[12:16],
            packet[16:20],
            packet[9],
            packet[20:],
        )
    return checksum(pseudo_header(source, destination, protocol, len(payload)) + payload) == 0


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("suite", KEYS)
def test_packets_of_every_size_arrive_unchanged_and_in_order(suite: int, family: int) -> None:
    with wired(suite=suite, family=family) as (a, b):
        b.path.set_port_family(UDP, 2000, 6)
        packets = [hit_udp(bytes([n & 0xFF]) * (n * 7 % 1350)) for n in range(300)]
        for packet in packets:
            a.application.send(packet)
        assert [b.application.recv(4096) for _ in packets] == packets
        wait_until(lambda: a.path.counters()["esp_tx"] == len(packets))  # counted once it is sent
        counters = a.path.counters(), b.path.counters()
        assert counters[0]["tun_rx"] == counters[0]["esp_tx"] == len(packets)
        assert counters[1]["esp_rx"] == counters[1]["net_rx"] == len(packets)
        [row] = [row for row in b.path.sa_statistics() if row[1] == SPI_AB]
        assert row[:5] == (0, SPI_AB, len(packets), sum(map(len, packets)), len(packets))


def test_both_directions_at_once() -> None:
    with wired(lsis=(NO_LSI, NO_LSI)) as (a, b):
        there = [hit_udp(bytes([n])) for n in range(200)]
        back = [ipv6(udp(bytes([n]), HIT_B, HIT_A), 17, HIT_B, HIT_A) for n in range(200)]
        for one, other in zip(there, back, strict=True):
            a.application.send(one)
            b.application.send(other)
        assert [b.application.recv(4096) for _ in there] == there
        assert [a.application.recv(4096) for _ in back] == back


def test_lsi_ping_stays_ipv4_and_hit_ping_ipv6() -> None:
    with wired() as (a, b):
        echo = b"\x08\0\0\0\0\1\0\1" + b"abcd"
        a.application.send(ipv4(echo, 1))
        got = b.application.recv(4096)
        assert got[0] == 0x45
        assert (got[9], got[12:16], got[16:20], got[20:]) == (1, LSI_A, LSI_B, echo)
        assert checksum(got[:20]) == 0
        a.application.send(ipv6(echo, 58))
        assert b.application.recv(4096) == ipv6(echo, 58)


def test_a_reply_returns_in_the_family_of_the_flow() -> None:
    """A begins one TCP flow over the LSI and one over the HIT; B answers both over the wire."""
    with wired() as (a, b):
        b.path.set_port_family(TCP, 80, 4)
        a.application.send(ipv4(tcp(LSI_A, LSI_B, (4001, 80)), TCP))
        over_lsi = b.application.recv(4096)
        assert over_lsi[0] >> 4 == 4
        assert is_transport_checksum_right(over_lsi)
        b.path.set_port_family(TCP, 80, 6)
        a.application.send(ipv6(tcp(HIT_A, HIT_B, (4002, 80)), TCP))
        over_hit = b.application.recv(4096)
        assert over_hit == ipv6(tcp(HIT_A, HIT_B, (4002, 80)), TCP)
        # No port of A was ever set: its flow table alone decides.
        b.application.send(ipv4(tcp(LSI_B, LSI_A, (80, 4001)), TCP, LSI_B, LSI_A))
        answer = a.application.recv(4096)
        assert answer[0] >> 4 == 4
        assert is_transport_checksum_right(answer)
        b.application.send(ipv6(tcp(HIT_B, HIT_A, (80, 4002)), TCP, HIT_B, HIT_A))
        assert a.application.recv(4096) == ipv6(tcp(HIT_B, HIT_A, (80, 4002)), TCP, HIT_B, HIT_A)


def test_an_unknown_port_asks_the_control_plane_which_delivers() -> None:
    with wired() as (a, b):
        a.application.send(ipv4(tcp(LSI_A, LSI_B, (4001, 80)), TCP))
        first, asked = sorted(b.punts(2), key=lambda punt: punt[0])
        assert first == (PUNT_FIRST_ESP, b"", (SPI_AB,))
        kind, packet, meta = asked
        assert (kind, meta) == (PUNT_FAMILY, (SPI_AB, TCP, 80))
        assert packet == ipv6(tcp(HIT_A, HIT_B, (4001, 80)), TCP)
        assert b.path.deliver_inbound(packet, 4, SPI_AB)
        delivered = b.application.recv(4096)
        assert delivered[0] >> 4 == 4
        assert delivered[20:] == tcp(LSI_A, LSI_B, (4001, 80))
        assert b.path.deliver_inbound(packet, 6, SPI_AB)
        assert b.application.recv(4096) == packet
        assert b.path.counters()["tun_tx"] == 2


def test_a_delivery_that_cannot_be_is_counted() -> None:
    with wired() as (_, b):
        before = b.path.counters()
        assert not b.path.deliver_inbound(ipv6(b"1234", TCP), 6, 0xDEAD)
        assert not b.path.deliver_inbound(b"\x45", 6, SPI_AB)
        assert dropped(before, b.path.counters()) == {"spi_unknown": 1, "inner_malformed": 1}
        with pytest.raises(ValueError, match="not 5"):
            b.path.deliver_inbound(ipv6(b""), 5, SPI_AB)


def test_a_packet_without_an_sa_is_punted_and_goes_first_when_injected() -> None:
    with running_hosts(2) as (a, b):
        packet = hit_udp(b"first")
        a.application.send(packet)
        assert a.punts(1) == [(PUNT_NO_SA, packet, ())]
        lsi_packet = ipv4(b"\x08\0\0\0\0\1\0\1", 1)
        a.application.send(lsi_packet)
        assert a.punts(1) == [(PUNT_NO_SA, lsi_packet, ())]
        b.install_in(SPI_AB, (HIT_B, HIT_A), (NO_LSI, NO_LSI))
        a.install_out(SPI_AB, (HIT_A, HIT_B), (NO_LSI, NO_LSI), b.port)
        assert a.path.inject_outbound(packet)
        a.application.send(hit_udp(b"second"))
        assert b.application.recv(4096) == packet
        assert b.application.recv(4096) == hit_udp(b"second")


def test_injected_packets_keep_their_order_beyond_one_batch() -> None:
    with running_hosts(2, batch=16) as (a, b):
        b.install_in(SPI_AB, (HIT_B, HIT_A), (NO_LSI, NO_LSI))
        a.install_out(SPI_AB, (HIT_A, HIT_B), (NO_LSI, NO_LSI), b.port)
        packets = [hit_udp(bytes([n])) for n in range(100)]
        assert all(a.path.inject_outbound(packet) for packet in packets)
        assert [b.application.recv(4096) for _ in packets] == packets


def test_a_packet_too_large_for_a_slot_is_not_injected() -> None:
    with running_hosts(1) as (a,), pytest.raises(ValueError, match="1 to 2112"):
        a.path.inject_outbound(bytes(2113))


def test_the_control_plane_hears_once_of_a_first_packet() -> None:
    with wired(lsis=(NO_LSI, NO_LSI)) as (a, b):
        for _ in range(5):
            a.application.send(hit_udp(b"x"))
            b.application.recv(4096)
        assert b.punts(1) == [(PUNT_FIRST_ESP, b"", (SPI_AB,))]


def test_the_control_plane_hears_once_that_numbers_run_out() -> None:
    with running_hosts(2) as (a, b):
        lsis = (NO_LSI, NO_LSI)
        b.install_in(SPI_AB, (HIT_B, HIT_A), lsis)
        a.install_out(SPI_AB, (HIT_A, HIT_B), lsis, b.port, sequence=0xF0000000 - 3)
        for _ in range(2):
            a.application.send(hit_udp(b"x"))
            b.application.recv(4096)
        assert a.path.take_punts() == []
        for _ in range(5):
            a.application.send(hit_udp(b"x"))
            b.application.recv(4096)
        assert a.punts(1) == [(PUNT_EXPIRE, HIT_A + HIT_B, (SPI_AB,))]


def test_the_last_sequence_number_is_the_last() -> None:
    with running_hosts(2) as (a, b):
        lsis = (NO_LSI, NO_LSI)
        b.install_in(SPI_AB, (HIT_B, HIT_A), lsis)
        a.install_out(SPI_AB, (HIT_A, HIT_B), lsis, b.port, sequence=0xFFFFFFFE)
        before = a.path.counters()
        for _ in range(3):
            a.application.send(hit_udp(b"x"))
        b.application.recv(4096)
        wait_until(lambda: a.path.counters()["sequence_spent"] == 2)
        assert dropped(before, a.path.counters()) == {"sequence_spent": 2}


@pytest.mark.parametrize("suite", [7, 8, 13])
def test_extended_numbers_go_on_beyond_the_last_of_the_others(suite: int) -> None:
    """And nobody asks for new keys, until 1/16 of 2^64 is left."""
    with running_hosts(2) as (a, b):
        hits, lsis, last = (HIT_A, HIT_B), (NO_LSI, NO_LSI), 0xFFFFFFFF
        b.install_in(SPI_AB, hits[::-1], lsis, suite=suite, sequence=last - 5, extended=True)
        a.install_out(SPI_AB, hits, lsis, b.port, suite=suite, sequence=last - 2, extended=True)
        before = a.path.counters(), b.path.counters()
        for number in range(6):
            a.application.send(hit_udp(bytes([number])))
            assert b.application.recv(4096)[-1] == number
        for host, counted in zip((a, b), before, strict=True):
            assert dropped(counted, host.path.counters()) == {}
            wait_until(lambda host=host: host.path.sa_statistics()[0][4] == last + 4)
        assert a.path.take_punts() == []
        a.install_out(SPI_AB, hits, lsis, b.port, suite=suite, sequence=0xF << 60, extended=True)
        a.application.send(hit_udp(b"x"))
        assert a.punts(1) == [(PUNT_EXPIRE, HIT_A + HIT_B, (SPI_AB,))]


def test_a_move_never_goes_back_to_the_first_numbers() -> None:
    """New addresses leave a gap, but never past the last number: a nonce would come twice."""
    with running_hosts(2) as (a, b):
        for sequence in (2**64 - 2, 0):
            a.install_out(
                SPI_AB, (HIT_A, HIT_B), (NO_LSI, NO_LSI), b.port, sequence=sequence, extended=True
            )
        before = a.path.counters()
        a.application.send(hit_udp(b"x"))
        wait_until(lambda: a.path.counters()["sequence_spent"] == 1)
        assert dropped(before, a.path.counters()) == {"sequence_spent": 1}
        assert a.path.sa_statistics()[0][4] == 2**64 - 1


@pytest.mark.parametrize("family", [4, 6])
def test_hip_over_udp_is_punted_with_its_addresses(family: int) -> None:
    with running_hosts(2, family) as (a, b):
        packet = bytes(range(48))
        a.udp.sendto(bytes(4) + packet, (b.address, b.port))
        packed = socket.inet_pton(socket.AF_INET if family == 4 else socket.AF_INET6, a.address)
        assert b.punts(1) == [(PUNT_CONTROL, packet, (packed, a.port, packed))]
        wait_until(lambda: b.path.counters()["punt_control"] == 1)  # counted once it is there


def test_punts_of_both_workers_come_by_turns() -> None:
    with running_hosts(2) as (a, b):
        for _ in range(3):
            b.application.send(hit_udp(b"x"))
            a.udp.sendto(bytes(4) + bytes(40), (b.address, b.port))
        wait_until(
            lambda: b.path.counters()["punt_control"] == b.path.counters()["punt_no_sa"] == 3
        )
        kinds = [kind for kind, _, _ in b.path.take_punts(4)]
        assert kinds == [PUNT_CONTROL, PUNT_NO_SA, PUNT_CONTROL, PUNT_NO_SA]
        assert len(b.path.take_punts(64)) == 2


def test_rekey_loses_nothing() -> None:
    """Make before break: the new inbound SA first, then the outbound switch, then the removal."""
    with wired(lsis=(NO_LSI, NO_LSI)) as (a, b):
        sent = []
        for round_ in range(20):
            for n in range(10):
                sent.append(hit_udp(bytes([round_, n])))
                a.application.send(sent[-1])
            spi = 0x2000 + round_
            b.install_in(spi, (HIT_B, HIT_A), (NO_LSI, NO_LSI))
            a.install_out(spi, (HIT_A, HIT_B), (NO_LSI, NO_LSI), b.port)
        assert [b.application.recv(4096) for _ in sent] == sent
        assert b.path.remove_in(SPI_AB)
        wait_until(lambda: a.path.tables.reclaim() == b.path.tables.reclaim() == 0)


def test_sas_come_and_go_under_traffic() -> None:
    """Tables grow, shrink and are freed while both workers read them."""
    with wired(lsis=(NO_LSI, NO_LSI)) as (a, b):
        is_done = threading.Event()

        def send() -> None:
            while not is_done.is_set():
                a.application.send(hit_udp(b"x" * 100))
                b.application.recv(4096)

        sender = threading.Thread(target=send)
        sender.start()
        try:
            for round_ in range(20):
                for n in range(40):
                    spi = 0x3000 + n
                    peer = HIT_C[:-1] + bytes([n])
                    b.install_in(spi, (HIT_B, peer), (NO_LSI, NO_LSI))
                    a.install_out(spi, (HIT_A, peer), (LSI_A, bytes([1, 1, 0, n])), b.port)
                for n in range(40):
                    assert b.path.remove_in(0x3000 + n), (round_, n)
                    assert a.path.remove_out(0x3000 + n), (round_, n)
        finally:
            is_done.set()
            sender.join()
        wait_until(lambda: a.path.tables.reclaim() == b.path.tables.reclaim() == 0)
        assert {row[1] for row in a.path.sa_statistics()} == {SPI_AB, SPI_BA}


def test_a_removed_sa_carries_nothing_more() -> None:
    with wired(lsis=(NO_LSI, NO_LSI)) as (a, b):
        assert b.path.remove_in(SPI_AB)
        before = b.path.counters()
        a.application.send(hit_udp(b"x"))
        wait_until(lambda: b.path.counters()["spi_unknown"] == 1)
        assert dropped(before, b.path.counters()) == {"spi_unknown": 1}
        assert a.path.remove_out(SPI_AB, HIT_A, HIT_B)
        a.application.send(hit_udp(b"y"))
        assert (PUNT_NO_SA, hit_udp(b"y"), ()) in a.punts(1)


def test_the_punt_descriptor_is_readable_while_punts_wait() -> None:
    with running_hosts(1) as (a,):

        def is_readable() -> bool:
            return bool(select.select([a.path.punt_fd], [], [], 0)[0])

        assert not is_readable()
        for _ in range(3):
            a.application.send(hit_udp(b"x"))
        wait_until(lambda: a.path.counters()["punt_no_sa"] == 3)
        wait_until(is_readable)
        assert len(a.path.take_punts(2)) == 2
        assert is_readable()
        assert len(a.path.take_punts(2)) == 1
        assert not is_readable()


def test_stop_ends_both_threads_and_for_good() -> None:
    host = Host()
    host.start()
    wait_until(lambda: all(thread.is_alive() for thread in host.threads))
    host.stop()
    host.path.run_outbound()
    host.path.run_inbound()
    host.close()


def test_a_worker_runs_in_one_thread_only() -> None:
    with wired(lsis=(NO_LSI, NO_LSI)) as (a, b):
        a.application.send(hit_udp(b"x"))
        b.application.recv(4096)  # both of these workers are in their loops now
        with pytest.raises(RuntimeError, match="already runs"):
            a.path.run_outbound()
        with pytest.raises(RuntimeError, match="already runs"):
            b.path.run_inbound()


@pytest.mark.parametrize("family", [4, 6])
def test_esp_of_strangers_is_told_of_once_a_second_for_each_source(family: int) -> None:
    with running_hosts(2, family) as (a, b):
        esp = (0x1234_5678).to_bytes(4) + bytes(60)
        began_s = time.monotonic()
        for _ in range(50):
            a.udp.sendto(esp, (b.address, b.port))
        wait_until(lambda: b.path.counters()["spi_unknown"] == 50)
        packed = socket.inet_pton(socket.AF_INET if family == 4 else socket.AF_INET6, a.address)
        told = b.path.take_punts()
        assert told[0] == (PUNT_STRANGE, b"", (packed, a.port, 17, 0x1234_5678))
        assert len(told) <= 2 + time.monotonic() - began_s


def test_a_flood_from_many_sources_is_told_of_in_part() -> None:
    with running_hosts(1) as (b,):
        began_s = time.monotonic()
        for last in range(1, 201):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.bind((f"127.0.{last % 3}.{last}", 0))
                stranger.sendto((0x1000 + last).to_bytes(4) + bytes(60), (b.address, b.port))
        wait_until(lambda: b.path.counters()["spi_unknown"] == 200)
        told = b.path.take_punts(500)
        assert 20 < len(told) <= 64 * (2 + time.monotonic() - began_s)
        assert all(kind == PUNT_STRANGE for kind, _, _ in told)
