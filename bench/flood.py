"""A flood of I1s: what answering costs, and whether an honest peer still gets through.

    python -m bench.flood [--rounds N] [--seconds S] [--exchanges N]

Two namespaces and a veth; the flood comes from `a`, over UDP, from a spread of source addresses,
each datagram with another HIT; it ends by itself. A daemon runs in both.

R1s a second and core: what the inbound worker of `b` answered, by its CPU time, limits out of the
way; beside it, in turns, the same datagrams against a bare echo in C (udp_echo.c).

An honest peer: `a` begins base exchanges with `b`, one after the other, while the flood fills the
socket, with the default limits. Its address is one that `b` has not answered in the last seconds:
that, or a flood that leaves room, is what the limits can tell it by.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from bench import machine
from bench.figures import Figure, goal_line, ratio_line, series
from hipgw.errors import HostError
from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.values import Hit
from hipgw.wire import DhGroupList, HipPacket, PacketType, emit_packet

ROUNDS = 5
SECONDS = 3
EXCHANGES = 100
SPREADS: Final = (256, 8192, 65_536, 1_000_000)
"""Source addresses: fewer than the table of the limiter holds, or more."""
ANSWER_SPREAD: Final = 65_536
GOAL_SPREADS: Final = (8192, 65_536, 1_000_000)
ECHO_PORT = 10501
HIP_PORT = 10500
FIRST_SOURCE = "100.64.0.0"
FIRST_HONEST = "100.127.0.1"
SOURCES = "100.64.0.0/10"
FLOOD_S = 50
PATIENCE_S = 20.0
HIT_TAIL_AT = 4 + 8 + 12
"""Where the last octets of the sender's HIT are, behind the marker."""
NO_LIMITS: Final = {"hip": {"r1_per_second": 1e7, "r1_per_source_per_second": 1e7}}
GOAL_RATIO = 0.5
GOAL_S = 1.0
GOAL_PERCENT = 99.0


def say(line: str = "") -> None:
    print(line, flush=True)


def build(directory: Path) -> dict[str, str]:
    """Compile the two programs."""
    made = {}
    for name in ("udp_echo", "udp_flood"):
        source, target = Path(__file__).with_name(f"{name}.c"), directory / name
        subprocess.run(["cc", "-O2", "-o", str(target), str(source)], check=True)
        made[name] = str(target)
    return made


def spread_sources(lab: Lab) -> None:
    """Every address of SOURCES is one of `a`, and `b` knows the way back."""
    a, b = lab.host("a"), lab.host("b")
    a.run(["ip", "route", "add", "local", SOURCES, "dev", "lo"])
    b.run(["ip", "route", "add", SOURCES, "via", str(address_of(a))])


def address_of(host: LabHost) -> object:
    return next(address for address in host.addresses if address.version == 4)


class Flood:
    """Sends I1s to a port of `b`."""

    def __init__(self, lab: Lab, program: str) -> None:
        self._a, self._b, self._program = lab.host("a"), lab.host("b"), program
        stranger = Hit(bytes.fromhex("20010022") + os.urandom(12))
        i1 = HipPacket(PacketType.I1, stranger, lab.host("b").hit, (DhGroupList((7, 8, 9, 4)),))
        self._octets = bytes(4) + emit_packet(i1)

    def start(self, port: int, seconds: float, sources: int) -> subprocess.Popen[str]:
        words = [str(address_of(self._b)), str(port), FIRST_SOURCE, str(sources), str(seconds)]
        return self._a.popen([self._program, *words, "0", str(HIT_TAIL_AT), self._octets.hex()])


def sent_of(flood: subprocess.Popen[str]) -> float:
    """Datagrams a second of a flood that ends now."""
    said, _ = flood.communicate(timeout=90)
    sent, _, took_s = said.split()
    return int(sent) / float(took_s)


def pid_of(host: LabHost) -> int:
    """Of its daemon."""
    daemon = host.daemon
    if daemon is None:
        raise HostError(f"no daemon on {host.name}")
    return daemon.pid


def thread_times(pid: int) -> dict[int, float]:
    """CPU seconds of each thread of a process."""
    tick = os.sysconf("SC_CLK_TCK")
    times = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        times[int(task.name)] = (int(fields[11]) + int(fields[12])) / tick
    return times


def answered_per_core(lab: Lab, flood: Flood, seconds: int) -> tuple[float, float]:
    """R1s of `b` by the CPU time of the thread that worked most; share of I1s that it answered."""
    b = lab.host("b")
    before_s, before = thread_times(pid_of(b)), strangers(b)
    running = flood.start(HIP_PORT, seconds, ANSWER_SPREAD)
    rate = sent_of(running)
    after, after_s = strangers(b), thread_times(pid_of(b))
    busiest_s = max(after_s[thread] - before_s.get(thread, 0.0) for thread in after_s)
    answered = after["r1_sent"] - before["r1_sent"]
    return answered / busiest_s, answered / (rate * seconds)


def echoed_per_core(lab: Lab, flood: Flood, program: str, seconds: int) -> tuple[float, float]:
    """The same for the echo."""
    echo = lab.host("b").popen([program, str(ECHO_PORT)])
    if echo.stdout is None or echo.stdout.readline() != "ready\n":
        raise HostError("the echo did not start")
    rate = sent_of(flood.start(ECHO_PORT, seconds, ANSWER_SPREAD))
    echo.terminate()
    said, _ = echo.communicate(timeout=10)
    echoed, cpu_s = said.split()
    return int(echoed) / float(cpu_s), int(echoed) / (rate * seconds)


