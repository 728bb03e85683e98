"""Netfilter queues: our driver against the `netfilterqueue` callback, and interception against TUN.

    python -m bench.nfqueue [--rounds N] [--seconds S] [--json FILE]

The driver alone, and packets that are forwarded behind it:

    sender eth0 ---- eth0 middle eth1 ---- eth0 sink
                 PREROUTING: NFQUEUE, then DROP
                 FORWARD: NFQUEUE

The sender makes trains of datagrams, which its own kernel cuts before the wire: loose packets, in
bursts.  A consumer, one process in the middle, sends every one back changed, with another traffic
class and header checksum; one callback gives back what it got, for comparison.  What counts are
packets per second of the consumer's CPU time, user and system.  Alone, changed packets are dropped
right behind the queue and counted there; forwarded, that CPU time contains what the kernel does in
the wake of a verdict, as far as the sink, which verifies every checksum.

Interception: two pairs of daemons, one reads its interface, one queues; TCP, one stream, MTU 1500.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_interface
from pathlib import Path
from subprocess import Popen

from bench import machine
from bench.figures import Figure, goal_line, ratio_line, series
from bench.iperf import tcp_mbit_per_s
from hipgw.errors import HostError
from hipgw.lab.configs import EncapsulationName
from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.lab.readiness import wait_for_words
from hipgw.lab.topology import Host, Link, Port, Topology

QUEUE = 77
PORT = 7777
SINK = "10.79.1.2"
SIZE = 64
PACKETS_PER_S = 400_000
TRAIN_PACKETS = 40
ROLES = ("all", "callback", "giving", "batch", "gso", "send", "sink")
INTERCEPTIONS = ("udp", "udp, LSI", "raw", "raw, LSI")
CHANGED_CLASS = 0x20
UDP_SEGMENT = 103
SO_ATTACH_FILTER = 26
LINGER_S = 1.0
NFQUEUE = {"datapath": {"intercept": "nfqueue"}}


def say(line: str = "") -> None:
    print(line, flush=True)


# --- the three processes ---


def spent_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def with_changed_class(octets: bytes) -> bytes:
    """An IPv4 packet with another traffic class, its checksum adjusted (RFC 1624)."""
    removed = octets[0] << 8 | octets[1]
    added = octets[0] << 8 | CHANGED_CLASS
    total = (~(octets[10] << 8 | octets[11]) & 0xFFFF) + (~removed & 0xFFFF) + added
    total = (total & 0xFFFF) + (total >> 16)
    total = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    changed = bytearray(octets)
    changed[1] = CHANGED_CLASS
    changed[10] = total >> 8
    changed[11] = total & 0xFF
    return bytes(changed)


def consume_by_callback(seconds: float, *, changes: bool) -> tuple[float, float]:
    """(packets, CPU seconds) of the netfilterqueue package."""
    from netfilterqueue import NetfilterQueue, Packet  # noqa: PLC0415

    class Over(Exception):  # noqa: N818 - not an error
        pass

    seen = 0

    def change(packet: Packet) -> None:
        nonlocal seen
        seen += 1
        packet.set_payload(with_changed_class(packet.get_payload()))
        packet.accept()

    def give_back(packet: Packet) -> None:
        nonlocal seen
        seen += 1
        packet.set_payload(packet.get_payload())
        packet.accept()

    def on_alarm(*_: object) -> None:
        raise Over

    bound = NetfilterQueue()
    bound.bind(QUEUE, change if changes else give_back, 8192, sock_len=8 << 20)
    say("ready")
    signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    before = spent_s()
    with contextlib.suppress(Over):
        bound.run()
    return seen, spent_s() - before


def consume_by_driver(seconds: float, *, gso: bool, size: int) -> tuple[float, float]:
    """The same of our driver; packets as they are on the wire, whatever they came in."""
    from hipgw._fastpath.nfq import PacketQueue  # noqa: PLC0415
    from hipgw.drivers.nfqueue import open_queue  # noqa: PLC0415

    with open_queue(QUEUE, gso=gso) as opened:
        packets = PacketQueue(opened.fileno())
        say("ready")
        before = spent_s()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            packets.serve(20_000, traffic_class=CHANGED_CLASS, idle_ms=200)
        counted = packets.counters()
        on_wire = (counted["octets"] - 28 * counted["received"]) / size
        return on_wire, spent_s() - before


def send(size: int, seconds: float) -> None:
    """Offer PACKETS_PER_S; a flood would leave the consumer no CPU on a small machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        opened.connect((SINK, PORT))
        opened.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, size)
        payload = bytes(size * TRAIN_PACKETS)
        now = begin = time.monotonic()
        sent = 0
        while now < begin + seconds:
            if sent > (now - begin) * PACKETS_PER_S:
                now = time.monotonic()
                continue
            with contextlib.suppress(OSError):
                opened.send(payload)
            sent += TRAIN_PACKETS


