"""Several pairs of workers with real daemons: flows stay in order, on whichever worker they are.

    +-- eth0 --- eth0 p0
hub +-- eth1 --- eth0 p1
    +-- eth2 --- eth0 p2
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address, ip_interface
from pathlib import Path

import pytest

from hipgw.drivers.scheduling import slice_us_of
from hipgw.drivers.tun import TunDevice, open_tun
from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.lab.topology import Host, Link, Port, Topology
from hipgw.netlink.namespaces import run_inside
from tests.netns.flows import NumberedFlows
from tests.netns.streams import CountingStream, until
from tests.netns.test_offload import carry_file, counters
from tests.unit.fastpath.wires import ipv4, udp

pytestmark = pytest.mark.netns

ODD = 0x9E3779B1
GIVES_SLICES = tuple(int(part) for part in os.uname().release.split(".")[:2]) >= (6, 12)
FLOWS = 8
DATAGRAMS = 500
NEVER = {
    "icv_wrong", "esp_replayed", "too_old", "spi_unknown", "inner_malformed", "truncated",
    "handover_full", "sequence_spent", "tun_full", "send_full",
}  # fmt: skip


def star(peers: int) -> Topology:
    links = []
    for number in range(peers):
        here, there = (
            tuple(
                ip_interface(text)
                for text in (f"10.{80 + number}.0.{end}/24", f"fd00:{80 + number}::{end}/64")
            )
            for end in (1, 2)
        )
        links.append(Link((Port("hub", f"eth{number}", here), Port(f"p{number}", "eth0", there))))
    hosts = Host("hub"), *(Host(f"p{number}") for number in range(peers))
    return Topology("star", hosts, tuple(links))


@contextlib.contextmanager
def running(
    name: str, workers: int, peers: int = 3, *, family: int = 4, encapsulation: str = "udp",
    user: str = "", **datapath: object,
) -> Iterator[tuple[LabHost, list[LabHost]]]:  # fmt: skip
    lab = Lab(
        star(peers),
        name=f"cores-{name}-{os.getpid()}",
        encapsulation=encapsulation,  # type: ignore[arg-type]
        family=family,  # type: ignore[arg-type]
        settings={"datapath": {"workers": workers, **datapath}, "host": {"user": user}},
    )
    with lab:
        for host in lab.hosts if user else ():
            # The lab's directories are closed to other users.
            for directory in (host.files.directory, *host.files.directory.parents[:2]):
                directory.chmod(0o755)
        lab.start_daemons()
        hub, others = lab.host("hub"), [lab.host(f"p{number}") for number in range(peers)]
        for other in others:
            hub.run(["ping", "-n", "-c", "1", "-W", "30", str(other.hit)])
        yield hub, others


def drops(host: LabHost) -> dict[str, int]:
    return {drop["reason"]: drop["count"] for drop in host.ask("drops")["drops"] if drop["count"]}


def rekeys(host: LabHost) -> list[int]:
    return [entry["rekeys"] for entry in host.ask("associations")["associations"]]


def flows_of(hub: LabHost, others: list[LabHost]) -> list[NumberedFlows]:
    """Both ways with every peer, by HIT and by LSI."""
    return [
        NumberedFlows(a, b, target, FLOWS)
        for other in others
        for a, b in ((hub, other), (other, hub))
        for target in (b.hit, b.lsi)
    ]


@contextlib.contextmanager
def queues_of(count: int) -> Iterator[TunDevice]:
    """A TUN device in a namespace of its own, with a route to everybody."""
    name = f"hipgwqueues-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        with run_inside(name, lambda: open_tun("hip0", mtu=1400, queues=count, steering=ODD)) as it:
            for words in (
                "link set hip0 up", "address add 1.0.0.1/8 dev hip0",
                "address add 2001:21::a/28 dev hip0 nodad",
            ):  # fmt: skip
                subprocess.run(["ip", "-n", name, *words.split()], check=True)
            yield it
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def queue_with(device: TunDevice, payload: bytes) -> int:
    """The queue that gives the packet with these octets; others' packets are passed over."""
    while True:
        ready, _, _ = select.select(device.queues, [], [], 60)
        assert ready, "nothing came"
        for fd in ready:
            if payload in os.read(fd, 2048):
                return device.queues.index(fd)


def sender(family: socket.AddressFamily) -> socket.socket:
    name = f"hipgwqueues-{os.getpid()}"
    opened: socket.socket = run_inside(name, lambda: socket.socket(family, socket.SOCK_DGRAM))
    return opened


@pytest.mark.parametrize("count", [2, 3, 16])
def test_packets_to_a_peer_come_by_the_queue_of_its_owner(count: int) -> None:
    with queues_of(count) as device:
        assert device.steering == ""
        assert len(device.queues) == count
        for family, base in (
            (socket.AF_INET, ip_address("1.0.0.2")),
            (socket.AF_INET6, ip_address("2001:21::12:3456")),
        ):
            with sender(family) as opened:
                for number in range(40):
                    target = base + number * 7919
                    word = int(target) & 0xFFFFFFFF
                    expected = (word * ODD % (1 << 32) >> 16) % count
                    for port in (7, 8):
                        payload = f"<{target} {port}>".encode()
                        opened.sendto(payload, (str(target), port))
                        assert queue_with(device, payload) == expected


