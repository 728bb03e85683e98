"""`make bench`: the figures of this machine, each beside its goal.

    python -m bench.run [--rounds N] [--seconds S] [--json FILE]

Base exchange and start-up are medians; throughput is taken in interleaved rounds on one veth and
compared round by round, so that noise common to all cancels.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import machine
from bench.figures import Figure, goal_line, ratio_line, series
from bench.iperf import tcp_mbit_per_s
from hipgw.errors import HostError
from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.perf.bex import first_ping_ms
from hipgw.perf.rivals.wireguard_go import WireguardGo

BASE_EXCHANGES = 21
READY_PATIENCE_S = 15.0
STATUS_CALLS = 21


def say(line: str = "") -> None:
    print(line, flush=True)


def base_exchange(lab: Lab, encapsulation: str) -> Figure:
    """First packet to first ESP reply, as the first ping of a fresh association sees it."""
    times = [first_ping_ms(lab) for _ in range(BASE_EXCHANGES)]
    return series(f"base exchange, {encapsulation}, first packet to reply", "ms", times)


def start_up(rounds: int) -> list[Figure]:
    """Daemon ready, `hipgw status`, resident memory idle."""
    ready, status, resident = [], [], []
    for number in range(rounds):
        with Lab.pair(name=f"bench-start-{number}") as lab:
            a = lab.host("a")
            ready.append(ready_ms(a))
            for _ in range(STATUS_CALLS // rounds + 1):
                begin = time.perf_counter()
                a.run(["hipgw", "status"])
                status.append((time.perf_counter() - begin) * 1e3)
            resident.append(a.ask("status")["host"]["rss_octets"] / 1e6)
    return [
        series("daemon ready", "ms", ready),
        series("hipgw status, interpreter included", "ms", status),
        series("resident memory, idle", "MB", resident),
    ]


def ready_ms(host: LabHost) -> float:
    """From the start of the process to the first answer on its control socket; one daemon."""
    begin = time.perf_counter()
    host.start_daemon()
    while time.perf_counter() - begin < READY_PATIENCE_S:
        try:
            host.ask("status", timeout_s=2)
        except HostError:
            time.sleep(0.002)
        else:
            return (time.perf_counter() - begin) * 1e3
    raise HostError(f"the daemon of {host.name} is not ready: {host.log_tail()}")


def throughput(rounds: int, seconds: int) -> list[Figure]:
    """TCP, one stream: bare veth, hipgw over UDP and raw ESP, wireguard-go; interleaved."""
    taken: dict[str, list[float]] = {}
    with (
        Lab.pair(name="bench-udp", encapsulation="udp") as udp,
        Lab.pair(name="bench-raw", encapsulation="raw") as raw,
        tempfile.TemporaryDirectory() as directory,
    ):
        udp.start_daemons()
        raw.start_daemons()
        with WireguardGo().tunnel(udp, Path(directory), 1500) as rival:
            runs: dict[str, Callable[[], float]] = {
                "bare veth": lambda: between(udp, str(udp.host("b").addresses[0]), seconds),
                "hipgw udp": lambda: between(udp, str(udp.host("b").hit), seconds),
                "hipgw raw": lambda: between(raw, str(raw.host("b").hit), seconds),
                "hipgw udp, LSI": lambda: between(udp, str(udp.host("b").lsi), seconds),
                "wireguard-go": lambda: between(udp, rival.destination, seconds),
            }
            for number in range(rounds):
                for name, run in runs.items():
                    value = run()
                    taken.setdefault(name, []).append(value)
                    say(f"  round {number + 1} of {rounds}: {name:<16} {value:8.0f} Mbit/s")
    return [series(name, "Mbit/s", values) for name, values in taken.items()]


def between(lab: Lab, destination: str, seconds: int) -> float:
    return tcp_mbit_per_s(lab.host("a"), lab.host("b"), destination, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    described = machine.describe()
    say("  ".join(f"{key} {value}" for key, value in described.items()))

    say("start-up")
    figures = start_up(options.rounds)
    for encapsulation in ("raw", "udp"):
        with Lab.pair(name=f"bench-bex-{encapsulation}", encapsulation=encapsulation) as lab:
            lab.start_daemons()
            figures.append(base_exchange(lab, encapsulation))
    say("throughput, TCP, one stream, MTU 1500")
    figures += throughput(options.rounds, options.seconds)

    say()
    by_name = {figure.name: figure for figure in figures}
    for figure in figures:
        say(str(figure))
    say()
    for name in ("hipgw udp", "hipgw raw", "hipgw udp, LSI"):
        say(ratio_line(by_name[name], by_name["wireguard-go"]))
        say(ratio_line(by_name[name], by_name["bare veth"]))
    say()
    say(goal_line("daemon ready", by_name["daemon ready"].median, 500, "ms"))
    status = by_name["hipgw status, interpreter included"].median
    say(goal_line("hipgw status", status, 150, "ms"))
    say(goal_line("resident", by_name["resident memory, idle"].median, 80, "MB"))
    for figure in figures:
        if figure.name.startswith("base exchange"):
            say(goal_line(figure.name, figure.median, 30, "ms"))
    rival = by_name["wireguard-go"].median
    for name in ("hipgw udp", "hipgw raw"):
        ratio = by_name[name].median / rival
        say(goal_line(f"{name} / wireguard-go", ratio, 1.0, "", at_most=False))
    if options.json:
        document = {"machine": described, "figures": [figure.as_json() for figure in figures]}
        options.json.write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
