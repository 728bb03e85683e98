"""Offloads on the real kernel, with two daemons.

hipgw-NAME-a hip0 | eth0 ------ eth0 | hip0 hipgw-NAME-b
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.values import Hit, Lsi
from tests.netns.streams import make_roomy

pytestmark = pytest.mark.netns

FILE_OCTETS = {"on": 50_000_000, "off": 5_000_000}
"""By whether the TUN device has super-packets."""
DATAGRAMS = 5000
END = b"end"
PATIENCE_S = 60.0
RESIDENT_OCTETS = 80 * 1024 * 1024
TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM
UDP_SEGMENT = 103
NEVER = {"icv_wrong", "esp_replayed", "too_old", "length_wrong", "inner_malformed", "truncated"}


@contextlib.contextmanager
def pair(
    encapsulation: str, family: int, tun: str, udp: str, mtu: int = 1500
) -> Iterator[tuple[LabHost, LabHost]]:
    name = f"offload-{encapsulation}{family}{tun}{udp}-{os.getpid()}"
    settings = {"offload": {"tun": tun, "udp": udp}}
    with Lab.pair(
        name=name,
        encapsulation=encapsulation,  # type: ignore[arg-type]
        family=family,  # type: ignore[arg-type]
        settings=settings,
        mtu=mtu,
    ) as lab:
        lab.start_daemons()
        a, b = lab.host("a"), lab.host("b")
        a.run(["ping", "-n", "-c", "1", "-W", "30", str(b.hit)])
        yield a, b


def opened(host: LabHost, target: Hit | Lsi, kind: socket.SocketKind) -> socket.socket:
    family = socket.AF_INET6 if isinstance(target, Hit) else socket.AF_INET
    made: socket.socket = host.call(lambda: socket.socket(family, kind))
    made.settimeout(PATIENCE_S)
    return made


def offload_row(host: LabHost) -> dict[str, str]:
    [row] = [check for check in host.ask("doctor")["checks"] if check["name"] == "offload"]
    return dict(row)


def counters(host: LabHost) -> dict[str, int]:
    """Offload counters as `hipgw doctor` shows them."""
    found = re.findall(r"(\w+) (\d+)(?:,|$)", offload_row(host)["detail"].rpartition(";")[2])
    return {name: int(value) for name, value in found}


def drops(host: LabHost) -> dict[str, int]:
    return {drop["reason"]: drop["count"] for drop in host.ask("drops")["drops"] if drop["count"]}


def carry_file(a: LabHost, b: LabHost, target: Hit | Lsi, tun: str = "on") -> None:
    """A sends a file over TCP; B's digest of what arrived must be that of what was sent."""
    block = os.urandom(1 << 20)
    sent, received = hashlib.sha256(), hashlib.sha256()
    with opened(b, target, TCP) as server, opened(a, target, TCP) as client:
        server.bind(("", 0))
        server.listen()

        def serve() -> None:
            accepted, _ = server.accept()
            with accepted:
                while chunk := accepted.recv(1 << 18):
                    received.update(chunk)

        thread = threading.Thread(target=serve)
        thread.start()
        client.connect((str(target), server.getsockname()[1]))
        left = FILE_OCTETS[tun]
        while left:
            piece = block[: min(left, len(block))]
            client.sendall(piece)
            sent.update(piece)
            left -= len(piece)
        client.shutdown(socket.SHUT_WR)
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    assert received.digest() == sent.digest()


