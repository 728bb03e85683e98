"""The part of `bench.kernel` that runs in the guest: the kernel's tables there are ours.

By hand means `ip xfrm` with the same suite and the same outer addresses, no daemon running: states
and policies in both namespaces for addresses of a dummy device, whose MTU is that of hip0.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.figures import Figure, ratio_line, series
from bench.iperf import tcp_mbit_per_s
from bench.kernel_tables import MANY_SUITE, ManyFigures, install_many, set_up_times
from hipgw.dataplane.kernel_suites import probe_kernel
from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.values import EspSuite

PATIENCE_S = 120.0
POLL_S = 0.05
HAND = "by hand"
KERNEL = "hipgw, kernel"
USER = "hipgw, user space"
BARE = "bare veth"
INNER = "fd99::1", "fd99::2"
SPIS = "0x1001", "0x2002"
SUITES = (EspSuite.AES_GCM_16, EspSuite.AES_128_CBC_HMAC_SHA256)
"""What an ordinary daemon asks about, or less."""
PROBES = 11


def say(line: str) -> None:
    print(line, flush=True)


# --- throughput ---


@contextlib.contextmanager
def by_hand(lab: Lab, mtu: int) -> Iterator[str]:
    """States and policies as a person would make them; the address of the far end."""
    hosts = lab.host("a"), lab.host("b")
    keys = [secrets.token_hex(20) for _ in hosts]
    outer = [str(host.addresses[0]) for host in hosts]
    for number, host in enumerate(hosts):
        run(host, "link add hand0 type dummy")
        run(host, f"link set hand0 up mtu {mtu}")
        run(host, f"address add {INNER[number]}/64 dev hand0 nodad")
        for way in (0, 1):
            ends = f"src {outer[way]} dst {outer[1 - way]}"
            inner = f"src {INNER[way]} dst {INNER[1 - way]}"
            cipher = f"aead rfc4106(gcm(aes)) 0x{keys[way]} 128"
            template = "proto esp reqid 7 mode beet"
            state = f"{ends} proto esp spi {SPIS[way]} reqid 7 mode beet replay-window 32"
            run(host, f"xfrm state add {state} {cipher} sel {inner}")
            direction = "out" if way == number else "in"
            run(host, f"xfrm policy add {inner} dir {direction} tmpl {ends} {template}")
    try:
        yield INNER[1]
    finally:
        for host in hosts:
            run(host, "link delete hand0")
            run(host, "xfrm policy flush")
            run(host, "xfrm state flush")


def run(host: LabHost, words: str) -> None:
    host.run(["ip", *words.split()])


@contextlib.contextmanager
def daemons(lab: Lab) -> Iterator[tuple[LabHost, LabHost]]:
    """Both daemons with an association in the kernel; they are gone afterwards."""
    a, b = lab.host("a"), lab.host("b")
    lab.start_daemons(patience_s=PATIENCE_S)
    a.run(["ping", "-n", "-c", "1", "-W", "20", str(b.hit)])
    wait_for_carriers(a, b, "kernel")
    try:
        yield a, b
    finally:
        for host in (a, b):
            if host.daemon is not None:
                os.kill(host.daemon.pid, signal.SIGTERM)
        wait_until(lambda: a.daemon is None and b.daemon is None)


def carriers(host: LabHost) -> set[str]:
    """Of the present keys."""
    [view] = host.ask("associations", timeout_s=PATIENCE_S)["associations"]
    present = {view["spi_in"], view["spi_out"]}
    entries = host.ask("sas", timeout_s=PATIENCE_S)["sas"]
    return {entry["carrier"] for entry in entries if entry["spi"] in present}


def wait_for_carriers(a: LabHost, b: LabHost, carrier: str) -> None:
    wait_until(lambda: carriers(a) == carriers(b) == {carrier})


def wait_until(question: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not question():
        if time.monotonic() >= deadline:
            raise SystemExit(f"not within {PATIENCE_S:g} s")
        time.sleep(POLL_S)


@dataclass
class Taken:
    """Mbit/s by contestant, a value for each round."""

    rounds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        self.rounds.setdefault(name, []).append(value)
        say(f"  {name:<20} {value:8.1f} Mbit/s")

    def figures(self) -> list[Figure]:
        return [series(name, "Mbit/s", values) for name, values in self.rounds.items()]


def hipgw_round(lab: Lab, taken: Taken, seconds: int) -> int:
    """Daemons come and go; one run in the kernel, one in user space.  The MTU of hip0."""
    with daemons(lab) as (a, b):
        taken.add(KERNEL, tcp_mbit_per_s(a, b, str(b.hit), seconds))
        for host, peer in ((a, b), (b, a)):
            words = ["hipgw", "rekey", str(peer.hit), "--to", "user", "--wait", "60"]
            host.run(words, timeout_s=PATIENCE_S)
        wait_for_carriers(a, b, "user")
        taken.add(USER, tcp_mbit_per_s(a, b, str(b.hit), seconds))
        return int(a.ask("status", timeout_s=PATIENCE_S)["interface"]["mtu"])


def hand_round(lab: Lab, taken: Taken, seconds: int, mtu: int) -> None:
    """States and policies come and go; one run."""
    a, b = lab.host("a"), lab.host("b")
    with by_hand(lab, mtu) as far:
        a.run(["ping", "-n", "-c", "1", "-W", "20", far])
        taken.add(HAND, tcp_mbit_per_s(a, b, far, seconds))


def throughput(rounds: int, seconds: int) -> list[Figure]:
    """One TCP stream: nothing, by hand, hipgw in the kernel, hipgw in user space; in turns."""
    taken = Taken()
    with Lab.pair(name="bench-kernel", settings={"datapath": {"backend": "auto"}}) as lab:
        a, b = lab.host("a"), lab.host("b")
        mtu = hipgw_round(lab, Taken(), 1)  # loads modules, warms caches
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            # Each comes first as often as the other, so that what changes slowly cancels.
            if number % 2:
                hand_round(lab, taken, seconds, mtu)
                hipgw_round(lab, taken, seconds)
            else:
                hipgw_round(lab, taken, seconds)
                hand_round(lab, taken, seconds, mtu)
            taken.add(BARE, tcp_mbit_per_s(a, b, str(b.addresses[0]), seconds))
    return taken.figures()


# --- everything ---


def probe_ms() -> dict[str, float]:
    """Milliseconds of a probe when all modules are there: of a daemon's suites, and of all."""
    taken: dict[str, list[float]] = {}
    probe_kernel()
    for _ in range(PROBES):
        for name, suites in (("configured", SUITES), ("all", tuple(EspSuite))):
            begin = time.perf_counter()
            probe_kernel(suites)
            taken.setdefault(name, []).append((time.perf_counter() - begin) * 1e3)
    for name, values in taken.items():
        say(str(series(f"probe, {name} suites, warm", "ms", values)))
    return {name: statistics.median(values) for name, values in taken.items()}


