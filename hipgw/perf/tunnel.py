"""`hipgw bench tunnel`: tunnels between two hosts of a lab, measured in turns.

A round takes every measurement once, and each of every contestant before the next measurement, so
that the values of a round that are divided by each other were taken within seconds.

- TCP by number of streams; with one stream also a ping beside it (latency under load), and the CPU
  time of the tunnel's processes at both ends. What the kernel does for them in softirqs of other
  processes is not in it.
- UDP at offered rates, and how much of it is lost; UDP as fast as iperf3 makes it, and how many
  datagrams a second arrive.
- Latency of an idle tunnel.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Final

from hipgw.errors import HostError
from hipgw.perf import cpu_time, iperf, machine, pinging
from hipgw.perf.contestants import BARE, Contestant, Way, all_up
from hipgw.perf.figures import Figure, series
from hipgw.perf.report import Report
from hipgw.perf.rivals.contract import Rival

PINGS: Final = 50
NAMED_AT_MOST_S: Final = 2.0
"""What bringing up, starting iperf3 and waiting costs a measurement beside its seconds."""


@dataclass(frozen=True, slots=True)
class TunnelPlan:
    """What is measured, and how long."""

    rounds: int = 5
    seconds: int = 2
    mtus: tuple[int, ...] = (1500, 9000)
    streams: tuple[int, ...] = (1, 4, 16)
    udp_mbit_per_s: tuple[int, ...] = (100, 200, 400)
    udp_octets: int = 1300
    blast_octets: tuple[int, ...] = (120, 1300)
    ways: tuple[Way, ...] = (Way("udp"), Way("raw"))
    has_latency: bool = True

    @property
    def measurements(self) -> int:
        """Of one contestant in one round at one MTU."""
        return (
            len(self.streams)
            + len(self.udp_mbit_per_s)
            + len(self.blast_octets)
            + int(self.has_latency)
        )

    def lasting_s(self, rivals: int) -> float:
        """About how long it takes."""
        contestants = 1 + len(self.ways) + rivals
        each_s = self.seconds + NAMED_AT_MOST_S
        return self.rounds * len(self.mtus) * contestants * self.measurements * each_s


@dataclass(frozen=True, slots=True)
class Value:
    """One number of one contestant in one round."""

    group: str
    unit: str
    value: float


Measurement = Callable[[Contestant], list[Value]]


def run(
    plan: TunnelPlan,
    rivals: Sequence[Rival],
    *,
    say: Callable[[str], None],
    step: Callable[[str], None] = lambda _: None,
) -> Report:
    """Bring everything up, measure, take everything down.

    Args:
        plan: what to measure.
        rivals: other tunnels, already installed.
        say: is told what is going on.
        step: is told each measurement that is done; there are `steps` of them.

    Raises:
        HostError: something is not there, or did not come up.
    """
    before = machine.describe()
    taken: dict[tuple[str, str, str], list[float]] = {}
    for mtu_octets in plan.mtus:
        with contextlib.ExitStack() as stack:
            contestants = all_up(stack, plan.ways, rivals, mtu_octets, say)
            for _ in range(plan.rounds):
                for measure in measurements(plan, mtu_octets):
                    for contestant in contestants:
                        for one in _measured(measure, contestant):
                            key = one.group, contestant.name, one.unit
                            taken.setdefault(key, []).append(one.value)
                        step(contestant.name)
    figures = _ordered(taken)
    options = {**asdict(plan), "rivals": [rival.name for rival in rivals]}
    return Report("tunnel", before, options, figures, BARE, plan.ways[0].name)


def steps(plan: TunnelPlan, rivals: int) -> int:
    """How often `run` calls its `step`."""
    return plan.rounds * len(plan.mtus) * (1 + len(plan.ways) + rivals) * plan.measurements


def measurements(plan: TunnelPlan, mtu_octets: int) -> Iterator[Measurement]:
    """Those of one round, in order."""
    if plan.has_latency:
        yield partial(_idle_latency, mtu_octets)
    for streams in plan.streams:
        yield partial(_tcp, mtu_octets, plan.seconds, streams)
    for rate in plan.udp_mbit_per_s:
        yield partial(_udp_loss, mtu_octets, plan.seconds, plan.udp_octets, rate)
    for octets in plan.blast_octets:
        yield partial(_udp_blast, mtu_octets, plan.seconds, octets)


def _measured(measure: Measurement, contestant: Contestant) -> list[Value]:
    try:
        return measure(contestant)
    except HostError as error:
        raise HostError(f"{contestant.name}: {error}") from error


def _idle_latency(mtu_octets: int, contestant: Contestant) -> list[Value]:
    started = pinging.start(contestant.client, contestant.destination, PINGS)
    return [
        Value(f"ping, idle, MTU {mtu_octets}", "ms", pinging.median_ms(contestant.client, started))
    ]


def _tcp(mtu_octets: int, seconds: int, streams: int, contestant: Contestant) -> list[Value]:
    said = f"TCP, {streams} stream{'s' if streams > 1 else ''}, MTU {mtu_octets}"
    client, server, destination = contestant.client, contestant.server, contestant.destination
    if streams > 1:
        run_ = iperf.tcp(client, server, destination, seconds, streams=streams)
        return [Value(said, "Mbit/s", run_.mbit_per_s)]
    beside = pinging.start(client, destination, int(seconds / pinging.PAUSE_S))
    spent_before_s = cpu_time.spent_s(contestant.process_ids)
    run_ = iperf.tcp(client, server, destination, seconds)
    spent_s = cpu_time.spent_s(contestant.process_ids) - spent_before_s
    under_load_ms = pinging.median_ms(client, beside)
    values = [
        Value(said, "Mbit/s", run_.mbit_per_s),
        Value(f"ping under TCP, MTU {mtu_octets}", "ms", under_load_ms),
    ]
    if contestant.process_ids:
        gbit = run_.octets * 8 / 1e9
        values.append(Value(f"CPU, {said}", "s/Gbit", spent_s / gbit))
    return values


def _udp_loss(
    mtu_octets: int, seconds: int, octets: int, mbit_per_s: int, contestant: Contestant
) -> list[Value]:
    client, server, destination = contestant.client, contestant.server, contestant.destination
    done = iperf.udp(client, server, destination, seconds, octets=octets, mbit_per_s=mbit_per_s)
    group = f"UDP lost, {octets} octets, {mbit_per_s} Mbit/s, MTU {mtu_octets}"
    time.sleep(0.1)  # what is still queued belongs to this contestant
    return [Value(group, "%", done.lost_percent)]


def _udp_blast(mtu_octets: int, seconds: int, octets: int, contestant: Contestant) -> list[Value]:
    client, server, destination = contestant.client, contestant.server, contestant.destination
    done = iperf.udp(client, server, destination, seconds, octets=octets)
    time.sleep(0.1)
    group = f"UDP at full blast, {octets} octets, MTU {mtu_octets}"
    return [Value(group, "kpps", done.packets_per_s / 1e3)]


def _ordered(taken: dict[tuple[str, str, str], list[float]]) -> tuple[Figure, ...]:
    """By group, in the order in which the groups were first measured."""
    groups = list(dict.fromkeys(group for group, _, _ in taken))
    return tuple(
        series(name, unit, values, group)
        for wanted in groups
        for (group, name, unit), values in taken.items()
        if group == wanted
    )
