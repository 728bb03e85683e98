"""What the kernel's ways out cost, without hipgw: the bound of ESP over protocol 50.

    python -m bench.senders [--rounds N] [--seconds S]

Packets of 1500 octets through one veth, by the CPU time of the sending thread, interleaved:
sendmmsg on a raw socket (what hipgw does for protocol 50), AF_PACKET behind routing and netfilter,
sendmmsg on a UDP socket, and trains of UDP_SEGMENT (what hipgw does over UDP).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from bench import machine
from bench.figures import ratio_line, series
from hipgw.lab.network import Lab

WAYS: Final = ("raw", "packet", "udp", "train")
ROUNDS = 5
SECONDS = 1.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    asked = parser.parse_args()
    print(json.dumps(machine.describe()), end="\n\n")
    with tempfile.TemporaryDirectory() as directory, Lab.pair(name="bench-senders") as lab:
        program = Path(directory) / "senders"
        source = Path(__file__).with_name("senders.c")
        subprocess.run(["cc", "-O2", "-o", str(program), str(source)], check=True)
        a, b = lab.host("a"), lab.host("b")
        here, there = (next(x for x in one.addresses if x.version == 4) for one in (a, b))
        (link,) = json.loads(b.run(["ip", "-j", "link", "show", "eth0"]).stdout)
        rates: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(asked.rounds):
            for way in WAYS:
                words = [way, str(there), "eth0", link["address"], str(here), str(asked.seconds)]
                packets, cpu_s = a.run([str(program), *words]).stdout.split()
                rates[way].append(int(packets) / float(cpu_s) / 1e3)
    figures = {way: series(f"{way}, 1500 octets", "k/CPU s", rates[way]) for way in WAYS}
    for figure in figures.values():
        print(figure)
    print()
    for way in ("packet", "udp", "train"):
        print(ratio_line(figures[way], figures["raw"]))


if __name__ == "__main__":
    main()
