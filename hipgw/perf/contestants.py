"""What is measured in turns: the bare wire, hipgw in several ways, and rivals, all up at once.

hipgw in several ways is several labs, because a daemon has one configuration; the bare wire and the
rivals are in the namespaces of the first of them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from hipgw.lab.configs import EncapsulationName
from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.lab.state import lab_directory
from hipgw.perf.rivals.contract import Rival, answers, wait_until

LAB_PREFIX: Final = "bench-"
BARE: Final = "bare veth"
NO_OFFLOADS: Final = {"tun": "off", "udp": "off"}


@dataclass(frozen=True, slots=True)
class Way:
    """One way in which hipgw carries traffic."""

    encapsulation: EncapsulationName = "udp"
    has_offloads: bool = True
    intercept: str = "tun"
    workers: int = 0
    """Pairs; 0: as the daemon chooses."""

    @property
    def name(self) -> str:
        """As in reports."""
        return (
            f"hipgw {self.encapsulation}"
            f"{'' if self.intercept == 'tun' else f', {self.intercept}'}"
            f"{'' if self.has_offloads else ', no offloads'}"
            f"{f', {self.workers} workers' if self.workers else ''}"
        )

    @property
    def settings(self) -> Mapping[str, Mapping[str, object]]:
        """Configuration of its daemons."""
        made: dict[str, Mapping[str, object]] = {}
        if not self.has_offloads:
            made["offload"] = NO_OFFLOADS
        path: dict[str, object] = {}
        if self.intercept != "tun":
            path["intercept"] = self.intercept
        if self.workers:
            path["workers"] = self.workers
        if path:
            made["datapath"] = path
        return made


@dataclass(frozen=True, slots=True)
class Contestant:
    """A way from a host to another, and the processes that carry it."""

    name: str
    client: LabHost
    server: LabHost
    destination: str
    process_ids: tuple[int, ...]


def all_up(
    stack: contextlib.ExitStack,
    ways: Sequence[Way],
    rivals: Sequence[Rival],
    mtu_octets: int,
    say: Callable[[str], None],
) -> list[Contestant]:
    """Bring everything up; the stack takes it down.

    Raises:
        HostError: something did not come up.
    """
    made: list[Contestant] = []
    labs: list[Lab] = []
    for number, way in enumerate(ways):
        say(f"bringing up {way.name}, MTU {mtu_octets}")
        lab = stack.enter_context(
            Lab.pair(
                name=f"{LAB_PREFIX}{os.getpid()}-{mtu_octets}-{number}",
                mtu=mtu_octets,
                encapsulation=way.encapsulation,
                settings=way.settings,
            )
        )
        labs.append(lab)
        lab.start_daemons()
        a, b = lab.host("a"), lab.host("b")
        wait_until(partial(answers, a, str(b.hit)), way.name, a.files.log)
        daemons = tuple(host.daemon.pid for host in (a, b) if host.daemon is not None)
        made.append(Contestant(way.name, a, b, str(b.hit), daemons))
    first = labs[0]
    a, b = first.host("a"), first.host("b")
    made.insert(0, Contestant(BARE, a, b, str(b.addresses[0]), ()))
    for rival in rivals:
        say(f"bringing up {rival.name}, MTU {mtu_octets}")
        directory = lab_directory(first.name) / f"rival-{rival.name}"  # goes with the lab
        directory.mkdir(mode=0o700)
        tunnel = stack.enter_context(rival.tunnel(first, directory, mtu_octets))
        made.append(Contestant(rival.name, a, b, tunnel.destination, tunnel.process_ids))
    return made
