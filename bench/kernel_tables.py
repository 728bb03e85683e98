"""States and policies of many associations, put into the kernel by the daemon's own backend."""

from __future__ import annotations

import gc
import os
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from hipgw.dataplane.composite import CompositeBackend
from hipgw.dataplane.kernel import KernelBackend
from hipgw.dataplane.kernel_pairs import OWNERSHIP
from hipgw.dataplane.kernel_suites import probe_kernel
from hipgw.dataplane.memory import RecordingBackend
from hipgw.netlink.namespaces import create_namespace, remove_namespace, run_inside
from hipgw.netlink.xfrm import XfrmClient, remove_owned
from hipgw.values import (
    ESP_SHAPES,
    Direction,
    EspSuite,
    Hit,
    SecurityAssociation,
    Spi,
)
from hipgw.values import (
    Path as OuterPath,
)

MANY_SUITE = EspSuite.AES_GCM_16
NAMESPACE = "bench-tables"
US = IPv4Address("127.0.0.1")
FIRST_PEER = int(IPv4Address("10.128.0.1"))
OWN_HIT = Hit.parse("2001:22::1")
SET_UPS = 2000
WARM_UP = 200
TURNS = 2000
ROUNDS = 3
"""Of installing and removing everything, before the last one, which stays."""


def pair_of(number: int) -> tuple[SecurityAssociation, SecurityAssociation]:
    """Both directions with a peer of its own."""
    shape = ESP_SHAPES[MANY_SUITE]
    inbound = SecurityAssociation(
        Direction.IN,
        Spi(0x10000 + number),
        MANY_SUITE,
        os.urandom(shape.encryption_key_octets),
        os.urandom(shape.authentication_key_octets),
        OWN_HIT,
        Hit(bytes.fromhex("20010022") + (number + 2).to_bytes(12, "big")),
        OuterPath(US, IPv4Address(FIRST_PEER + number)),
    )
    key = os.urandom(shape.encryption_key_octets)
    outbound = replace(
        inbound, direction=Direction.OUT, spi=Spi(0x1000000 + number), encryption_key=key
    )
    return inbound, outbound


def opened() -> CompositeBackend:
    """As in a daemon with backend "auto"; nothing may go to user space."""
    return CompositeBackend(
        RecordingBackend(), KernelBackend(XfrmClient()), probe_kernel([MANY_SUITE])
    )


def install(backend: CompositeBackend, number: int) -> None:
    for sa in pair_of(number):
        backend.install(sa)


def in_namespace(task: Callable[[], Any]) -> Any:
    """Run a task in a namespace of its own."""
    create_namespace(NAMESPACE)
    try:
        return run_inside(NAMESPACE, task)
    finally:
        remove_namespace(NAMESPACE)


@dataclass(frozen=True, slots=True)
class SetUpTimes:
    """Milliseconds of each association, and of as much computing in between without requests."""

    associations_ms: list[float]
    idle_ms: list[float]


def set_up_times() -> SetUpTimes:
    """From the first call of `install` until both states and both policies are there.

    What disturbs the machine shows in the computing, too: a tail that both have is not ours.
    """
    times: SetUpTimes = in_namespace(_set_up_times)
    return times


def _set_up_times() -> SetUpTimes:
    backend = opened()
    taken: list[float] = []
    idle: list[float] = []
    turns = TURNS
    for number in range(WARM_UP + SET_UPS):
        inbound, outbound = pair_of(number)
        begin = time.perf_counter()
        backend.install(inbound)
        backend.install(outbound)
        middle = time.perf_counter()
        for _ in range(turns):
            hash(middle)
        end = time.perf_counter()
        taken.append((middle - begin) * 1e3)
        idle.append((end - middle) * 1e3)
        if number == WARM_UP - 1:
            turns = round(TURNS * statistics.median(taken) / statistics.median(idle))
            taken, idle = [], []
    backend.close()
    return SetUpTimes(taken, idle)


@dataclass(frozen=True, slots=True)
class ManyFigures:
    """Of `count` associations."""

    count: int
    install_s: float
    """Seconds of the fastest round; the others are in `installs_s`."""
    installs_s: list[float]
    remove_s: float
    clear_s: float
    """To find and remove what a killed daemon has left."""
    octets_each: float
    """Of memory of this process, while they are there."""
    growth_octets: float
    """That a round, after the first two, has more of them."""
    left: int
    """States and policies at the end."""

    def as_json(self) -> dict[str, object]:
        """As it is."""
        return asdict(self)


def resident_octets() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def install_many(count: int, say: Callable[[str], None]) -> ManyFigures:
    """Install and remove them in rounds; leave the last ones, as a killed daemon would."""
    figures: ManyFigures = in_namespace(lambda: _install_many(count, say))
    return figures


def _install_many(count: int, say: Callable[[str], None]) -> ManyFigures:
    before = resident_octets()
    installs, removals, full = [], [], []
    for number in range(ROUNDS + 1):
        backend = opened()
        begin = time.perf_counter()
        for peer in range(count):
            install(backend, peer)
        installs.append(time.perf_counter() - begin)
        if len(backend.kernel.pairs()) != count:
            raise SystemExit(f"{len(backend.kernel.pairs())} of {count} in the kernel")
        full.append(resident_octets())
        say(f"  {count} associations: {installs[-1]:.2f} s, {full[-1] / 1e6:.1f} MB resident")
        if number == ROUNDS:
            break
        begin = time.perf_counter()
        backend.close()
        removals.append(time.perf_counter() - begin)
        del backend
    with XfrmClient() as client:
        begin = time.perf_counter()
        cleared = remove_owned(client, OWNERSHIP)
        clear_s = time.perf_counter() - begin
        left = len(client.states()) + len(client.policies())
    if (cleared.states, cleared.policies) != (2 * count, 2 * count):
        raise SystemExit(f"leftovers: {cleared}")
    figures = ManyFigures(
        count,
        min(installs),
        installs,
        min(removals),
        clear_s,
        (full[-1] - before) / count,
        (full[-1] - full[1]) / (ROUNDS - 1) / count,
        left,
    )
    say(f"  removed {figures.remove_s:.2f} s, after a kill {clear_s:.2f} s, left {left}")
    say(f"  {figures.octets_each:.0f} octets each, a round adds {figures.growth_octets:.0f}")
    return figures