def spread(values: list[float]) -> dict[str, float]:
    """Median and tail."""
    ordered = sorted(values)
    return {
        "median": statistics.median(ordered),
        "p90": ordered[len(ordered) * 90 // 100],
        "p99": ordered[len(ordered) * 99 // 100],
        "most": ordered[-1],
    }


def show_spread(name: str, found: dict[str, float]) -> None:
    words = ", ".join(f"{key} {value:.3f}" for key, value in found.items())
    say(f"{name}: {words} ms")


def ratios_of(by_name: dict[str, Figure]) -> dict[str, float]:
    """Medians of ratios that were made within a round; each is said with its interval."""
    found = {}
    for name, rival in ((KERNEL, HAND), (USER, KERNEL), (HAND, BARE)):
        if name in by_name:
            ours, theirs = by_name[name], by_name[rival]
            say(ratio_line(ours, theirs))
            pairs = zip(ours.rounds, theirs.rounds, strict=True)
            found[f"{name} / {rival}"] = statistics.median(one / other for one, other in pairs)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    probed = probe_ms()
    many: ManyFigures = install_many(options.count, say)
    times = set_up_times()
    set_up, idle = spread(times.associations_ms), spread(times.idle_ms)
    show_spread("set-up of an association", set_up)
    show_spread("nothing but computing, as long", idle)
    figures = throughput(options.rounds, options.seconds) if options.rounds else []
    for figure in figures:
        say(str(figure))
    ratios = ratios_of({figure.name: figure for figure in figures})
    report = {
        "kernel": os.uname().release,
        "suite": MANY_SUITE.name,
        "probe_ms": probed,
        "set_up_ms": set_up,
        "idle_ms": idle,
        "many": many.as_json(),
        "ratios": ratios,
        "figures": [figure.as_json() for figure in figures],
    }
    options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
