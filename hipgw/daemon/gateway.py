"""The running daemon: every part of it, and how effects, events and packets go between them."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hipgw.crypto import HostIdentity
from hipgw.daemon.certificate_config import LoadedCertificates
from hipgw.daemon.compatible import CompatiblePeers
from hipgw.daemon.config import Config
from hipgw.daemon.engine_loop import EngineLoop
from hipgw.daemon.event_log import EventLog
from hipgw.daemon.first_packets import FirstPackets
from hipgw.daemon.hip_sockets import HipSockets
from hipgw.daemon.icmp_sockets import IcmpSockets
from hipgw.daemon.interception import Interception
from hipgw.daemon.kernel_side import KernelSide
from hipgw.daemon.keys import NamedIdentity
from hipgw.daemon.legacy import LegacyPeers
from hipgw.daemon.logs import RateLimitedLog
from hipgw.daemon.lsis import LsiRegistry
from hipgw.daemon.peer_paths import Paths
from hipgw.daemon.peer_puzzles import PeerPuzzles
from hipgw.daemon.sa_home import SaHome
from hipgw.daemon.strangers import Strangers
from hipgw.daemon.traffic import Traffic
from hipgw.daemon.worker_plan import ONE_PAIR, WorkerPlan
from hipgw.dataplane.ciphers import CipherChoice
from hipgw.drivers.offload import NOTHING_ON, Offloads
from hipgw.proto import (
    NO_CERTIFICATES,
    ClaimI1s,
    Event,
    Failed,
    LimitPath,
    MoveSa,
    PeerIsAnonymous,
    PublishR1s,
    RemoveSa,
    SendIcmp,
)
from hipgw.resolve import Resolver
from hipgw.values import Direction, Hit, Lsi, Path, SecurityAssociation

if TYPE_CHECKING:
    from hipgw.daemon.interface_watch import InterfaceWatch
    from hipgw.daemon.next_hops import NextHops
    from hipgw.daemon.opportunity import Opportunity
    from hipgw.daemon.own_identities import OwnIdentities
    from hipgw.daemon.path_mtu import PathMtus
    from hipgw.daemon.subnet_routes import SubnetRoutes

log = logging.getLogger(__name__)

EventListener = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class HostFacts:
    """Who and what this host is; only identities come and go after the start."""

    name: str
    identities: tuple[NamedIdentity, ...]
    """The default one first."""
    own_lsis: tuple[Lsi, ...]
    """In the order of the identities."""
    mtu_octets: int
    lsi_mtu_octets: int
    started_s: float
    """Monotonic seconds."""
    offloads: Offloads = NOTHING_ON
    ciphers: tuple[CipherChoice, ...] = ()
    """Empty where no data path was made."""
    workers: WorkerPlan = ONE_PAIR
    steering: str = ""
    """Why inner packets are not brought to the owner of their association, or ""."""

    @property
    def hits(self) -> tuple[Hit, ...]:
        """HITs of this host, the default one first; those of HIPv1 after those of HIPv2."""
        hits = (hit for entry in self.identities for hit in entry.hits)
        return tuple(sorted(hits, key=lambda hit: -hit.version))

    @property
    def names_v1(self) -> dict[Hit, Hit]:
        """Each HIT of HIPv2, to that of HIPv1 of the same identity."""
        return {entry.hits[0]: entry.hits[-1] for entry in self.identities}

    def default_hit(self, version: int) -> Hit:
        """By which this host goes by default in a HIP version; else that of HIPv2."""
        return next((hit for hit in self.hits if hit.version == version), self.hits[0])

    @property
    def public_identities(self) -> tuple[HostIdentity, ...]:
        """Public halves of the identities, the default one first."""
        return tuple(entry.identity.public for entry in self.identities)


class Gateway:
    """Holds the parts; is the `EngineHost`, and tells what happens to whoever waits for it.

    `engine`, `traffic`, `own`, `opportunity`, `subnets`, `mtus` and `hops` are set by the
    composition right after making it: they need it, and it needs them.
    """

    engine: EngineLoop
    traffic: Traffic
    own: OwnIdentities
    opportunity: Opportunity
    subnets: SubnetRoutes | None = None
    mtus: PathMtus | None = None
    interface: InterfaceWatch | None = None
    hops: NextHops | None = None

    def __init__(
        self,
        config: Config,
        facts: HostFacts,
        *,
        resolver: Resolver,
        lsis: LsiRegistry,
        sockets: HipSockets,
        sas: SaHome,
        queue: FirstPackets,
        paths: Paths,
        store_r1_counter: Callable[[int], None],
        data_counters: Callable[[], dict[str, int]],
        certificates: LoadedCertificates | None = None,
        strangers: Strangers | None = None,
        interception: Interception | None = None,
        kernel: KernelSide | None = None,
        queue_overruns: Callable[[], int] = lambda: 0,
    ) -> None:
        self.config = config
        self.legacy: Final = LegacyPeers(config)
        self.compatible: Final = CompatiblePeers(config)
        self.puzzles = PeerPuzzles.of(config)
        self.default_version = config.hip.default_version
        """HIP version of the HIT that a name stands for when there is one of each."""
        self.facts = facts
        self.resolver: Final = resolver
        self.lsis: Final = lsis
        self.sockets: Final = sockets
        self.sas: Final = sas
        self.queue: Final = queue
        self.paths: Final = paths
        self.data_counters: Final = data_counters
        self.certificates = certificates or LoadedCertificates(NO_CERTIFICATES)
        self.interception: Final = interception or Interception(config)
        self.kernel: Final = kernel
        self.queue_overruns: Final = queue_overruns
        self.store_r1_counter = store_r1_counter
        self._strangers: Final = strangers
        if strangers is not None:
            strangers.set_apart(self.compatible.peers, self._has_association)
        self.counters: Counter[str] = Counter()
        self.changed_by_hand: frozenset[str] = frozenset()
        """Keys, as "hip.heartbeat_s", that differ from the file since somebody said so."""
        self.icmp: Final = IcmpSockets()
        self._listeners: list[EventListener] = []
        self._limited = RateLimitedLog(log)
        self._event_log: Final = EventLog(self.counters, self._limited)

    # --- EngineHost ---

    def send(self, payload: bytes, path: Path) -> None:
        """Send one HIP packet; a refusal of the kernel is a counter, and a line now and then."""
        if not self.sockets.send(payload, path):
            self._limited.warning("packet not sent", reason=self.sockets.last_send_error)

    def install(self, sa: SecurityAssociation) -> None:
        """Install one direction; packets that waited for an outbound one go out after this step."""
        if self.sas.install(sa) and sa.direction is Direction.OUT:
            self._measure(sa.local_hit, sa.peer_hit)
            self.traffic.on_outbound_installed(sa.local_hit, sa.peer_hit)

    def remove(self, removal: RemoveSa) -> None:
        """Remove one direction."""
        self.sas.remove(removal)

    def move(self, move: MoveSa) -> None:
        """Give one direction other outer addresses."""
        if self.sas.move(move) and move.direction is Direction.OUT:
            self._measure(move.local, move.peer)

    def _measure(self, local: Hit, peer: Hit) -> None:
        """Tell the data path how long packets of an outbound SA may be, and where they go first."""
        record = self.sas.outbound_of(local, peer)
        if self.mtus is not None and record is not None:
            self.mtus.apply(record)
        if self.hops is not None and record is not None:
            self.hops.apply(record)

    def limit(self, limit: LimitPath) -> None:
        """Limit one outbound direction, or end that."""
        self.sas.limit(limit)
        if limit.credit_octets is None:
            self.traffic.on_outbound_installed(limit.local, limit.peer)

    def publish_r1s(self, offer: PublishR1s) -> None:
        """Have the data path answer strangers, if it can."""
        if self._strangers is not None:
            self._strangers.publish(offer)

    def take_compatibility(self, config: Config) -> None:
        """Other peers have compatibility switches than before, or others."""
        self.compatible.update(config)
        if self._strangers is not None:
            self._strangers.set_apart(self.compatible.peers, self._has_association)

    def _has_association(self, local: Hit, peer: Hit) -> bool:
        return self.engine.endpoint.table.view(local, peer) is not None

    def claim_i1s(self, claim: ClaimI1s) -> None:
        """Have it leave a pair to the engine, or no longer."""
        if self._strangers is not None:
            self._strangers.claim(claim)

    def send_icmp(self, icmp: SendIcmp) -> None:
        """Answer a bad HIP packet; a refusal of the kernel is a counter."""
        self.icmp.send(icmp)

    def on_applied(self) -> None:
        """Effects are through: let waiting packets go."""
        self.traffic.flush()

    def on_event(self, event: Event) -> None:
        """Log it, and tell the listeners."""
        if isinstance(event, Failed):
            self.traffic.on_failed(event.local, event.peer)
        elif isinstance(event, PeerIsAnonymous):
            self.lsis.keep_out(event.peer)
        self._event_log.take(event)
        for listener in tuple(self._listeners):
            listener(event)

    def take_certificates(self, certificates: LoadedCertificates) -> None:
        """Other files, authorities or requirements: what peers have shown is looked at again."""
        self.certificates = certificates
        policy = certificates.policy
        self.engine.step(lambda now: self.engine.endpoint.certificates_changed(policy, now))

    # --- for the control socket and the life of the daemon ---

    def listen(self, listener: EventListener) -> None:
        """Tell somebody of every event from now on."""
        self._listeners.append(listener)

    async def event_for(
        self, peers: Sequence[Hit], is_wanted: Callable[[Event], bool], timeout_s: float
    ) -> Event | None:
        """Wait for an event about one of these peers; None when it does not come in time."""
        return await self.event(lambda event: event.peer in peers and is_wanted(event), timeout_s)

    async def event(self, is_wanted: Callable[[Event], bool], timeout_s: float) -> Event | None:
        """Wait for an event; None when it does not come in time."""
        future: asyncio.Future[Event] = asyncio.get_running_loop().create_future()

        def listen(event: Event) -> None:
            if is_wanted(event) and not future.done():
                future.set_result(event)

        self._listeners.append(listen)
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            return None
        finally:
            self._listeners.remove(listen)

    def close_all(self) -> list[Hit]:
        """Send a CLOSE to every peer that has one coming; returns whom."""
        views = self.engine.endpoint.associations()
        for view in views:
            self.close_one(view.local, view.peer)
        return [view.peer for view in views]

    def close_one(self, local: Hit, peer: Hit) -> None:
        """Close one association."""
        self.engine.step(lambda now: self.engine.endpoint.close_association(peer, now, local=local))