def count_datagrams(a: LabHost, b: LabHost, target: Hit | Lsi, *, in_trains: bool) -> None:
    """Numbered datagrams arrive whole and in their order; some may be lost when B is slow.

    B answers first, because the data path learns a flow's family from what is sent: until then
    each packet asks the control plane, and may be overtaken.
    """
    with opened(b, target, UDP) as server, opened(a, target, UDP) as client:
        make_roomy(server)
        server.bind(("", 0))
        client.connect((str(target), server.getsockname()[1]))
        client.send(b"hello")
        server.sendto(b"hello", server.recvfrom(16)[1])
        assert client.recv(16) == b"hello"
        seen: list[int] = []

        def collect() -> None:
            while (got := server.recv(4096)) != END:
                number = int.from_bytes(got[:4])
                assert got == number.to_bytes(4) * 250
                seen.append(number)

        thread = threading.Thread(target=collect)
        thread.start()
        payloads = [number.to_bytes(4) * 250 for number in range(DATAGRAMS)]
        if in_trains:
            size = (1000).to_bytes(2, "little")
            for at in range(0, DATAGRAMS, 40):
                client.sendmsg(payloads[at : at + 40], [(socket.IPPROTO_UDP, UDP_SEGMENT, size)])
        else:
            for payload in payloads:
                client.send(payload)
        say_the_end(client, thread)
    assert seen == sorted(set(seen))
    assert len(seen) > DATAGRAMS // 10


def say_the_end(client: socket.socket, receiver: threading.Thread) -> None:
    """Until it is heard: datagrams may be lost."""
    limit = time.monotonic() + PATIENCE_S
    while receiver.is_alive() and time.monotonic() < limit:
        client.send(END)
        receiver.join(0.05)
    assert not receiver.is_alive()


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(
    ("encapsulation", "tun", "udp"),
    [
        ("udp", "on", "on"),
        ("udp", "on", "off"),
        ("udp", "off", "on"),
        ("udp", "off", "off"),
        ("raw", "on", "on"),
        ("raw", "off", "off"),
    ],
)
def test_a_file_crosses_unchanged(encapsulation: str, tun: str, udp: str, family: int) -> None:
    with pair(encapsulation, family, tun, udp) as (a, b):
        carry_file(a, b, b.hit, tun)
        carry_file(b, a, a.lsi, tun)
        for in_trains in (False, True):
            count_datagrams(a, b, b.lsi, in_trains=in_trains)
            count_datagrams(b, a, a.hit, in_trains=in_trains)
        for host in (a, b):
            assert not NEVER & drops(host).keys()
            counted = counters(host)
            is_in_trains = encapsulation == "udp" and udp == "on"
            assert (counted["tso_in"] > 0) == (counted["coalesced_out"] > 0) == (tun == "on")
            assert (counted["gso_out"] > 0) == (counted["gro_in"] > 0) == is_in_trains
            assert counted["gso_refused"] == 0
            assert host.ask("status")["host"]["rss_octets"] < RESIDENT_OCTETS


def test_jumbo_packets_cross_in_trains() -> None:
    with pair("udp", 4, "on", "on", mtu=9000) as (a, b):
        carry_file(a, b, b.hit)
        carry_file(a, b, b.lsi)
        assert not NEVER & drops(b).keys()
        assert counters(a)["gso_out"] > 0
        assert counters(b)["coalesced_out"] > 0


def test_a_path_that_takes_no_trains_takes_datagrams() -> None:
    """The MTU of the wire sinks below that of hip0: trains are refused, packets fragmented."""
    with pair("udp", 4, "on", "on") as (a, b):
        carry_file(a, b, b.hit)
        for host in (a, b):
            host.run(["ip", "link", "set", "eth0", "mtu", "1400"])
        carry_file(a, b, b.hit)
        carry_file(b, a, a.lsi)
        assert counters(a)["gso_refused"] > 0
        assert offload_row(a)["outcome"] == "warn"
        for host in (a, b):
            assert not (NEVER | {"send_error"}) & drops(host).keys()


def test_the_doctor_says_what_is_on_and_why_not() -> None:
    with pair("udp", 4, "on", "off") as (a, _):
        row = offload_row(a)
        assert row["detail"].startswith("TUN: checksums, TCP, UDP; UDP: off (switched off); raw ")
        assert row["outcome"] == "ok"
