"""What a handover and a rekey cost: packets lost, and time until traffic flows again.

    python -m bench.handover [--rounds N] [--delay-ms D]

- soft: two uplinks, both up; the default route changes sides, and the association follows.
- hard: the only address goes, another comes 0.3 s later; from then until data of *both* directions
  arrives again.  Half of the round trip is the UPDATE's way, half that of the answer.
- rekey: iperf3 sends numbered datagrams while keys are replaced again and again; rounds without
  rekeys are taken in turn with them.

Neighbour entries are fixed: address resolution would cost another round trip of the slow wire.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from ipaddress import ip_interface
from typing import Any, Final

from bench import machine
from bench.figures import Figure, goal_line, series
from bench.slow_wire import SlowWire
from hipgw.errors import HostError
from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.lab.topology import Host, Link, Port, Topology
from hipgw.netlink.rtnetlink import link_index, with_rtnetlink

NUMBER: Final = struct.Struct("!Q")
PAUSE_S: Final = 0.001
PATIENCE_S: Final = 10.0
SETTLE_S: Final = 0.4
GOAL_EXTRA_MS: Final = 50.0
IPERF_S: Final = 4
IPERF_RATE: Final = "100M"
HARD: Final = ("10.77.0.1", "10.77.0.101")


class Numbers:
    """Numbered datagrams one way, one a millisecond, with the time of each arrival."""

    def __init__(self, source: LabHost, target: LabHost) -> None:
        hit = str(target.hit)
        self.sent = 0
        self.arrived: dict[int, float] = {}
        self._is_over = threading.Event()
        self._server = target.call(lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._server.bind((hit, 0))
        self._server.settimeout(0.5)
        self._client = source.call(lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
        self._client.connect((hit, self._server.getsockname()[1]))
        self._threads = [threading.Thread(target=run) for run in (self._receive, self._send)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)
        self._client.close()
        self._server.close()

    @property
    def lost(self) -> int:
        return self.sent - len(self.arrived)

    def first_after(self, since_s: float) -> float:
        """When the first datagram that arrived after `since_s` did."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            later = [at for at in tuple(self.arrived.values())[-500:] if at > since_s]
            if later:
                return min(later)
            time.sleep(0.002)
        raise HostError("no traffic after the handover")

    def _send(self) -> None:
        while not self._is_over.is_set():
            with contextlib.suppress(OSError):  # without a route: a loss, and counted as such
                self._client.send(NUMBER.pack(self.sent))
            self.sent += 1
            time.sleep(PAUSE_S)

    def _receive(self) -> None:
        while True:
            try:
                octets = self._server.recv(64)
            except TimeoutError:
                if self._is_over.is_set():
                    return
            else:
                self.arrived[NUMBER.unpack(octets)[0]] = time.monotonic()


@contextlib.contextmanager
def both_ways(lab: Lab) -> Iterator[list[Numbers]]:
    a, b = lab.host("a"), lab.host("b")
    a.run(["ping", "-n", "-c", "1", "-W", "5", str(b.hit)])
    numbers = [Numbers(a, b), Numbers(b, a)]
    try:
        yield numbers
    finally:
        for one in numbers:
            one.stop()


def slow_topology(wires: int) -> Topology:
    """Hosts a and b, joined by so many wires that pass w."""
    links = []
    for wire in range(wires):
        for number, host in ((1, "a"), (2, "b")):
            address = ip_interface(f"10.{77 + wire}.0.{number}/24")
            middle = Port("w", f"eth{2 * wire + number - 1}")
            links.append(Link((Port(host, f"eth{wire}", (address,)), middle)))
    return Topology("slow", (Host("a"), Host("b"), Host("w", speaks_hip=False)), tuple(links))


@contextlib.contextmanager
def slow_lab(name: str, wires: int, delay_s: float, **hip: object) -> Iterator[Lab]:
    settings = {"hip": {"announce_locators": True, **hip}}
    with contextlib.ExitStack() as stack:
        lab = stack.enter_context(Lab(slow_topology(wires), name=name, settings=settings))
        for wire in range(wires):
            ends = f"eth{2 * wire}", f"eth{2 * wire + 1}"
            stack.enter_context(SlowWire(lab.host("w"), ends, delay_s))
        know_neighbours(lab, wires)
        lab.start_daemons()
        time.sleep(SETTLE_S)
        yield lab


def know_neighbours(lab: Lab, wires: int) -> None:
    a, b = lab.host("a"), lab.host("b")
    for wire in range(wires):
        for host, peer, last in ((a, b, ("2",)), (b, a, ("1", "101"))):
            said = peer.run(["ip", "-j", "link", "show", "dev", f"eth{wire}"]).stdout
            shown = json.loads(said)[0]["address"]
            for each in last:
                words = f"ip neighbour replace 10.{77 + wire}.0.{each} lladdr {shown} nud permanent"
                host.run([*words.split(), "dev", f"eth{wire}"])