def sink() -> None:
    """Verify the checksum of every datagram and throw it away: a filter makes the kernel do it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        drop_all = struct.pack("=HBBI", 6, 0, 0, 0)  # BPF: return 0
        import ctypes  # noqa: PLC0415

        program = ctypes.create_string_buffer(drop_all)
        opened.setsockopt(
            socket.SOL_SOCKET,
            SO_ATTACH_FILTER,
            struct.pack("HxxxxxxP", 1, ctypes.addressof(program)),
        )
        opened.bind((SINK, PORT))
        say("ready")
        sys.stdin.read()


# --- the driver alone ---


def three_hosts() -> Topology:
    def port(host: str, interface: str, text: str) -> Port:
        return Port(host, interface, (ip_interface(text),))

    left = port("sender", "eth0", "10.79.0.1/24"), port("middle", "eth0", "10.79.0.2/24")
    right = port("middle", "eth1", "10.79.1.1/24"), port("sink", "eth0", f"{SINK}/24")
    names = ("sender", "middle", "sink")
    return Topology("queue", tuple(Host(n, speaks_hip=False) for n in names),
                    (Link(left), Link(right)))  # fmt: skip


@contextlib.contextmanager
def course(*, forwards: bool) -> Iterator[Lab]:
    with Lab(three_hosts(), name="bench-nfqueue") as lab:
        middle = lab.host("middle")
        middle.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
        udp = ["-i", "eth0", "-p", "udp", "--dport", str(PORT)]
        queue = ["-j", "NFQUEUE", "--queue-num", str(QUEUE)]
        if forwards:
            middle.run(["iptables", "-A", "FORWARD", *udp, *queue])
        else:
            middle.run(["iptables", "-t", "raw", "-A", "PREROUTING", *udp, *queue])
            middle.run(["iptables", "-t", "mangle", "-P", "PREROUTING", "DROP"])
        lab.host("sender").run(["ip", "route", "add", "default", "via", "10.79.0.2"])
        lab.host("sender").run(["ethtool", "-K", "eth0", "tx-udp-segmentation", "off", "sg", "off"])
        lab.host("sink").run(["ip", "route", "add", "default", "via", "10.79.1.1"])
        yield lab


def prove_changes(lab: Lab, consumer: str) -> None:
    """A short run in which changed packets are counted; no such rule is there in the others."""
    middle = lab.host("middle")
    rule = ["PREROUTING", "-m", "tos", "--tos", f"{CHANGED_CLASS:#x}", "-j", "DROP"]
    middle.run(["iptables", "-t", "mangle", "-A", *rule])
    passed, _ = consumed(lab, consumer, 0.5)
    listed = middle.run(["iptables", "-t", "mangle", "-L", "PREROUTING", "-vxn"]).stdout
    [row] = [line for line in listed.splitlines() if "tos" in line.lower()]
    middle.run(["iptables", "-t", "mangle", "-D", *rule])
    # A train has one header for all its packets.
    if int(row.split()[1]) < 0.9 * passed * SIZE:
        raise HostError(f"{consumer} passed {passed:.0f} packets, not all of them changed: {row}")


def udp_counters(host: LabHost) -> dict[str, int]:
    rows = [line.split()[1:] for line in host.call(snmp).splitlines() if line.startswith("Udp:")]
    return dict(zip(rows[0], map(int, rows[1]), strict=True))


def snmp() -> str:
    return Path("/proc/thread-self/net/snmp").read_text()


def myself(host: LabHost, *arguments: str) -> Popen[str]:
    return host.popen([sys.executable, "-m", "bench.nfqueue", *arguments], stdin=-1)


@contextlib.contextmanager
def checked_by_sink(lab: Lab) -> Iterator[None]:
    swallowing = myself(lab.host("sink"), "--role", "sink")
    wait_for_words(swallowing, "ready", patience_s=10)
    before = udp_counters(lab.host("sink"))
    yield
    after = udp_counters(lab.host("sink"))
    swallowing.communicate("", timeout=10)
    wrong = after["InCsumErrors"] - before["InCsumErrors"]
    if wrong or after["InErrors"] == before["InErrors"]:
        raise HostError(f"{wrong} datagrams with a wrong checksum came to the sink, or none at all")


def consumed(lab: Lab, consumer: str, seconds: float) -> tuple[float, float]:
    """(packets, CPU seconds)."""
    gro = "on" if consumer == "gso" else "off"
    middle = lab.host("middle")
    middle.run(["ethtool", "-K", "eth0", "gro", gro, "rx-udp-gro-forwarding", gro])
    options = ["--size", str(SIZE), "--seconds", str(seconds)]
    taking = myself(middle, "--role", consumer, *options)
    wait_for_words(taking, "ready", patience_s=10)
    options[-1] = str(seconds + LINGER_S)
    sending = myself(lab.host("sender"), "--role", "send", *options)
    said, _ = taking.communicate(timeout=seconds + 60)
    sending.communicate(timeout=60)
    passed, cpu_s = json.loads(said.splitlines()[-1])
    return float(passed), float(cpu_s)


def one_run(lab: Lab, consumer: str, seconds: int, *, forwards: bool) -> float:
    """Packets per CPU second."""
    with checked_by_sink(lab) if forwards else contextlib.nullcontext():
        passed, cpu_s = consumed(lab, consumer, seconds)
    return passed / cpu_s


def driver(rounds: int, seconds: int, *, forwards: bool) -> list[Figure]:
    consumers = {
        "callback": "callback",
        "callback that changes nothing": "giving",
        "driver": "batch",
        "driver, trains": "gso",
    }
    way = "forwarded" if forwards else "alone"
    taken: dict[str, list[float]] = {name: [] for name in consumers}
    with course(forwards=forwards) as lab:
        if not forwards:
            for consumer in ("callback", "batch", "gso"):
                prove_changes(lab, consumer)
        for number in range(rounds):
            for name, consumer in consumers.items():
                found = one_run(lab, consumer, seconds, forwards=forwards) / 1e3
                taken[name].append(found)
                say(f"  round {number + 1} of {rounds}: {name:<30} {found:8.0f} k per CPU second")
    return [series(f"{name}, {way}", "k/CPU s", values) for name, values in taken.items()]


# --- interception ---


def interception(rounds: int, seconds: int, encapsulation: EncapsulationName) -> list[Figure]:
    taken: dict[str, list[float]] = {}
    with (
        Lab.pair(name="bench-tun", encapsulation=encapsulation) as tun,
        Lab.pair(name="bench-queue", encapsulation=encapsulation, settings=NFQUEUE) as queue,
    ):
        tun.start_daemons()
        queue.start_daemons()

        def between(lab: Lab, lsi: bool = False) -> float:
            b = lab.host("b")
            return tcp_mbit_per_s(lab.host("a"), b, str(b.lsi if lsi else b.hit), seconds)

        runs: dict[str, Callable[[], float]] = {
            f"tun, {encapsulation}": lambda: between(tun),
            f"nfqueue, {encapsulation}": lambda: between(queue),
            f"tun, {encapsulation}, LSI": lambda: between(tun, lsi=True),
            f"nfqueue, {encapsulation}, LSI": lambda: between(queue, lsi=True),
        }
        for number in range(rounds):
            for name, run in runs.items():
                value = run()
                taken.setdefault(name, []).append(value)
                say(f"  round {number + 1} of {rounds}: {name:<18} {value:8.0f} Mbit/s")
        [row] = [c for c in queue.host("a").ask("doctor")["checks"] if c["name"] == "intercept"]
        say(f"  {row['detail']}")
    return [series(name, "Mbit/s", values) for name, values in taken.items()]


def ratio_of(figures: dict[str, Figure], ours: str, theirs: str) -> float:
    return figures[ours].median / figures[theirs].median


def run_all(options: argparse.Namespace) -> None:
    described = machine.describe()
    say("  ".join(f"{key} {value}" for key, value in described.items()))
    figures: list[Figure] = []
    for forwards in (False, True):
        say(f"{SIZE} octets in UDP, " + ("forwarded" if forwards else "the driver alone"))
        figures += driver(options.rounds, options.seconds, forwards=forwards)
    encapsulations: tuple[EncapsulationName, ...] = ("udp", "raw")
    for encapsulation in encapsulations:
        say(f"interception, TCP, one stream, MTU 1500, {encapsulation}")
        figures += interception(options.rounds, options.seconds, encapsulation)
    say()
    by_name = {figure.name: figure for figure in figures}
    for figure in figures:
        say(str(figure))
    say()
    ratios = [
        *((f"{ours}, {way}", f"{theirs}, {way}")
          for way in ("alone", "forwarded")
          for theirs in ("callback", "callback that changes nothing")
          for ours in ("driver", "driver, trains")),
        *((f"nfqueue, {way}", f"tun, {way}") for way in INTERCEPTIONS),
    ]  # fmt: skip
    for ours, theirs in ratios:
        say(ratio_line(by_name[ours], by_name[theirs]))
    say()
    goals = [
        ("driver, alone", "callback, alone", 2.8),
        ("driver, trains, alone", "callback, alone", 7.0),
        *((f"nfqueue, {way}", f"tun, {way}", 0.5) for way in INTERCEPTIONS),
    ]
    for ours, theirs, goal in goals:
        value = ratio_of(by_name, ours, theirs)
        say(goal_line(f"{ours} / {theirs}", value, goal, "", at_most=False))
    if options.json:
        document = {"machine": described, "figures": [figure.as_json() for figure in figures]}
        options.json.write_text(json.dumps(document, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--role", choices=ROLES,
                        default="all", help=argparse.SUPPRESS)  # fmt: skip
    parser.add_argument("--size", type=int, default=SIZE, help=argparse.SUPPRESS)
    options = parser.parse_args()
    match options.role:
        case "all":
            options.seconds = int(options.seconds)
            run_all(options)
        case "callback" | "giving" as role:
            say(json.dumps(consume_by_callback(options.seconds, changes=role == "callback")))
        case "batch" | "gso" as role:
            say(json.dumps(consume_by_driver(
                options.seconds, gso=role == "gso", size=options.size)))  # fmt: skip
        case "send":
            send(options.size, options.seconds)
        case "sink":
            sink()


if __name__ == "__main__":
    main()
