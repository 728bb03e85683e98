"""What the kernel's ways out and in cost, without hipgw: the bound of ESP over protocol 50.

    python -m bench.senders [--rounds N] [--seconds S] [--pairs OUT:IN,...]

Packets of 1500 octets through one veth, the sender on one core and the receiver on the other,
interleaved.  A pair is a way out (`senders.c`) and a way in (`receivers.c`, or `none`); its figures
are nanoseconds of CPU time a packet.  On a veth the receiving half of the kernel runs in the
sender's thread, or in ksoftirqd, which is counted with it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import machine
from bench.figures import ratio_line, series
from hipgw.errors import HostError
from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab

BASE: Final = "raw:raw"
"""What hipgw did first."""
PAIRS: Final = (
    BASE,
    *("header:raw", "packet:raw", "bypass:raw", "dgram:raw", "ring2:raw", "ring3:raw", "xdp:raw"),
    *("raw:lean", "raw:packet", "raw:ring3", "raw:generic", "raw:xdp", "dgram:ring3", "xdp:ring3"),
    *("udp:none", "train:none"),
)
ROUNDS: Final = 5
SECONDS: Final = 1.0
LATER_S: Final = 0.5
"""How much longer than the sender the receiver stays."""
PROGRAMS: Final = ("senders", "receivers")


@dataclass(frozen=True, slots=True)
class Crossing:
    """One run of a pair."""

    sent: int
    sender_s: float
    delivered: int
    receiver_s: float

    @property
    def ns(self) -> float:
        """CPU time of both ends for one packet that arrived."""
        return (self.sender_s + self.receiver_s) / max(self.delivered, 1) * 1e9


def softirq_s() -> float:
    """CPU seconds of every ksoftirqd so far."""
    spent_ns = 0
    for name in Path("/proc").glob("[0-9]*/comm"):
        try:
            if name.read_text().startswith("ksoftirqd/"):
                spent_ns += int(name.with_name("schedstat").read_text().split()[0])
        except OSError:  # a process that has ended
            continue
    return spent_ns / 1e9


class Wire:
    """Two namespaces and the two programs."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        """Compile the programs into a directory."""
        self._a, self._b = lab.host("a"), lab.host("b")
        self._directory = directory
        for name in PROGRAMS:
            source = Path(__file__).with_name(f"{name}.c")
            command = ["cc", "-O2", "-Wall", "-o", str(directory / name), str(source)]
            subprocess.run(command, check=True)
        (link,) = json.loads(self._b.run(["ip", "-j", "link", "show", "eth0"]).stdout)
        here, there = (address_of(host) for host in (self._a, self._b))
        self._where = [there, "eth0", link["address"], here]

    def cross(self, pair: str, seconds: float) -> Crossing:
        """Run one pair.

        Raises:
            HostError: this kernel has no such way.
        """
        out, _, in_ = pair.partition(":")
        receiver = None
        if in_ != "none":
            words = [str(self._directory / "receivers"), in_, "eth0", str(seconds + LATER_S)]
            receiver = self._b.popen(["taskset", "-c", "1", *words])
            said = receiver.stdout.readline() if receiver.stdout is not None else ""
            if said != "ready\n":
                raise HostError(f"{in_}: {said.strip()}")
        softirq_before_s = softirq_s()
        words = [str(self._directory / "senders"), out, *self._where, str(seconds)]
        sent, sender_s = self._a.run(["taskset", "-c", "0", *words]).stdout.split()
        spent_s = float(sender_s) + softirq_s() - softirq_before_s
        if receiver is None:
            return Crossing(int(sent), spent_s, int(sent), 0.0)
        taken, receiver_s, _ = receiver.communicate()[0].split()
        return Crossing(int(sent), spent_s, int(taken), float(receiver_s))


def address_of(host: LabHost) -> str:
    """The IPv4 address of its end of the wire."""
    return str(next(address for address in host.addresses if address.version == 4))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--pairs", default=",".join(PAIRS))
    asked = parser.parse_args()
    print(json.dumps(machine.describe()), end="\n\n")
    pairs = asked.pairs.split(",")
    taken: dict[str, list[Crossing]] = {pair: [] for pair in pairs}
    with tempfile.TemporaryDirectory() as directory, Lab.pair(name="bench-senders") as lab:
        wire = Wire(lab, Path(directory))
        for _ in range(asked.rounds):
            for pair in pairs:
                try:
                    taken[pair].append(wire.cross(pair, asked.seconds))
                except HostError as error:
                    print(f"{pair}: {error}")
    figures = {
        pair: series(pair, "ns", [run.ns for run in runs]) for pair, runs in taken.items() if runs
    }
    for pair, figure in figures.items():
        runs = taken[pair]
        out_ns = statistics.median(run.sender_s / run.sent for run in runs) * 1e9
        in_ns = statistics.median(run.receiver_s / max(run.delivered, 1) for run in runs) * 1e9
        lost = 1 - sum(run.delivered for run in runs) / sum(run.sent for run in runs)
        print(f"{figure}; out {out_ns:.0f}, in {in_ns:.0f}, lost {lost:.1%}")
    print()
    for pair, figure in figures.items():
        if BASE in figures and pair != BASE:
            print(ratio_line(figures[BASE], figure))


if __name__ == "__main__":
    main()
