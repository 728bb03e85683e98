"""Several pairs of workers: every packet finds the one that owns its SA, in the order it came.

The kernel steers nothing here: packets are put on the wrong queue and the wrong socket on purpose.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections import defaultdict
from collections.abc import Iterator

import pytest

from hipgw._fastpath.punts import PUNT_CONTROL, PUNT_NO_SA
from hipgw._fastpath.worker import DataPath
from tests.unit.fastpath.wires import (
    HIT_A,
    HIT_B,
    KEYS,
    NO_LSI,
    PATIENCE_S,
    Application,
    dropped,
    hit_udp,
    ipv6,
    make_roomy,
    udp,
    wait_until,
)

LOOPBACK = bytes([127, 0, 0, 1])
UDP_SEGMENT = 103
FLOWS = 12
NUMBERS = 400
UNDER_WAY = 64
PEERS = [bytes.fromhex("20010022") + bytes(11) + bytes([number]) for number in range(1, 9)]
"""Their last octets spread them over the pairs."""
NEVER = {"esp_replayed", "too_old", "icv_wrong", "handover_full", "spi_unknown"}


class Machine:
    """A data path of several pairs: a queue of the TUN device and a UDP socket for each."""

    def __init__(self, pairs: int, **options: int) -> None:
        ends = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(pairs)]
        self.queues = [near for near, _ in ends]
        self.sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(pairs)]
        self.wanted, self.writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for opened in self.sockets:
            for option in (8, 12, 13):  # IP_PKTINFO, IP_RECVTTL, IP_RECVTOS
                opened.setsockopt(socket.IPPROTO_IP, option, 1)
            make_roomy(opened)
            if options.get("udp_gro"):
                opened.setsockopt(socket.IPPROTO_UDP, 104, 1)
            opened.bind(("127.0.0.1", 0))
        make_roomy(self.writer)
        self.application = Application(self.wanted, has_vnet=False)
        self._far_ends = [far for _, far in ends]
        fds = [
            (far.fileno(), udp4.fileno(), -1, -1, -1)
            for far, udp4 in zip(self._far_ends, self.sockets, strict=True)
        ]
        self.path = DataPath(
            tun_fd=fds[0][0],
            udp4_fd=fds[0][1],
            more_fds=fds[1:],
            writer_fd=self.writer.fileno(),
            **options,
        )
        self.threads = [
            threading.Thread(target=run, args=(pair,))
            for pair in range(pairs)
            for run in (self.path.run_outbound, self.path.run_inbound)
        ]

    def port(self, pair: int) -> int:
        return int(self.sockets[pair].getsockname()[1])

    def install_out(
        self, spi: int, peer: bytes, to_port: int, suite: int = 13, sequence: int = 0
    ) -> None:
        encryption, authentication = KEYS[suite]
        self.path.install_out(
            spi, suite, bytes(range(encryption)), bytes(range(authentication)),
            HIT_A, peer, NO_LSI, NO_LSI, family=4, source=LOOPBACK, destination=LOOPBACK,
            udp=True, source_port=self.port(0), destination_port=to_port,
            sequence=sequence, extended=sequence > 0,
        )  # fmt: skip

    def install_in(self, spi: int, local: bytes, suite: int = 13, sequence: int = 0) -> None:
        encryption, authentication = KEYS[suite]
        keys = bytes(range(encryption)), bytes(range(authentication))
        self.path.install_in(
            spi, suite, *keys, local, HIT_A, NO_LSI, NO_LSI,
            sequence=sequence, extended=sequence > 0,
        )  # fmt: skip

    def close(self) -> None:
        self.path.stop()
        for thread in self.threads:
            if thread.ident is not None:
                thread.join(PATIENCE_S)
                assert not thread.is_alive()
        for opened in (*self.queues, *self._far_ends, *self.sockets, self.wanted, self.writer):
            opened.close()


@contextlib.contextmanager
def machines(*pairs: int, **options: int) -> Iterator[list[Machine]]:
    made = [Machine(count, **options) for count in pairs]
    try:
        for one in made:
            for thread in one.threads:
                thread.start()
        yield made
    finally:
        for one in made:
            one.close()


def spi_of(peer: int, rekeyed: int = 0) -> int:
    """Peer number in the last octet, which chooses the pair."""
    return 0x1000_0000 + (rekeyed << 16) + peer


def inner(flow: int, number: int) -> bytes:
    peer = PEERS[flow % len(PEERS)]
    payload = flow.to_bytes(2) + number.to_bytes(4) + bytes(number % 50 * 20)
    return ipv6(udp(payload, HIT_A, peer, (1000 + flow, 2000)), 17, HIT_A, peer)


def read_flows(
    machine: Machine, total: int, under_way: threading.Semaphore
) -> dict[int, list[int]]:
    found: dict[int, list[int]] = defaultdict(list)
    for _ in range(total):
        packet = machine.application.recv(4096)
        payload = packet[48:]
        found[int.from_bytes(payload[:2])].append(int.from_bytes(payload[2:6]))
        under_way.release()
    return found


@pytest.mark.parametrize("pairs", [2, 3, 4])
@pytest.mark.parametrize("suite", [13, 8])
@pytest.mark.parametrize("trains", [False, True])
def test_flows_on_wrong_queues_and_sockets_stay_in_order(
    pairs: int, suite: int, trains: bool
) -> None:
    """One thread a queue sends; every datagram goes to one socket of B, whoever owns its SA.

    With three pairs every SA passes number 2^32 on the way.
    """
    start = 2**32 - 200 if pairs == 3 else 0
    with machines(pairs, pairs, udp_gso=trains, udp_gro=trains) as (a, b):
        for number, peer in enumerate(PEERS):
            a.install_out(spi_of(number), peer, b.port(pairs - 1), suite, start)
            b.install_in(spi_of(number), peer, suite, start)
        under_way = threading.Semaphore(UNDER_WAY)

        def send(queue: int) -> None:
            for number in range(NUMBERS):
                for flow in range(queue, FLOWS, pairs):
                    under_way.acquire()
                    a.queues[queue].send(inner(flow, number))

        senders = [threading.Thread(target=send, args=(queue,)) for queue in range(pairs)]
        for sender in senders:
            sender.start()
        found = read_flows(b, FLOWS * NUMBERS, under_way)
        for sender in senders:
            sender.join(PATIENCE_S)
        assert found == {flow: list(range(NUMBERS)) for flow in range(FLOWS)}
        for machine, all_of_them in ((a, "tun_rx"), (b, "esp_rx")):
            counted = machine.path.counters()
            assert not NEVER & dropped(dict.fromkeys(counted, 0), counted).keys()
            assert counted[all_of_them] == FLOWS * NUMBERS  # each counted by one worker
            assert 0 < counted["handed_over"] < FLOWS * NUMBERS
        wait_until(lambda: a.path.counters()["esp_tx"] == FLOWS * NUMBERS)
        wait_until(lambda: b.path.counters()["tun_tx"] == FLOWS * NUMBERS)
        assert sum(row[4] - start for row in a.path.sa_statistics()) == FLOWS * NUMBERS


@pytest.mark.parametrize("wrong", [0, 1])
def test_what_the_outer_header_said_goes_along(wrong: int) -> None:
    """Hop limit and traffic class of every packet, whichever worker received it."""
    limit, traffic_class = 33, 0xB8
    with machines(1, 2) as (a, b):
        for number, peer in enumerate(PEERS):
            a.install_out(spi_of(number), peer, b.port(wrong))
            b.install_in(spi_of(number), peer)
        for flow in range(FLOWS):
            packet = bytearray(inner(flow, 0))
            packet[0] |= traffic_class >> 4
            packet[1] |= traffic_class << 4 & 0xFF
            packet[7] = limit
            a.queues[0].send(packet)
        heads = [b.application.recv(4096)[:8] for _ in range(FLOWS)]
        assert {head[7] for head in heads} == {limit}
        assert {int.from_bytes(head[:2]) >> 4 & 0xFF for head in heads} == {traffic_class}
        assert 0 < b.path.counters()["handed_over"] < FLOWS


def test_new_keys_under_way_lose_nothing() -> None:
    with machines(4, 4) as (a, b):
        under_way = threading.Semaphore(UNDER_WAY)
        for number, peer in enumerate(PEERS):
            a.install_out(spi_of(number), peer, b.port(0))
            b.install_in(spi_of(number), peer)

        def send(queue: int) -> None:
            for number in range(NUMBERS):
                for flow in range(queue, FLOWS, 4):
                    under_way.acquire()
                    a.queues[queue].send(inner(flow, number))

        def rekey() -> None:
            for turn in range(1, 6):
                for number, peer in enumerate(PEERS):
                    b.install_in(spi_of(number, turn), peer)
                    a.install_out(spi_of(number, turn), peer, b.port(turn % 4))
                    under_way.acquire()  # not all at once
                    under_way.release()

        threads = [threading.Thread(target=send, args=(queue,)) for queue in range(4)]
        threads.append(threading.Thread(target=rekey))
        for thread in threads:
            thread.start()
        found = read_flows(b, FLOWS * NUMBERS, under_way)
        for thread in threads:
            thread.join(PATIENCE_S)
        assert sorted(map(len, found.values())) == [NUMBERS] * FLOWS
        for machine in (a, b):
            counted = machine.path.counters()
            assert not NEVER & dropped(dict.fromkeys(counted, 0), counted).keys()


def test_a_train_of_several_associations_is_shared_out_in_order() -> None:
    """As GRO makes one of what comes from one address and port."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as catcher,
        machines(1, 2, udp_gro=True) as (a, b),
    ):
        catcher.bind(("127.0.0.1", 0))
        catcher.settimeout(PATIENCE_S)
        for number, peer in enumerate(PEERS[:2]):
            a.install_out(spi_of(number), peer, catcher.getsockname()[1])
            b.install_in(spi_of(number), peer)
        sealed = []
        for number in range(0, 500, 50):  # of one length
            for flow in range(2):
                a.queues[0].send(inner(flow, number))
                sealed.append(catcher.recv(4096))
        size = struct.pack("=H", len(sealed[0]))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            target = "127.0.0.1", b.port(0)
            sender.sendmsg([b"".join(sealed)], [(socket.IPPROTO_UDP, UDP_SEGMENT, size)], 0, target)
        found = read_flows(b, len(sealed), threading.Semaphore())
        assert found == {flow: list(range(0, 500, 50)) for flow in range(2)}
        counted = b.path.counters()
        assert (counted["gro_in"], counted["handed_over"]) == (1, len(sealed) // 2)


def test_what_the_control_plane_injects_goes_to_the_owner() -> None:
    with machines(4, 1) as (a, b):
        for number, peer in enumerate(PEERS):
            a.install_out(spi_of(number), peer, b.port(0))
            b.install_in(spi_of(number), peer)
        for flow in range(len(PEERS)):
            assert a.path.inject_outbound(inner(flow, flow))
        found = read_flows(b, len(PEERS), threading.Semaphore())
        assert found == {flow: [flow] for flow in range(len(PEERS))}
        assert a.path.counters()["handed_over"] == 0


def test_punts_of_every_worker_are_taken() -> None:
    with machines(3) as (a,):
        for queue, channel in enumerate(a.queues):
            channel.send(hit_udp(bytes([queue])))
        control = bytes(4) + b"\x3b\x04\x01\x21" + bytes(36)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for pair in range(3):
                stranger.sendto(control, ("127.0.0.1", a.port(pair)))
        taken: list[tuple[int, bytes]] = []

        def has_all() -> bool:
            taken.extend((kind, octets) for kind, octets, _ in a.path.take_punts(2))
            return len(taken) == 6

        wait_until(has_all)
        assert sorted(taken) == sorted(
            [(PUNT_NO_SA, hit_udp(bytes([queue]))) for queue in range(3)]
            + [(PUNT_CONTROL, control[4:])] * 3
        )


def test_a_worker_that_spins_still_sleeps_wakes_and_stops() -> None:
    with machines(1, 1, spin_us=200) as (a, b):
        a.install_out(spi_of(0), HIT_B, b.port(0))
        b.install_in(spi_of(0), HIT_B)
        for _ in range(3):
            a.queues[0].send(hit_udp(b"x"))
            assert b.application.recv(4096) == hit_udp(b"x")


def test_what_cannot_be_is_refused() -> None:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near, far:
        row = far.fileno(), -1, -1, -1, -1
        with pytest.raises(ValueError, match="17 pairs of workers: expected 1 to 16"):
            DataPath(tun_fd=far.fileno(), more_fds=[row] * 16)
        with pytest.raises(ValueError, match="values to unpack"):
            DataPath(tun_fd=far.fileno(), more_fds=[row[:2]])  # type: ignore[list-item]
        copy = os.dup(far.fileno())
        path = DataPath(tun_fd=far.fileno(), more_fds=[(copy, -1, -1, -1, -1)])
        assert path.pairs == 2
        with pytest.raises(ValueError, match="no pair of workers 2: expected 0 to 1"):
            path.run_inbound(2)
        os.close(copy)