def soft(rounds: int, delay_s: float) -> Figure:
    """Packets lost of both directions, round by round."""
    lost = []
    with slow_lab("bench-soft", 2, delay_s) as lab:
        a, b = lab.host("a"), lab.host("b")
        for host, last in ((a, 2), (b, 1)):
            for wire in (0, 1):
                way = f"ip route add default via 10.{77 + wire}.0.{last} dev eth{wire}"
                host.run([*way.split(), "metric", str(200 + wire)])
        time.sleep(SETTLE_S)
        for number in range(rounds):
            wire = (number + 1) % 2
            with both_ways(lab) as numbers:
                time.sleep(SETTLE_S)
                prefer(a, wire, 50 - number)
                wait_for_path(a, "local_address", f"10.{77 + wire}.0.1")
                wait_for_path(b, "peer_address", f"10.{77 + wire}.0.1")
                time.sleep(SETTLE_S)
            lost.append(float(sum(one.lost for one in numbers)))
    return series("soft handover, both links up", "lost", lost)


def prefer(host: LabHost, wire: int, metric: int) -> None:
    way = f"ip route add default via 10.{77 + wire}.0.2 dev eth{wire} metric {metric}"
    host.run(way.split())


def wait_for_path(host: LabHost, end: str, address: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        (entry,) = host.ask("associations")["associations"]
        if entry[end] == address:
            return
        time.sleep(0.02)
    raise HostError(f"{host.name} has no {end} {address}")


def hard(rounds: int, delay_s: float) -> list[Figure]:
    """Milliseconds from the new address until data arrives, either way and both."""
    times: dict[str, list[float]] = {"a to b": [], "b to a": [], "both": []}
    with slow_lab("bench-hard", 1, delay_s) as lab:
        a = lab.host("a")
        # Not for HIP: it keeps the kernel from forgetting neighbours with the last address.
        a.run(["ip", "address", "add", "10.99.0.1/32", "dev", "eth0", "scope", "link"])
        with both_ways(lab) as numbers:
            time.sleep(SETTLE_S)
            for number in range(rounds):
                going, coming = HARD[number % 2], HARD[(number + 1) % 2]
                readdress(a, "del", going)
                time.sleep(0.3)
                since_s = readdress(a, "add", coming)
                ends = [one.first_after(since_s + 1e-4) - since_s for one in numbers]
                for name, value in zip(times, (*ends, max(ends)), strict=True):
                    times[name].append(1e3 * value)
                time.sleep(1.0)
    return [series(f"hard handover, {name}", "ms", values) for name, values in times.items()]


def readdress(host: LabHost, verb: str, address: str) -> float:
    """Add or delete an address of eth0; returns when the kernel had done it (monotonic)."""

    def task(rtnetlink: Any) -> float:
        index = link_index(rtnetlink, "eth0")
        rtnetlink.addr(verb, index=index, address=address, prefixlen=24)
        return time.monotonic()

    return host.call(lambda: with_rtnetlink(f"{verb} {address}", task))


def rekeyed(rounds: int) -> list[Figure]:
    """Datagrams lost by iperf3, with rekeys and without, and rekeys in each round."""
    taken: dict[bool, list[float]] = {True: [], False: []}
    counts = []
    with Lab.pair(name="bench-rekey", encapsulation="udp") as lab:
        lab.start_daemons()
        a, b = lab.host("a"), lab.host("b")
        a.run(["ping", "-n", "-c", "1", "-W", "5", str(b.hit)])
        for _ in range(rounds):
            for is_rekeying in (False, True):
                lost, count = iperf_under_rekey(a, b, is_rekeying=is_rekeying)
                taken[is_rekeying].append(lost)
                if is_rekeying:
                    counts.append(float(count))
    return [
        series(f"iperf3 {IPERF_RATE}bit/s with rekeys", "lost", taken[True]),
        series(f"iperf3 {IPERF_RATE}bit/s without", "lost", taken[False]),
        series("rekeys in a round", "", counts),
    ]


def iperf_under_rekey(a: LabHost, b: LabHost, *, is_rekeying: bool) -> tuple[float, int]:
    serving = b.popen(["iperf3", "-s", "-1", "--forceflush", "-J"])
    time.sleep(0.5)
    words = f"iperf3 -c {b.hit} -u -b {IPERF_RATE} -l 1300 -t {IPERF_S} -w 4M -J"
    client = a.popen(words.split())
    time.sleep(0.5)
    before = a.ask("associations")["associations"][0]["rekeys"]
    while is_rekeying and client.poll() is None:
        side, peer = ((a, b), (b, a))[time.monotonic_ns() & 1]
        side.ask("rekey", target=str(peer.hit))
        time.sleep(0.05)
    said, _ = client.communicate(timeout=30)
    serving.wait(timeout=10)
    after = a.ask("associations")["associations"][0]["rekeys"]
    return float(json.loads(said)["end"]["sum"]["lost_packets"]), after - before


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--delay-ms", type=float, default=20.0, help="one way")
    options = parser.parse_args()
    delay_s, rtt_ms = options.delay_ms / 1e3, 2 * options.delay_ms
    print(machine.describe(), flush=True)
    figures = [
        soft(options.rounds, delay_s),
        *hard(options.rounds, delay_s),
        *rekeyed(max(options.rounds // 3, 2)),
    ]
    for figure in figures:
        print(figure)
    lost, _, _, both, rekey, *_ = figures
    print(goal_line(f"{lost.name}, worst round", max(lost.rounds), 0, "lost"))
    print(goal_line(f"{both.name} ({rtt_ms:g} ms + 50)", both.median, rtt_ms + GOAL_EXTRA_MS, "ms"))
    print(goal_line(f"{rekey.name}, worst round", max(rekey.rounds), 0, "lost"))


if __name__ == "__main__":
    main()
