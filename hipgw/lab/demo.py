"""The demo: two hosts, real traffic, over raw ESP and over UDP; each step is checked.

The first ping is also the first packet: it triggers the base exchange and must be answered like
the others.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final

from hipgw.errors import HostError
from hipgw.lab.capture import Sighting, sightings
from hipgw.lab.configs import EncapsulationName
from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab, clear_abandoned, leftovers
from hipgw.lab.readiness import wait_for_words
from hipgw.values import Encapsulation
from hipgw.wire import PacketType

LAB_PREFIX: Final = "demo-"
BASE_EXCHANGE: Final = (PacketType.I1, PacketType.R1, PacketType.I2, PacketType.R2)
PING_COUNT: Final = 3
PING_PATIENCE_S: Final = 15
THROUGHPUT_S: Final = 3
TRANSPORTS: Final[dict[EncapsulationName, str]] = {
    "raw": "HIP is IP protocol 139, data is ESP, protocol 50",
    "udp": "HIP and ESP share UDP port 10500",
}

Say = Callable[[str], None]


class DemoFailedError(HostError):
    """A step of the demo did not do what it should."""


@dataclass(frozen=True, slots=True)
class ControlPacket:
    """A control packet of the base exchange, as host a's wire saw it."""

    name: str
    source: str
    destination: str
    octets: int
    after_ms: float
    """Since the I1."""


@dataclass(frozen=True, slots=True)
class PingResult:
    """What `ping` counted."""

    destination: str
    sent: int
    received: int
    round_trips_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ThroughputResult:
    """What the `iperf3` client reported."""

    destination: str
    received_bits_per_s: float
    seconds: float
    retransmits: int


@dataclass(frozen=True, slots=True)
class TransportResult:
    """Everything that was shown of one encapsulation."""

    encapsulation: str
    ready_ms: dict[str, float]
    base_exchange: tuple[ControlPacket, ...]
    first_esp_reply_ms: float
    """From the I1 to the first ESP packet that came back."""
    pings: tuple[PingResult, ...]
    throughputs: tuple[ThroughputResult, ...]
    status: str


def run_demo(say: Say, *, throughput_s: int = THROUGHPUT_S) -> list[TransportResult]:
    """Run the whole demo and leave nothing behind.

    Args:
        say: is given each line of the report as soon as it is known.
        throughput_s: length of each iperf3 run.

    Returns:
        The figures, raw transport first.

    Raises:
        HostError: a step failed (`DemoFailedError`), or the host lacks something.
    """
    clear_abandoned(LAB_PREFIX, lambda name: say(f"cleared what a killed demo left: {name}"))
    say("hipgw demo: two daemons in two network namespaces, joined by a veth")
    return [_show_transport(say, encapsulation, throughput_s) for encapsulation in TRANSPORTS]


def _show_transport(
    say: Say, encapsulation: EncapsulationName, throughput_s: int
) -> TransportResult:
    say("")
    say(f"== {encapsulation}: {TRANSPORTS[encapsulation]} ==")
    name = f"{LAB_PREFIX}{os.getpid()}-{encapsulation}"
    with Lab.pair(name=name, encapsulation=encapsulation) as lab:
        try:
            result = _run_steps(say, lab, encapsulation, throughput_s)
        except HostError as error:
            # A daemon that does not start is an error that has its log already.
            logs = _logs(lab) if lab.ready_s else ""
            raise DemoFailedError(f"{encapsulation}: {error}{logs}") from error
    left = leftovers(name)
    if left:
        raise DemoFailedError(f"{encapsulation}: left behind: {', '.join(left)}")
    return result


def _run_steps(
    say: Say, lab: Lab, encapsulation: EncapsulationName, throughput_s: int
) -> TransportResult:
    a, b = lab.host("a"), lab.host("b")
    ready_s = lab.start_daemons()
    say("daemons ready   " + "   ".join(f"{n} in {s * 1000:.0f} ms" for n, s in ready_s.items()))
    for host in (a, b):
        say(f"  {host.name}  {host.addresses[0]}  HIT {host.hit}")

    file = a.files.directory / "demo.pcap"
    with a.capture(file):
        first_ping = _ping(a, str(b.hit))
    exchange, reply_ms = _show_exchange(say, sightings(file), encapsulation)
    _say_ping(say, "HIT", first_ping)
    second_ping = _ping(a, str(b.lsi))
    _say_ping(say, "LSI", second_ping)
    throughputs = [
        _show_throughput(say, label, _iperf3(a, b, destination, throughput_s))
        for label, destination in (("HIT", str(b.hit)), ("LSI", str(b.lsi)))
    ]
    status = a.run(["hipgw", "status"]).stdout.rstrip()
    say("hipgw status, on a")
    for line in status.splitlines():
        say(f"  {line}".rstrip())
    return TransportResult(
        encapsulation=encapsulation,
        ready_ms={name: seconds * 1000 for name, seconds in ready_s.items()},
        base_exchange=exchange,
        first_esp_reply_ms=reply_ms,
        pings=(first_ping, second_ping),
        throughputs=tuple(throughputs),
        status=status,
    )


