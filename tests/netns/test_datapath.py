"""Two data paths with real TUN devices and sockets; no daemon, SAs installed by hand.

application - hip0 [A] v0 10.77.0.1, fd77::1 --- v1 10.77.0.2, fd77::2 [B] hip0 - application
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import pytest

from hipgw._fastpath.punts import PUNT_NO_SA
from hipgw._fastpath.worker import DataPath
from hipgw.dataplane.user import UserBackend
from hipgw.drivers.link import open_link
from hipgw.drivers.rawip import open_raw
from hipgw.drivers.tun import open_tun
from hipgw.drivers.udp import open_hip_udp
from hipgw.errors import HostError
from hipgw.netlink.namespaces import run_inside
from hipgw.values import (
    ESP_SHAPES,
    Direction,
    Encapsulation,
    EspSuite,
    Hit,
    Lsi,
    Path,
    SecurityAssociation,
    Spi,
)
from tests.netns.streams import until

pytestmark = pytest.mark.netns

HITS = Hit.parse("2001:21::a"), Hit.parse("2001:22::b")
LSIS = Lsi.parse("1.0.0.1"), Lsi.parse("1.0.0.2")
LOCATORS = {4: ("10.77.0.1", "10.77.0.2"), 6: ("fd77::1", "fd77::2")}
PORT = 10500
MTU = 1400
TRANSFER_OCTETS = 2_000_000
TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM
PATIENCE_S = 60.0


def run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


@dataclass
class Node:
    """One namespace with its data path."""

    namespace: str
    number: int
    path: DataPath
    backend: UserBackend

    def ip(self, *words: str) -> str:
        return run("ip", "-n", self.namespace, *words)

    def ping(self, target: Hit | Lsi, *options: str) -> str:
        return run("ip", "netns", "exec", self.namespace, "ping", "-n", "-i", "0.05", "-W", "30",
                   *options, str(target))  # fmt: skip

    def is_answered(self, target: Hit | Lsi, times: int, *options: str) -> bool:
        """Whether so many echo requests are answered, one after the other.

        One ping of several ends two round trips after its last request, however busy the machine.
        """
        pings = (self.ping(target, "-c", "1", *options) for _ in range(times))
        return all(" 0% packet loss" in said for said in pings)

    def socket(
        self, family: socket.AddressFamily, kind: socket.SocketKind, protocol: int = 0
    ) -> socket.socket:
        opened: socket.socket = run_inside(
            self.namespace, lambda: socket.socket(family, kind, protocol)
        )
        opened.settimeout(PATIENCE_S)
        return opened


@contextlib.contextmanager
def joined_namespaces() -> Iterator[list[str]]:
    names = [f"hipgwpath-{os.getpid()}-{end}" for end in "ab"]
    try:
        for name in names:
            run("ip", "netns", "add", name)
        run("ip", "-n", names[0], "link", "add", "v0", "type", "veth", "peer", "name", "v1",
            "netns", names[1])  # fmt: skip
        for number, name in enumerate(names):
            link = f"v{number}"
            run("ip", "-n", name, "address", "add", f"{LOCATORS[4][number]}/24", "dev", link)
            run("ip", "-n", name, "address", "add", f"{LOCATORS[6][number]}/64", "dev", link,
                "nodad")  # fmt: skip
            run("ip", "-n", name, "link", "set", link, "up")
            run("ip", "-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


@contextlib.contextmanager
def node(namespace: str, number: int) -> Iterator[Node]:
    with contextlib.ExitStack() as stack:
        tun = run_inside(namespace, lambda: open_tun("hip0", mtu=MTU))
        stack.callback(tun.close)
        four, six = run_inside(namespace, lambda: open_hip_udp(PORT))
        raws = [
            run_inside(namespace, lambda family=family: open_raw(50, family)) for family in (4, 6)
        ]
        link = run_inside(namespace, open_link)
        for opened in (four, six, *raws, link):
            stack.callback(opened.close)
        path = DataPath(
            tun_fd=tun.fd,
            udp4_fd=four.fileno(),
            udp6_fd=six.fileno(),
            raw4_fd=raws[0].fileno(),
            raw6_fd=raws[1].fileno(),
            link_fd=link.fileno(),
        )
        made = Node(namespace, number, path, UserBackend(path))
        made.ip("address", "add", f"{HITS[number]}/128", "dev", "hip0", "nodad")
        made.ip("address", "add", f"{LSIS[number]}/32", "dev", "hip0")
        made.ip("link", "set", "hip0", "up")
        made.ip("route", "add", "2001:20::/28", "dev", "hip0")
        made.ip("route", "add", "1.0.0.0/8", "dev", "hip0")
        stack.callback(made.backend.close)
        made.backend.start()
        yield made


@pytest.fixture(scope="module")
def nodes() -> Iterator[tuple[Node, Node]]:
    with joined_namespaces() as names, node(names[0], 0) as a, node(names[1], 1) as b:
        yield a, b


def install(
    nodes: tuple[Node, Node],
    family: int,
    encapsulation: Encapsulation,
    suite: EspSuite = EspSuite.AES_GCM_16,
) -> None:
    """A new pair of SAs each way, make before break, with keys of their own."""
    shape = ESP_SHAPES[suite]
    keys = shape.encryption_key_octets, shape.authentication_key_octets
    for near in nodes:
        for row in near.backend.statistics():
            near.backend.remove(row.direction, row.spi, row.local_hit, row.peer_hit)
    for near, far in (nodes, nodes[::-1]):
        ports = (PORT, PORT) if encapsulation is Encapsulation.UDP else (0, 0)
        ends = [ip_address(LOCATORS[family][end.number]) for end in (near, far)]
        common: dict[str, Any] = {
            "spi": Spi(int.from_bytes(os.urandom(4)) | 0x1000),
            "suite": suite,
            "encryption_key": os.urandom(keys[0]),
            "authentication_key": os.urandom(keys[1]),
        }
        far.backend.install(
            SecurityAssociation(
                direction=Direction.IN,
                local_hit=HITS[far.number],
                peer_hit=HITS[near.number],
                local_lsi=LSIS[far.number],
                peer_lsi=LSIS[near.number],
                path=Path(ends[1], ends[0], encapsulation, *ports),
                **common,
            )
        )
        near.backend.install(
            SecurityAssociation(
                direction=Direction.OUT,
                local_hit=HITS[near.number],
                peer_hit=HITS[far.number],
                local_lsi=LSIS[near.number],
                peer_lsi=LSIS[far.number],
                path=Path(ends[0], ends[1], encapsulation, *ports),
                **common,
            )
        )


def transfer(a: Node, b: Node, target: Hit | Lsi) -> None:
    """A sends over TCP, B answers with the same octets; both must arrive whole."""
    family = socket.AF_INET6 if isinstance(target, Hit) else socket.AF_INET
    with b.socket(family, TCP) as server, a.socket(family, TCP) as client:
        server.bind((str(target), 0))
        server.listen()
        port = server.getsockname()[1]
        b.path.set_port_family(6, port, 6 if isinstance(target, Hit) else 4)
        octets = os.urandom(TRANSFER_OCTETS)

        def serve() -> None:
            accepted, _ = server.accept()
            with accepted:
                while chunk := accepted.recv(65536):
                    accepted.sendall(chunk)

        thread = threading.Thread(target=serve)
        thread.start()
        client.connect((str(target), port))
        received = bytearray()

        def collect() -> None:
            while chunk := client.recv(65536):
                received.extend(chunk)

        collector = threading.Thread(target=collect)
        collector.start()
        client.sendall(octets)
        client.shutdown(socket.SHUT_WR)
        thread.join(PATIENCE_S)
        collector.join(PATIENCE_S)
        assert received == octets


def datagrams(a: Node, b: Node, target: Hit | Lsi) -> None:
    family = socket.AF_INET6 if isinstance(target, Hit) else socket.AF_INET
    with b.socket(family, UDP) as server, a.socket(family, UDP) as client:
        server.bind((str(target), 0))
        b.path.set_port_family(17, server.getsockname()[1], 6 if isinstance(target, Hit) else 4)
        client.connect(server.getsockname()[:2])
        for length in (0, 1, 2, 3, 100, 1300):
            payload = os.urandom(length)
            client.send(payload)
            got, sender = server.recvfrom(2000)
            assert got == payload
            server.sendto(got[::-1], sender)
            assert client.recv(2000) == payload[::-1]


@pytest.mark.parametrize("target", [HITS[1], LSIS[1]], ids=["hit", "lsi"])
@pytest.mark.parametrize("encapsulation", Encapsulation)
@pytest.mark.parametrize("family", [4, 6])
def test_ping_tcp_and_udp_cross(
    nodes: tuple[Node, Node], family: int, encapsulation: Encapsulation, target: Hit | Lsi
) -> None:
    a, b = nodes
    install(nodes, family, encapsulation)
    assert a.is_answered(target, 5)
    assert a.is_answered(target, 2, "-s", "1300")
    datagrams(a, b, target)
    transfer(a, b, target)

    def is_counted() -> bool:
        # Counters are brought up to date after a batch was sent.
        rows = a.backend.statistics()
        return all(row.packets > 10 and row.octets > TRANSFER_OCTETS for row in rows)

    until(is_counted, lambda: f"{a.backend.statistics()}")
    bad = {"icv_wrong", "esp_replayed", "length_wrong", "send_error", "inner_malformed"}
    assert not [name for name in bad if a.path.counters()[name] or b.path.counters()[name]]


@pytest.mark.parametrize("suite", EspSuite)
def test_every_suite_crosses(nodes: tuple[Node, Node], suite: EspSuite) -> None:
    a, b = nodes
    install(nodes, 4, Encapsulation.RAW, suite)
    assert a.is_answered(HITS[1], 3, "-s", "1300")
    transfer(a, b, HITS[1])


def test_packets_leave_from_the_address_of_the_path(nodes: tuple[Node, Node]) -> None:
    """A second address on the same link is used when the path names it, in both families."""
    a, b = nodes
    for family, second, prefix in ((4, "10.77.0.9", 24), (6, "fd77::9", 64)):
        a.ip("address", "add", f"{second}/{prefix}", "dev", "v0", *(["nodad"] * (family == 6)))
        kind = socket.AF_INET if family == 4 else socket.AF_INET6
        for encapsulation in Encapsulation:
            protocol = (UDP, 0) if encapsulation else (socket.SOCK_RAW, 50)
            with b.socket(kind, *protocol) as tap:
                tap.bind((LOCATORS[family][1], 0))
                port = tap.getsockname()[1] if encapsulation else 0
                a.backend.install(
                    SecurityAssociation(
                        direction=Direction.OUT,
                        spi=Spi(0x5555),
                        suite=EspSuite.AES_GCM_16,
                        encryption_key=os.urandom(20),
                        authentication_key=b"",
                        local_hit=HITS[0],
                        peer_hit=Hit.parse("2001:23::c"),
                        path=Path(
                            ip_address(second),
                            ip_address(LOCATORS[family][1]),
                            encapsulation,
                            PORT if port else 0,
                            port,
                        ),
                    )
                )
                with a.socket(socket.AF_INET6, UDP) as client:
                    client.sendto(b"x", ("2001:23::c", 9))
                octets, sender = tap.recvfrom(2000)
                assert b"\0\0\x55\x55" in octets[:24]
                assert sender[0] == second
                if port:
                    assert sender[1] == PORT
    assert a.backend.remove(Direction.OUT, Spi(0x5555))


def test_an_unknown_hit_and_lsi_reach_the_control_plane(nodes: tuple[Node, Node]) -> None:
    a, _ = nodes
    a.path.take_punts(1000)
    for family, target in ((socket.AF_INET6, "2001:2f::9"), (socket.AF_INET, "1.9.9.9")):
        with a.socket(family, UDP) as client:
            client.sendto(b"first", (target, 9))
    punts: list[bytes] = []

    def are_here() -> bool:
        punts.extend(octets for kind, octets, _ in a.path.take_punts() if kind == PUNT_NO_SA)
        return len(punts) >= 2

    until(are_here, lambda: f"two punts: {punts}")
    assert socket.inet_pton(socket.AF_INET6, "2001:2f::9") in [octets[24:40] for octets in punts]
    assert bytes([1, 9, 9, 9]) in [octets[16:20] for octets in punts if octets[0] >> 4 == 4]


def test_traffic_resumes_after_the_device_was_down(nodes: tuple[Node, Node]) -> None:
    a, b = nodes
    install(nodes, 4, Encapsulation.UDP)
    a.ping(LSIS[1], "-c", "2")
    b.ip("link", "set", "hip0", "down")
    with pytest.raises(subprocess.CalledProcessError):
        a.ping(LSIS[1], "-c", "2", "-W", "1")
    until(lambda: b.path.counters()["tun_full"] > 0, "what comes in is counted")
    b.ip("link", "set", "hip0", "up")
    b.ip("route", "replace", "1.0.0.0/8", "dev", "hip0")
    b.ip("address", "replace", f"{HITS[1]}/128", "dev", "hip0", "nodad")
    b.ip("route", "replace", "2001:20::/28", "dev", "hip0")
    assert a.is_answered(LSIS[1], 2)
    assert a.is_answered(HITS[1], 2)


def test_what_is_held_by_another_is_named(nodes: tuple[Node, Node]) -> None:
    a, _ = nodes
    with pytest.raises(HostError, match=r"'hip0'.*busy"):
        run_inside(a.namespace, lambda: open_tun("hip0", mtu=MTU))
    with pytest.raises(HostError, match=f"UDP port {PORT} .*in use"):
        run_inside(a.namespace, lambda: open_hip_udp(PORT))
    words = a.ip("link", "show", "hip0").split()
    assert words[words.index("mtu") + 1] == str(MTU)
    assert words[words.index("qlen") + 1] == "2000"