def answering(programs: Mapping[str, str], rounds: int, seconds: int) -> tuple[Figure, Figure]:
    """R1s and echoes a second and core, in turns."""
    taken: dict[str, list[float]] = {}
    with Lab.pair(name="bench-flood", encapsulation="udp", settings=NO_LIMITS) as lab:
        spread_sources(lab)
        lab.start_daemons()
        flood = Flood(lab, programs["udp_flood"])
        runs: dict[str, Callable[[], tuple[float, float]]] = {
            "bare echo": lambda: echoed_per_core(lab, flood, programs["udp_echo"], seconds),
            "R1s": lambda: answered_per_core(lab, flood, seconds),
        }
        for number in range(rounds):
            for name, run in runs.items():
                value, share = run()
                taken.setdefault(name, []).append(value / 1e3)
                say(
                    f"  round {number + 1} of {rounds}: {name:<10} {value / 1e3:8.0f} k/s and core,"
                    f" {100 * share:.0f} % of what was sent"
                )
    return (
        series("R1s a second and core", "k/s", taken["R1s"]),
        series("bare echo a second and core", "k/s", taken["bare echo"]),
    )


def honest(programs: Mapping[str, str], sources: int, exchanges: int) -> tuple[list[float], str]:
    """Seconds of each base exchange of `a` during a flood; and a line on the flood."""
    took: list[float] = []
    spent_s = came = went = lost = 0.0
    with Lab.pair(name="bench-honest", encapsulation="udp") as lab:
        spread_sources(lab)
        lab.start_daemons()
        a, b = lab.host("a"), lab.host("b")
        flood = Flood(lab, programs["udp_flood"])
        while len(took) < exchanges:
            running = flood.start(HIP_PORT, FLOOD_S, sources)
            time.sleep(0.5)
            before, lost_before, begin = strangers(b), lost_at_socket(b), time.monotonic()
            while running.poll() is None and len(took) < exchanges:
                move_to_fresh_address(a, b, len(took))
                took.append(exchange_s(a, b))
            after, elapsed_s = strangers(b), time.monotonic() - begin
            running.terminate()
            running.communicate(timeout=10)
            came += after["i1_received"] - before["i1_received"]
            went += after["r1_sent"] - before["r1_sent"]
            lost += lost_at_socket(b) - lost_before
            spent_s += elapsed_s
    came, went, lost = (value / spent_s / 1e3 for value in (came, went, lost))
    return took, (
        f"{sources} sources: {came + lost:.0f} k I1s a second, {lost:.0f} k of them lost at the"
        f" socket; {went:.1f} k R1s went out"
    )


def strangers(host: LabHost) -> dict[str, int]:
    """I1s and R1s of a daemon so far."""
    answer: dict[str, int] = host.ask("status")["strangers"]
    return answer


def lost_at_socket(host: LabHost) -> int:
    """Datagrams that the kernel dropped because the buffer of HIP's UDP port was full."""
    lines = Path(f"/proc/{pid_of(host)}/net/udp").read_text().splitlines()[1:]
    port = f":{HIP_PORT:04X}"
    return sum(int(line.split()[-1]) for line in lines if line.split()[1].endswith(port))


def move_to_fresh_address(a: LabHost, b: LabHost, number: int) -> None:
    """From now on `a` speaks to `b` from an address that has not been answered before."""
    there = str(address_of(b))
    fresh = str(IPv4Address(FIRST_HONEST) + number)
    a.run(["ip", "route", "replace", there, "dev", a.interfaces[0], "src", fresh])


def exchange_s(a: LabHost, b: LabHost) -> float:
    """One base exchange from nothing, as the daemon of the Initiator measures it."""
    try:
        answer = a.ask("connect", target=str(b.hit), wait_s=20.0, timeout_s=30.0)
    except HostError:
        return PATIENCE_S
    a.ask("close", target=str(b.hit))
    deadline = time.monotonic() + PATIENCE_S
    while not is_closed(a) and time.monotonic() < deadline:
        time.sleep(0.01)
    return float(answer["took_s"])


def is_closed(host: LabHost) -> bool:
    """Whether it is through with its peers, so that a new exchange begins from nothing."""
    return not {"ESTABLISHED", "R2-SENT", "CLOSING"} & {
        peer["state"] for peer in host.ask("peers")["peers"]
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=int, default=SECONDS, help="of each flood")
    parser.add_argument("--exchanges", type=int, default=EXCHANGES)
    options = parser.parse_args()
    say(str(machine.describe()))
    with tempfile.TemporaryDirectory() as directory:
        programs = build(Path(directory))
        ours, echo = answering(programs, options.rounds, options.seconds)
        say()
        for figure in (ours, echo):
            say(str(figure))
        say(ratio_line(ours, echo))
        ratio = statistics.median(a / b for a, b in zip(ours.rounds, echo.rounds, strict=True))
        say(goal_line("R1s / bare echo", ratio, GOAL_RATIO, "", at_most=False))
        for sources in SPREADS:
            took, line = honest(programs, sources, options.exchanges)
            say()
            say(line)
            say(str(series("base exchange during the flood", "ms", [1e3 * one for one in took])))
            share = 100 * sum(one < GOAL_S for one in took) / len(took)
            if sources in GOAL_SPREADS:
                say(goal_line(f"under {GOAL_S:g} s", share, GOAL_PERCENT, "%", at_most=False))
            else:
                say(f"under {GOAL_S:g} s: {share:.0f} %")


if __name__ == "__main__":
    main()