def _show_exchange(
    say: Say, seen: list[Sighting], encapsulation: EncapsulationName
) -> tuple[tuple[ControlPacket, ...], float]:
    """The base exchange, and the time in ms from the I1 to the first ESP packet back."""
    exchange = _base_exchange(seen, encapsulation)
    reply_ms = _first_reply_ms(seen, encapsulation)
    say("base exchange, captured on eth0 of a")
    for packet in exchange:
        way = f"{packet.source} > {packet.destination}"
        say(f"  {packet.name}   {way:<24} {packet.octets:5d} octets  at {packet.after_ms:7.2f} ms")
    say(f"  ESP  first packet back{'':25} at {reply_ms:7.2f} ms")
    return exchange, reply_ms


def _show_throughput(say: Say, label: str, result: ThroughputResult) -> ThroughputResult:
    say(
        f"iperf3 TCP to {label}  {result.received_bits_per_s / 1e6:,.0f} Mbit/s"
        f" in {result.seconds:.1f} s, {result.retransmits} retransmits"
    )
    return result


def _base_exchange(
    seen: list[Sighting], encapsulation: EncapsulationName
) -> tuple[ControlPacket, ...]:
    """The first I1, R1, I2 and R2 of a capture; they must be there, in order."""
    wanted = Encapsulation[encapsulation.upper()]
    control = [sighting for sighting in seen if sighting.packet_type is not None]
    first: list[Sighting] = []
    for kind in BASE_EXCHANGE:
        found = next((s for s in control if s.packet_type is kind), None)
        if found is None or (first and found.time_s < first[-1].time_s):
            names = " ".join(s.packet_type.name for s in control if s.packet_type) or "nothing"
            raise DemoFailedError(f"expected I1 R1 I2 R2 on the wire, captured {names}")
        if found.encapsulation is not wanted:
            raise DemoFailedError(f"{kind.name} did not travel over {encapsulation}")
        first.append(found)
    return tuple(
        ControlPacket(
            name=kind.name,
            source=str(sighting.source),
            destination=str(sighting.destination),
            octets=sighting.octets,
            after_ms=(sighting.time_s - first[0].time_s) * 1000,
        )
        for kind, sighting in zip(BASE_EXCHANGE, first, strict=True)
    )


def _first_reply_ms(seen: list[Sighting], encapsulation: EncapsulationName) -> float:
    wanted = Encapsulation[encapsulation.upper()]
    start = next(sighting for sighting in seen if sighting.packet_type is PacketType.I1)
    for sighting in seen:
        if sighting.packet_type is None and sighting.source == start.destination:
            if sighting.encapsulation is not wanted:
                raise DemoFailedError(f"ESP did not travel over {encapsulation}")
            return (sighting.time_s - start.time_s) * 1000
    raise DemoFailedError("no ESP packet came back")


def _ping(host: LabHost, destination: str) -> PingResult:
    """Send some pings, all of which must be answered."""
    # One at a time: a ping of several gives the last answer 0.2 s, or two round trips.
    command = ["ping", "-n", "-c", "1", "-W", str(PING_PATIENCE_S), destination]
    times = []
    for _ in range(PING_COUNT):
        done = host.run(command, check=False)
        if done.returncode not in (0, 1):
            raise DemoFailedError(f"ping {destination}: {(done.stderr or done.stdout).strip()}")
        if done.returncode == 1:  # ping(8): no answer
            break
        times += [float(text) for text in re.findall(r"time=([\d.]+) ms", done.stdout)]
    result = PingResult(destination, PING_COUNT, len(times), tuple(times))
    if result.received != result.sent:
        raise DemoFailedError(
            f"ping {destination}: {result.received} of {result.sent} answered, expected all"
        )
    return result


def _say_ping(say: Say, label: str, result: PingResult) -> None:
    times = " ".join(f"{time_ms:g}" for time_ms in result.round_trips_ms)
    say(
        f"ping {label}  {result.destination}  {result.received} of {result.sent} answered"
        f" in {times} ms"
    )


def _iperf3(client: LabHost, server: LabHost, destination: str, seconds: int) -> ThroughputResult:
    """One TCP run from `client` to `server`, which must carry data."""
    serving = server.popen(["iperf3", "-s", "-1", "--forceflush"])
    wait_for_words(serving, "listening", patience_s=30)
    done = client.run(
        ["iperf3", "-c", destination, "-t", str(seconds), "-J"],
        check=False,
        timeout_s=seconds + 60,
    )
    try:
        document = json.loads(done.stdout)
    except ValueError as error:
        raise DemoFailedError(f"iperf3 to {destination}: {done.stderr.strip()}") from error
    if done.returncode != 0 or "end" not in document or "error" in document:
        raise DemoFailedError(f"iperf3 to {destination}: {document.get('error', 'no result')}")
    serving.wait(timeout=30)
    received, sent = document["end"]["sum_received"], document["end"]["sum_sent"]
    if not received["bytes"]:
        raise DemoFailedError(f"iperf3 to {destination}: nothing arrived")
    return ThroughputResult(
        destination=destination,
        received_bits_per_s=float(received["bits_per_second"]),
        seconds=float(received["seconds"]),
        retransmits=int(sent.get("retransmits", 0)),
    )


def _logs(lab: Lab) -> str:
    """The ends of the daemons' logs, for a failure."""
    tails = [(host.name, host.log_tail(8)) for host in lab.hosts]
    return "".join(f"\n-- log of {name} --\n{tail}" for name, tail in tails if tail)


def as_document(results: list[TransportResult]) -> dict[str, object]:
    """The figures for `--json`."""
    return {"transports": [asdict(result) for result in results]}
