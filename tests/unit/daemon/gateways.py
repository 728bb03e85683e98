"""Gateways without a host: an in-memory wire, a data path that only remembers.

a.traffic -- Endpoint a -- MemorySockets == MemorySockets -- Endpoint b -- b.traffic
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address
from pathlib import Path as FilePath
from typing import Any

from hipgw.crypto import PrivateHostIdentity
from hipgw.daemon.config import Config
from hipgw.daemon.engine_config import endpoint_config
from hipgw.daemon.engine_loop import EngineLoop
from hipgw.daemon.first_packets import FirstPackets
from hipgw.daemon.gateway import Gateway, HostFacts
from hipgw.daemon.keys import NamedIdentity
from hipgw.daemon.lsis import LsiRegistry
from hipgw.daemon.opportunity import Opportunity
from hipgw.daemon.own_identities import OwnIdentities
from hipgw.daemon.peer_paths import Paths
from hipgw.daemon.pins import Pins
from hipgw.daemon.ports import PortFamilies
from hipgw.daemon.sa_home import SaHome
from hipgw.daemon.traffic import Traffic
from hipgw.dataplane.composite import CompositeBackend
from hipgw.dataplane.interface import Carrier
from hipgw.dataplane.kernel import KernelBackend
from hipgw.dataplane.kernel_suites import KernelEsp
from hipgw.proto import Endpoint
from hipgw.resolve import HostsFiles, Peer, Resolver
from hipgw.values import Direction, Encapsulation, Hit, Lsi, Path, SaStatistics, Spi
from hipgw.values.security_associations import SecurityAssociation
from tests.unit.dataplane.kernel_tables import KernelTables

LOOPBACK = IPv4Address("127.0.0.1")
IDENTITIES = [PrivateHostIdentity.generate("ecdsa-p256") for _ in range(2)]


class MemoryDataPath:
    """Takes punts from a list, remembers what was given to it."""

    def __init__(self) -> None:
        self.punts: list[tuple[int, bytes, tuple[Any, ...]]] = []
        self.injected: list[bytes] = []
        self.delivered: list[tuple[bytes, int, int]] = []
        self.families: list[tuple[int, int, int]] = []
        self.has_room = True

    def take_punts(self, limit: int = 64) -> list[tuple[int, bytes, tuple[Any, ...]]]:
        taken, self.punts = self.punts[:limit], self.punts[limit:]
        return taken

    def inject_outbound(self, packet: bytes) -> bool:
        if self.has_room:
            self.injected.append(packet)
        return self.has_room

    def deliver_inbound(self, packet: bytes, family: int, spi: int) -> bool:
        if self.has_room:
            self.delivered.append((packet, family, spi))
        return self.has_room

    def set_port_family(self, protocol: int, port: int, family: int) -> None:
        self.families.append((protocol, port, family))

    def counters(self) -> dict[str, int]:
        return {"icv_wrong": 3}


class RecordingBackend:
    """Security associations as a dictionary."""

    def __init__(self) -> None:
        self.sas: dict[tuple[Direction, Spi], SecurityAssociation] = {}
        self.limits: list[tuple[Spi, int | None]] = []
        self.packets = 0

    def install(self, sa: SecurityAssociation) -> None:
        if sa.direction is Direction.OUT:
            pair = sa.local_hit, sa.peer_hit
            self.sas = {
                key: other
                for key, other in self.sas.items()
                if key[0] is Direction.IN or (other.local_hit, other.peer_hit) != pair
            }
        self.sas[sa.direction, sa.spi] = sa

    def remove(
        self,
        direction: Direction,
        spi: Spi,
        local_hit: Hit | None = None,
        peer_hit: Hit | None = None,
    ) -> bool:
        assert local_hit is not None
        assert peer_hit is not None
        return self.sas.pop((direction, spi), None) is not None

    def limit(self, spi: Spi, local_hit: Hit, peer_hit: Hit, octets: int | None) -> bool:
        assert local_hit != peer_hit
        self.limits.append((spi, octets))
        return (Direction.OUT, spi) in self.sas

    def move_in(self, spi: Spi, local_hit: Hit, peer_hit: Hit, path: Path) -> bool:
        assert local_hit != peer_hit
        assert path
        return (Direction.IN, spi) in self.sas

    def carrier_of(
        self, direction: Direction, spi: Spi, local_hit: Hit, peer_hit: Hit
    ) -> Carrier | None:
        assert local_hit != peer_hit
        return Carrier.USER if (direction, spi) in self.sas else None

    def statistics_of(
        self, direction: Direction, spi: Spi, local_hit: Hit, peer_hit: Hit
    ) -> SaStatistics | None:
        wanted = direction, spi, local_hit, peer_hit
        for entry in self.statistics():
            if (entry.direction, entry.spi, entry.local_hit, entry.peer_hit) == wanted:
                return entry
        return None

    def statistics(self, used_since_s: float = 0.0) -> list[SaStatistics]:
        if used_since_s and not self.packets:
            return []
        return [
            SaStatistics(
                sa.direction,
                sa.spi,
                sa.local_hit,
                sa.peer_hit,
                self.packets,
                100 * max(self.packets, 1),
                1,
                None,
            )
            for sa in self.sas.values()
        ]

    def close(self) -> None:
        self.sas.clear()


class MemorySockets:
    """One end of a wire on which everything has the address 127.0.0.1."""

    families = (4,)
    last_send_error = ""

    def __init__(self) -> None:
        self.other: MemoryGateway | None = None
        self.sent: list[bytes] = []
        self.is_cut = False
        self.counters: Counter[str] = Counter()

    def make_path(
        self, local: Any, peer: Any, _encapsulation: Encapsulation, _peer_port: int
    ) -> Path:
        return Path(local, peer)

    def send(self, payload: bytes, _path: Path) -> bool:
        self.sent.append(payload)
        if self.other is not None and not self.is_cut:
            asyncio.get_running_loop().call_soon(self.other.receive, payload)
        return True


class MemoryGateway:
    """A gateway with all its parts in the open."""

    def __init__(
        self,
        identity: PrivateHostIdentity,
        peers: Sequence[Peer],
        directory: FilePath,
        config: Config | None = None,
        tables: KernelTables | None = None,
    ) -> None:
        directory.mkdir(exist_ok=True)
        loop = asyncio.get_running_loop()
        config = config or Config()
        prefix = config.network.lsi_prefix
        self.data_path = MemoryDataPath()
        self.backend = RecordingBackend()
        self.sockets = MemorySockets()
        self.resolver = Resolver(peers, HostsFiles([directory / "hosts"], prefix))
        self.lsis = LsiRegistry(prefix, directory, self.resolver)
        own_lsis = self.lsis.start([identity.hit])
        self.counter = 0
        facts = HostFacts(
            "memory", (NamedIdentity("key", identity),), own_lsis, 1446, 1426, loop.time()
        )
        self.hit, self.lsi = identity.hit, own_lsis[0]
        self.queue = FirstPackets()
        self.split = None
        if tables is not None:
            self.split = CompositeBackend(self.backend, KernelBackend(tables), KernelEsp())
        self.sas = SaHome(self.split or self.backend, self.lsis, loop.time, split=self.split)
        paths = Paths(self.resolver, self.sockets, Encapsulation.RAW, prefix)
        self.gateway = Gateway(
            config,
            facts,
            resolver=self.resolver,
            lsis=self.lsis,
            sockets=self.sockets,
            sas=self.sas,
            queue=self.queue,
            paths=paths,
            store_r1_counter=self._store,
            data_counters=self.data_path.counters,
        )
        endpoint = Endpoint(
            [identity],
            endpoint_config(config, 0, compatible_peers=self.gateway.compatible),
            os.urandom,
            loop.time(),
        )
        self.engine = self.gateway.engine = EngineLoop(endpoint, self.gateway, loop)
        self.traffic = self.gateway.traffic = Traffic(
            self.data_path,
            self.engine,
            sas=self.sas,
            queue=self.queue,
            lsis=self.lsis,
            resolver=self.resolver,
            paths=paths,
            ports=PortFamilies([identity.hit], own_lsis, directory=directory),
            own_hits=[identity.hit],
            udp_port=10500,
        )
        self.addressed: list[tuple[Hit, ...]] = []
        self.gateway.own = OwnIdentities(
            self.gateway, lambda facts: self.addressed.append(facts.hits)
        )
        self.gateway.opportunity = Opportunity(self.gateway, Pins(directory))
        self.engine.apply()

    def _store(self, counter: int) -> None:
        self.counter = counter

    def receive(self, payload: bytes) -> None:
        path = Path(LOOPBACK, LOOPBACK)
        self.engine.step(lambda now: self.engine.endpoint.receive_datagram(payload, path, now))


async def gateway_pair(
    directory: FilePath, config: Config | None = None, tables: KernelTables | None = None
) -> tuple[MemoryGateway, MemoryGateway]:
    """Two that know each other, with their first R1s made; the first one may have a kernel."""
    made = [
        MemoryGateway(
            identity,
            [Peer(other.hit, name, addresses=(LOOPBACK,))],
            directory / name,
            config,
            tables if name == "b" else None,
        )
        for identity, other, name in (
            (IDENTITIES[0], IDENTITIES[1], "b"),
            (IDENTITIES[1], IDENTITIES[0], "a"),
        )
    ]
    made[0].sockets.other, made[1].sockets.other = made[1], made[0]
    while any(gateway.engine.jobs_running for gateway in made):
        await asyncio.sleep(0.001)
    return made[0], made[1]


Story = Callable[[MemoryGateway, MemoryGateway], Awaitable[None]]


def tell(directory: FilePath, story: Story, config: Config | None = None) -> None:
    """Run a story of two gateways that know each other."""

    async def run() -> None:
        a, b = await gateway_pair(directory, config)
        try:
            async with asyncio.timeout(60):
                await story(a, b)
        finally:
            a.engine.close()
            b.engine.close()

    asyncio.run(run())


async def settled(*gateways: MemoryGateway) -> None:
    """Wait until no job runs and no packet is under way."""
    quiet = 0
    while quiet < 3:
        await asyncio.sleep(0.002)
        quiet = 0 if any(gateway.engine.jobs_running for gateway in gateways) else quiet + 1


def ipv6_packet(source: Hit, destination: Hit, payload: bytes) -> bytes:
    head = b"\x60\0\0\0" + len(payload).to_bytes(2, "big") + b"\x3b\x40"
    return head + source.packed + destination.packed + payload


def ipv4_packet(source: Lsi, destination: Lsi, payload: bytes) -> bytes:
    head = b"\x45\0" + (20 + len(payload)).to_bytes(2, "big") + bytes(4) + b"\x40\x01\0\0"
    return head + source.packed + destination.packed + payload