def test_without_a_program_answers_do_not_move_a_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hipgw.drivers.tun.steer_queues", lambda *_: "not permitted")
    with queues_of(4) as device, sender(socket.AF_INET) as opened:
        assert device.steering == "not permitted"
        opened.bind(("1.0.0.1", 7000))
        opened.settimeout(60)
        seen = set()
        for port in range(1, 33):
            opened.sendto(b"<question>", ("1.0.0.2", port))
            queue = queue_with(device, b"<question>")
            seen.add(queue)
            answer = ipv4(
                udp(b"answer", bytes([1, 0, 0, 2]), bytes([1, 0, 0, 1]), (port, 7000)), 17,
                bytes([1, 0, 0, 2]), bytes([1, 0, 0, 1]),
            )  # fmt: skip
            os.write(device.writer_fd, answer)
            assert opened.recv(64) == b"answer"
            opened.sendto(b"<again>", ("1.0.0.2", port))
            assert queue_with(device, b"<again>") == queue
        assert len(seen) > 1


@pytest.mark.parametrize(
    ("workers", "encapsulation", "family", "intercept"),
    [
        (2, "udp", 4, "tun"),
        (4, "udp", 6, "tun"),
        (2, "raw", 6, "tun"),
        (4, "raw", 4, "tun"),
        (4, "udp", 4, "nfqueue"),
    ],
)
def test_no_flow_is_reordered(
    workers: int, encapsulation: str, family: int, intercept: str
) -> None:
    name = f"{workers}{encapsulation}{family}{intercept}"
    options: dict[str, object] = {"intercept": intercept, "queue_count": 3}
    with running(name, workers, family=family, encapsulation=encapsulation, **options) as (
        hub,
        others,
    ):
        traffic = flows_of(hub, others)
        with contextlib.ExitStack() as stack:
            for one in traffic:
                stack.enter_context(one)
            for one in traffic:
                one.wait_for_more(DATAGRAMS // 2)
            for other in others:
                hub.run(["hipgw", "rekey", str(other.hit), "--json"])
            for one in traffic:
                one.wait_for_more(DATAGRAMS // 2)
        for one in traffic:
            one.check()
        for host in (hub, *others):
            assert not NEVER & drops(host).keys(), host.name
            assert host.ask("status")["workers"]["pairs"] == workers
            wanted = [1] * (3 if host is hub else 1)
            until(lambda h=host, w=wanted: rekeys(h) == w, lambda h=host: f"{rekeys(h)}")


def test_pinned_workers_that_poll_carry_packets_after_the_privileges_are_gone() -> None:
    options = {"pin": True, "busy_poll_us": 50, "slice_us": 350}
    with running("pinned", 2, 1, user="nobody", **options) as (hub, (other,)):
        hub.run(["ping", "-n", "-c", "1", "-W", "30", str(other.lsi)])
        shown = hub.ask("status")["workers"]
        assert (shown["pairs"], shown["pinned"], shown["busy_poll_us"]) == (2, True, 50)
        assert shown["slice_us"] == 350
        assert shown["steering_reason"] == ""
        cores = sorted(os.sched_getaffinity(0))
        expected = [cores[number % len(cores)] for number in range(4)]
        assert [thread["core"] for thread in shown["threads"]] == expected
        assert hub.daemon is not None
        tasks = [int(task.name) for task in Path(f"/proc/{hub.daemon.pid}/task").iterdir()]
        alone = [frozenset(os.sched_getaffinity(task)) for task in tasks]
        pinned = sorted(core for one in alone if len(one) == 1 for core in one)
        # Where there is one core, every thread has no other.
        assert pinned == (sorted(expected) if len(cores) > 1 else cores * len(alone))
        if GIVES_SLICES:
            assert [slice_us_of(task) for task in tasks].count(350) == len(expected)
        with NumberedFlows(hub, other, other.hit, FLOWS) as flows:
            flows.wait_for_more(DATAGRAMS)
        flows.check()
        assert (counters(other)["gave_way"] > 0) == GIVES_SLICES


def test_streams_are_not_reordered() -> None:
    """Linux counts what it takes for reordering, and tells it from loss."""
    with running("streams", 4) as (hub, others):
        with contextlib.ExitStack() as stack:
            streams = [
                stack.enter_context(CountingStream(*ends))
                for other in others
                for ends in ((hub, other), (other, hub))
            ]
            for other in others:
                carry_file(hub, other, other.hit, "off")
                carry_file(other, hub, hub.hit, "off")
            for stream in streams:
                stream.wait_for_more()
        for host in (hub, *others):
            said = host.run(["nstat", "-asz", "TcpExtTCPSACKReorder", "TcpExtTCPTSReorder"]).stdout
            counted = dict(re.findall(r"(\w+Reorder) +(\d+)", said))
            assert counted == {"TcpExtTCPSACKReorder": "0", "TcpExtTCPTSReorder": "0"}, host.name
