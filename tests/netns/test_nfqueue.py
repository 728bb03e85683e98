"""The driver of netfilter queues on the real kernel: one namespace, its loopback, one queue.

sender - lo - OUTPUT (NFQUEUE) - receiver
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from hipgw._fastpath.nfq import PacketQueue
from hipgw.drivers.nfqueue import open_queue, socket_drops
from hipgw.errors import HostError
from hipgw.netlink.links import bring_up
from hipgw.netlink.namespaces import create_namespace, remove_namespace, run_inside
from tests.netns.streams import make_roomy
from tests.unit.fastpath.wires import ipv4, udp

pytestmark = pytest.mark.netns

Result = TypeVar("Result")
NAMESPACE = f"hipgw-nfq-{os.getpid()}"
QUEUE = 300
PORT = 5000
PATIENCE_S = 60.0
PATIENCE_MS = 60_000
QUIET_MS = 500
LOCALHOST = bytes([127, 0, 0, 1])
UNFINISHED, SUPER = 1, 2


def inside(task: Callable[[], Result]) -> Result:
    return run_inside(NAMESPACE, task)


@pytest.fixture(scope="module", autouse=True)
def _namespace() -> Iterator[None]:
    create_namespace(NAMESPACE)
    try:
        inside(lambda: bring_up("lo"))
        for protocol in ("udp", "tcp"):
            rule = ["-p", protocol, "--dport", str(PORT), "-j", "NFQUEUE", "--queue-num"]
            command = ["iptables", "-w", "5", "-A", "OUTPUT", *rule, str(QUEUE)]
            inside(lambda command=command: subprocess.run(command, check=True))  # type: ignore[misc]
        yield
    finally:
        remove_namespace(NAMESPACE)


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    opened = inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with opened:
        make_roomy(opened)
        opened.bind(("127.0.0.1", PORT))
        opened.settimeout(PATIENCE_S)
        yield opened


@pytest.fixture
def sender() -> Iterator[socket.socket]:
    with inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        opened.connect(("127.0.0.1", PORT))
        yield opened


@contextlib.contextmanager
def queue(**options: object) -> Iterator[tuple[PacketQueue, socket.socket]]:
    with inside(lambda: open_queue(QUEUE, **options)) as opened:  # type: ignore[arg-type]
        yield PacketQueue(opened.fileno()), opened


def test_verdicts_are_taken_in_order(sender: socket.socket, receiver: socket.socket) -> None:
    with queue() as (packets, _):
        for number in range(400):
            sender.send(number.to_bytes(2))
        seen = 0
        ids = []
        while seen < 400:
            taken = packets.take(PATIENCE_MS)
            ids += [entry[1] for entry in taken]
            verdicts: list[bool | bytes] = []
            for entry in taken:
                number = int.from_bytes(entry[7][28:30])
                assert number == seen
                seen += 1
                longer = ipv4(udp(b"changed%d" % number, LOCALHOST, LOCALHOST, (1, PORT)),
                              source=LOCALHOST, destination=LOCALHOST)  # fmt: skip
                verdicts.append((True, False, longer)[number % 3])
            packets.settle(verdicts)
        assert ids == list(range(ids[0], ids[0] + 400))
        expected = [
            number.to_bytes(2) if number % 3 == 0 else b"changed%d" % number
            for number in range(400)
            if number % 3 != 1
        ]
        assert [receiver.recv(64) for _ in expected] == expected
        assert packets.counters() == {
            "received": 400, "octets": 400 * 30, "overruns": 0, "broken": 0, "unanswered": 0,
        }  # fmt: skip


def test_jumbo_packets_are_whole(sender: socket.socket, receiver: socket.socket) -> None:
    with queue() as (packets, _):
        for size in (8900, 60_000, 65_000):
            payload = os.urandom(size)
            sender.send(payload)
            (entry,) = packets.take(PATIENCE_MS)
            assert entry[6] == len(entry[7]) == size + 28
            assert entry[7][28:] == payload
            turned = ipv4(udp(payload[::-1], LOCALHOST, LOCALHOST, (1, PORT)),
                          source=LOCALHOST, destination=LOCALHOST)  # fmt: skip
            packets.settle([turned])
            assert receiver.recv(1 << 16) == payload[::-1]


def test_a_copy_that_is_cut_off_says_so(sender: socket.socket, receiver: socket.socket) -> None:
    with queue(copy_octets=100) as (packets, _):
        sender.send(bytes(5000))
        (entry,) = packets.take(PATIENCE_MS)
        assert (entry[6], len(entry[7])) == (5028, 100)
        packets.settle([True])
        assert receiver.recv(1 << 16) == bytes(5000)
        sender.send(bytes(5000))
        # It passes, but not changed: it would be as short as its copy.
        assert packets.serve(1, traffic_class=8, idle_ms=PATIENCE_MS) == 1
        assert receiver.recv(1 << 16) == bytes(5000)


@pytest.mark.parametrize("gso", [True, False])
def test_super_packets_come_whole_or_cut_as_asked(gso: bool) -> None:
    payload = os.urandom(3 << 20)
    with queue(gso=gso) as (packets, _), contextlib.ExitStack() as stack:
        server = stack.enter_context(inside(lambda: socket.create_server(("127.0.0.1", PORT))))
        client = stack.enter_context(inside(lambda: socket.socket(socket.AF_INET)))
        for opened in (server, client):
            opened.settimeout(PATIENCE_S)

        def send() -> None:
            # Segments of 1448 octets, in super-packets of many.
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1460)
            client.connect(("127.0.0.1", PORT))
            client.sendall(payload)
            client.shutdown(socket.SHUT_WR)

        received = bytearray()

        def receive() -> None:
            accepted, _ = server.accept()
            with accepted:
                accepted.settimeout(PATIENCE_S)
                while chunk := accepted.recv(1 << 18):
                    received.extend(chunk)

        threads = [threading.Thread(target=task) for task in (send, receive)]
        for thread in threads:
            thread.start()
        flags, longest = set(), 0
        # To the last word of both ends: what gets no verdict is said again, in the next test.
        while (taken := packets.take(QUIET_MS)) or any(thread.is_alive() for thread in threads):
            flags |= {entry[5] & (UNFINISHED | SUPER) for entry in taken}
            longest = max([longest, *(entry[6] for entry in taken)])
            packets.settle([True] * len(taken))
        for thread in threads:
            thread.join()
        assert received == payload
        if gso:
            assert UNFINISHED | SUPER in flags
            assert longest > 20_000
        else:
            assert flags == {0}
            assert longest <= 1500


def test_an_overrun_is_survived_and_counted(sender: socket.socket, receiver: socket.socket) -> None:
    with queue(buffer_octets=16384, reports_overruns=True) as (packets, opened):
        for number in range(200):
            sender.send(number.to_bytes(2) + bytes(1000))
        seen = 0
        while not packets.counters()["overruns"]:  # said once, before the packets that had room
            assert packets.take(PATIENCE_MS) == []
        while taken := packets.take(200):
            seen += len(taken)
            packets.settle([True] * len(taken))
            assert len(receiver.recv(2000)) == 1002
        assert packets.counters()["overruns"] == 1
        assert 0 < seen < 200
        assert 0 < socket_drops(opened.fileno()) <= 200 - seen
        sender.send(b"after")
        assert packets.serve(1, idle_ms=PATIENCE_MS) == 1
        while receiver.recv(2000) != b"after":
            pass


def test_a_queue_that_fails_open_loses_nothing(
    sender: socket.socket, receiver: socket.socket
) -> None:
    with queue(waiting=5, fail_open=True) as (packets, _):
        for number in range(50):
            sender.send(number.to_bytes(2))
        assert len(packets.take(PATIENCE_MS)) == 5
        packets.settle([True] * 5)
        numbers = {int.from_bytes(receiver.recv(64)) for _ in range(50)}
        assert numbers == set(range(50))


def test_headers_are_rewritten_without_the_gil(
    sender: socket.socket, receiver: socket.socket
) -> None:
    receiver.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
    with queue() as (packets, _):
        passed = []
        thread = threading.Thread(
            target=lambda: passed.append(
                packets.serve(300, traffic_class=0xB8, idle_ms=PATIENCE_MS)
            )
        )
        thread.start()
        for number in range(300):
            sender.send(number.to_bytes(2))
        for number in range(300):
            octets, ancillary, _, _ = receiver.recvmsg(64, 64)
            assert octets == number.to_bytes(2)
            assert ancillary[0][2][0] == 0xB8
        thread.join(PATIENCE_S)
        assert passed == [300]


def test_super_packets_are_rewritten_too() -> None:
    payload = os.urandom(3 << 20)
    with queue() as (packets, _), contextlib.ExitStack() as stack:
        server = stack.enter_context(inside(lambda: socket.create_server(("127.0.0.1", PORT))))
        client = stack.enter_context(inside(lambda: socket.socket(socket.AF_INET)))
        for opened in (server, client):
            opened.settimeout(PATIENCE_S)
        is_over = threading.Event()

        def serve() -> None:
            is_last = False
            while not is_last:
                is_last = is_over.is_set()
                packets.serve(1 << 30, traffic_class=0x20, idle_ms=QUIET_MS)

        thread = threading.Thread(target=serve)
        thread.start()
        stack.callback(thread.join)
        stack.callback(is_over.set)
        stack.callback(client.close)  # so that what it still says is served
        client.connect(("127.0.0.1", PORT))
        accepted, _ = server.accept()
        with accepted:
            accepted.settimeout(PATIENCE_S)
            sending = threading.Thread(target=lambda: client.sendall(payload))
            sending.start()
            received = bytearray()
            while len(received) < len(payload):
                received += accepted.recv(1 << 18)
            sending.join(PATIENCE_S)
        assert received == payload


def test_a_verdict_on_nothing_is_counted(sender: socket.socket, receiver: socket.socket) -> None:
    with queue() as (first, opened):
        second = PacketQueue(opened.fileno())
        sender.send(b"1")
        assert len(first.take(PATIENCE_MS)) == 1
        sender.send(b"2")
        assert len(second.take(PATIENCE_MS)) == 1
        second.settle([True])  # a verdict on all up to there
        first.settle([True])
        assert [receiver.recv(9), receiver.recv(9)] == [b"1", b"2"]
        assert first.take(PATIENCE_MS) == []
        assert first.counters()["broken"] == 1


def test_wrong_use_is_refused(sender: socket.socket) -> None:
    with queue() as (packets, _):
        with pytest.raises(HostError, match="another program has it"):
            inside(lambda: open_queue(QUEUE))
        with pytest.raises(ValueError, match="0 to 65535"):
            open_queue(65536)
        with pytest.raises(ValueError, match="1 to 65531"):
            open_queue(1, copy_octets=65532)
        with pytest.raises(ValueError, match="1 verdicts on 0 packets"):
            packets.settle([True])
        sender.send(b"x")
        packets.take(PATIENCE_MS)
        with pytest.raises(RuntimeError, match="1 packets wait"):
            packets.take()
        with pytest.raises(ValueError, match="packet of 0 octets"):
            packets.settle([b""])
        packets.settle([False])


def test_without_privileges_the_remedy_is_named() -> None:
    code = (
        "import os; os.setresuid(65534, 65534, 65534)\n"
        "from hipgw.drivers.nfqueue import open_queue\n"
        "from hipgw.errors import HostError\n"
        "try: open_queue(9)\n"
        "except HostError as error: print(error)\n"
    )
    code = "import hipgw.drivers.nfqueue, hipgw.errors, encodings.idna\n" + code
    said = inside(
        lambda: subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
    )
    assert "run as root or with CAP_NET_ADMIN" in said.stdout
