"""I1s that come through the sockets of a running worker.

this test - UDP or protocol 253 (RFC 3692) on the loopback - [DataPath]
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from hipgw._fastpath.punts import PUNT_CONTROL, PUNT_CONTROL_RAW
from hipgw._fastpath.worker import DataPath
from hipgw.daemon.strangers import Strangers
from hipgw.drivers.rawip import open_raw
from hipgw.proto import ClaimI1s, PublishR1s, R1Limits, R1Template
from hipgw.values import NULL_HIT, DhGroup, Hit
from hipgw.wire import (
    DhGroupList,
    HipPacket,
    PacketType,
    Puzzle,
    checksum_is_right,
    emit_packet,
    parse_packet,
    puzzle_opaque_at,
    with_checksum,
)
from tests.unit.fastpath.wires import HIT_A, HIT_B, HIT_C, PATIENCE_S, Host, wait_until

MARKER = bytes(4)
PROTOCOL = 253
NONCE_OCTETS = 32
WIDE = R1Limits(1e6, 1e6, 1e6, 1e6, 1024)
TEMPLATE = emit_packet(
    HipPacket(PacketType.R1, Hit(HIT_A), NULL_HIT, (Puzzle(0, 39, bytes(2), bytes(NONCE_OCTETS)),))
)


def offer(limits: R1Limits = WIDE) -> PublishR1s:
    r1 = R1Template(
        Hit(HIT_A), DhGroup.NIST_P256, TEMPLATE, puzzle_opaque_at(TEMPLATE), NONCE_OCTETS
    )
    return PublishR1s(b"\x12\x34", bytes(32), 0, True, (DhGroup.NIST_P256,), (r1,), limits)


def packet(
    kind: PacketType = PacketType.I1, sender: bytes = HIT_B, receiver: bytes = HIT_A
) -> bytes:
    return emit_packet(HipPacket(kind, Hit(sender), Hit(receiver), (DhGroupList((7,)),)))


@contextlib.contextmanager
def answering(
    family: int = 4, limits: R1Limits | None = WIDE, **options: int
) -> Iterator[tuple[Host, socket.socket]]:
    """A host that answers I1s, and somebody connected to its HIP port."""
    host = Host(family, **options)
    if limits is not None:
        Strangers(host.path.desk).publish(offer(limits))
    asker = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    asker.connect((host.address, host.port))
    asker.settimeout(PATIENCE_S)
    host.start()
    try:
        yield host, asker
    finally:
        asker.close()
        host.close()


def counted(host: Host, *names: str) -> int:
    """All of these counters; a batch raises its drops last."""
    counters = host.path.counters()
    return sum(counters[name] for name in names)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("udp_gro", [False, True])
def test_i1s_over_udp_are_answered_from_where_they_came_to(family: int, udp_gro: bool) -> None:
    with answering(family, udp_gro=udp_gro) as (host, asker):
        seen = set()
        for number in range(600):
            sender = HIT_B[:-2] + number.to_bytes(2)
            asker.send(MARKER + packet(sender=sender))
            octets = asker.recv(2048)
            assert octets[:4] == MARKER
            r1 = parse_packet(octets[4:])
            assert (r1.packet_type, r1.sender.packed) == (PacketType.R1, HIT_A)
            assert r1.receiver.packed == sender
            assert octets[8:10] == bytes(2), "no checksum inside UDP"
            seen.add(r1.require(Puzzle).i)
        assert len(seen) == 600
        wait_until(
            lambda: host.path.counters()["r1_sent"] >= 600
        )  # the last R1 is here before it counts
        counters = host.path.counters()
        assert (counters["i1_received"], counters["r1_sent"]) == (600, 600)
        assert counters["punt_control"] == 0


def test_everything_else_is_punted() -> None:
    others = [packet(PacketType.I2), packet(receiver=HIT_C), packet(receiver=NULL_HIT.packed)]
    with answering() as (host, asker):
        Strangers(host.path.desk).claim(ClaimI1s(Hit(HIT_A), Hit(HIT_C), is_claimed=True))
        others.append(packet(sender=HIT_C))
        for octets in others:
            asker.send(MARKER + octets)
        punts = host.punts(4)
        assert [octets for _, octets, _ in punts] == others
        assert {kind for kind, _, _ in punts} == {PUNT_CONTROL}
        Strangers(host.path.desk).claim(ClaimI1s(Hit(HIT_A), Hit(HIT_C), is_claimed=False))
        asker.send(MARKER + packet(sender=HIT_C))
        assert asker.recv(2048)
        wait_until(lambda: host.path.counters()["i1_received"] == 1)


def test_before_anything_is_published_the_engine_gets_all() -> None:
    with answering(limits=None) as (host, asker):
        asker.send(MARKER + packet())
        assert host.punts(1)[0][1] == packet()


def test_i1s_above_the_rate_are_counted() -> None:
    with answering(limits=R1Limits(0.001, 3, 0.001, 3, 16)) as (host, asker):
        for _ in range(10):
            asker.send(MARKER + packet())
        wait_until(lambda: counted(host, "i1_received") == 10)
        wait_until(lambda: counted(host, "r1_sent", "i1_rate") == 10)
        assert counted(host, "i1_rate") >= 7


def test_limits_that_stay_go_on_over_a_new_generation() -> None:
    few = R1Limits(0.001, 4, 0.001, 4, 16)
    with answering(limits=few) as (host, asker):
        for number in range(1, 41):
            asker.send(MARKER + packet())
            Strangers(host.path.desk).publish(offer(few))
            wait_until(lambda: host.path.counters()["i1_received"] == number)  # noqa: B023
        assert host.path.counters()["r1_sent"] <= 4
        Strangers(host.path.desk).publish(offer())
        asker.send(MARKER + packet())
        wait_until(lambda: host.path.counters()["i1_received"] == 41)
        wait_until(lambda: host.path.counters()["r1_sent"] >= 2)


def test_i1s_for_the_engine_leave_half_of_the_ring_to_others() -> None:
    with answering(punt_octets=4 * 4096) as (host, asker):
        for number in range(200):
            asker.send(MARKER + packet(receiver=HIT_C))
            wait_until(lambda: host.path.counters()["net_rx"] == number + 1)  # noqa: B023
        wait_until(lambda: counted(host, "punt_control", "punt_full") == 200)
        dropped = host.path.counters()["punt_full"]
        assert dropped > 100
        for _ in range(10):
            asker.send(MARKER + packet(PacketType.I2))
        wait_until(lambda: counted(host, "punt_control", "punt_full") == 210)
        assert host.path.counters()["punt_full"] == dropped
        kinds = [octets[2] for _, octets, _ in host.punts(210 - dropped)]
        assert kinds.count(PacketType.I2) == 10


@pytest.mark.netns
@pytest.mark.parametrize("text", ["127.0.0.1", "::1"])
def test_i1s_over_raw_ip_have_a_checksum_and_others_are_punted(text: str) -> None:
    here = ip_address(text)
    device, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with (
        device,
        far,
        open_raw(PROTOCOL, here.version) as opened,
        open_raw(PROTOCOL, here.version) as asker,
    ):
        path = DataPath(tun_fd=device.fileno(), **{f"hip{here.version}_fd": opened.fileno()})
        Strangers(path.desk).publish(offer())
        host = Host.__new__(Host)
        host.path = path
        host.threads = []
        host.start()
        try:
            asker.setblocking(True)
            asker.settimeout(PATIENCE_S)
            asker.sendto(with_checksum(packet(), here, here), (text, 0))
            while True:  # our own I1 comes back to this socket, too
                octets = asker.recv(2048)[20 if here.version == 4 else 0 :]
                if octets[2] == PacketType.R1:
                    break
            assert checksum_is_right(octets, here, here)
            assert parse_packet(octets).receiver.packed == HIT_B
            i2 = with_checksum(packet(PacketType.I2), here, here)
            asker.sendto(i2, (text, 0))
            punts = []

            def has_i2() -> bool:  # the R1 was seen by both sockets
                punts.extend(path.take_punts())
                return any(octets == i2 for _, octets, _ in punts)

            wait_until(has_i2)
            assert {kind for kind, _, _ in punts} == {PUNT_CONTROL_RAW}
            assert punts[-1][2] == (here.packed, 0, here.packed)
            asker.sendto(b"short", (text, 0))
            wait_until(lambda: path.counters()["runt"] == 1)
        finally:
            host.stop()
