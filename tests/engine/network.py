"""Any number of endpoints in memory: virtual clock, seeded loss, duplication and reordering.

Jobs run in the caller's thread, at once or after a delay.  Nothing here reads a real clock, so a
run repeats from its seed.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from ipaddress import ip_address
from itertools import count
from typing import TypeVar

from hipgw import wire
from hipgw.crypto import PrivateHostIdentity
from hipgw.proto import (
    AssociationView,
    CertificateJudged,
    ClaimI1s,
    Closed,
    Compute,
    Effect,
    Endpoint,
    EndpointConfig,
    Established,
    Event,
    Failed,
    HandedOver,
    IdentityTraits,
    InstallSa,
    LimitPath,
    LocalAddress,
    MoveSa,
    NotifyReceived,
    PublishR1s,
    Rekeyed,
    RemoveSa,
    SendDatagram,
    State,
    StoreR1Counter,
)
from hipgw.proto.dialect import Dialect
from hipgw.proto.dialect_v1 import DialectV1
from hipgw.proto.dialect_v2 import DialectV2
from hipgw.proto.initiator_jobs import AnsweredR1
from hipgw.proto.keying import Keying
from hipgw.proto.responder_jobs import AcceptedI2
from hipgw.values import (
    Address,
    DhGroup,
    Direction,
    Encapsulation,
    Hit,
    Path,
    SecurityAssociation,
    Spi,
)
from hipgw.wire import HipPacket, PacketType

FAST = "ecdsa-p256"
E = TypeVar(
    "E", Established, Closed, Failed, NotifyReceived, Rekeyed, HandedOver, CertificateJudged
)


class Speech:
    """The HIP version that new nodes speak; the fixture `hip_version` sets it for a test."""

    version = 2

    @classmethod
    def dialect(cls) -> Dialect:
        return DialectV1() if cls.version == 1 else DialectV2()


FAST_V1 = EndpointConfig(
    is_legacy=lambda _: True, speaks_v1=lambda: True, v1_dh_groups=(DhGroup.MODP_384,)
)


def legacy(config: EndpointConfig) -> EndpointConfig:
    """The same for hosts that speak HIPv1, with a group that costs nothing."""
    return replace(
        config,
        is_legacy=FAST_V1.is_legacy,
        speaks_v1=FAST_V1.speaks_v1,
        v1_dh_groups=FAST_V1.v1_dh_groups,
    )


def identity(kind: str = FAST, number: int = 0) -> PrivateHostIdentity:
    """A key of that kind, made once per run; `number` tells several apart.

    HIPv1 has RSA in the place of ECDSA.
    """
    return _made("rsa-1024" if Speech.version == 1 and kind == FAST else kind, number)


@cache
def _made(kind: str, number: int) -> PrivateHostIdentity:
    assert number >= 0
    return PrivateHostIdentity.generate(kind, allow_weak=True)


def low_and_high(kind: str = FAST) -> tuple[PrivateHostIdentity, PrivateHostIdentity]:
    """Two identities, the one with the smaller HIT first."""
    both = (identity(kind, 100), identity(kind, 101))
    low, high = sorted(both, key=lambda one: one.hit_of(Speech.version))
    return low, high


def packet_type(octets: bytes) -> PacketType:
    return PacketType(octets[2] & 0x7F)


def parse_packet(octets: bytes) -> HipPacket:
    """A packet of either version."""
    return wire.parse_packet(octets, versions=frozenset({1, 2}))


@dataclass(slots=True)
class Datagram:
    """One packet under way."""

    source: str
    payload: bytes
    path: Path
    """As the receiver sees it."""

    @property
    def kind(self) -> PacketType:
        return packet_type(self.payload)


Wire = Callable[[Datagram], Sequence[Datagram]]
"""What an adversary or a bad link makes of a datagram: nothing, itself, others."""


@dataclass(slots=True)
class Weather:
    """Probabilities and seconds of every link."""

    loss: float = 0.0
    duplication: float = 0.0
    latency_s: float = 0.01
    spread_s: float = 0.0
    """Extra latency, uniformly random: reorders."""
    job_s: float = 0.0
    """How long a job may take, uniformly random; 0 = at once."""


@dataclass(eq=False)
class Node:
    """An endpoint with addresses and a data plane that only remembers."""

    name: str
    network: Network
    endpoint: Endpoint
    addresses: list[Address]
    identities: list[PrivateHostIdentity]
    events: list[Event] = field(default_factory=list)
    sas: dict[tuple[Direction, Spi, Hit], SecurityAssociation] = field(default_factory=dict)
    current_out: dict[tuple[Hit, Hit], Spi] = field(default_factory=dict)
    log: list[object] = field(default_factory=list)
    keying: Keying | None = None
    """Keys of the last base exchange that a job finished here."""
    stored_r1_counter: int = 0
    published: PublishR1s | None = None
    """What a data path would answer I1s with."""
    claimed: set[tuple[Hit, Hit]] = field(default_factory=set)
    """Pairs whose I1s it must leave to the engine."""
    budgets: dict[tuple[Hit, Hit], int] = field(default_factory=dict)
    """Octets that a limited outbound SA may still send."""

    dialect: Dialect = field(default_factory=Speech.dialect)
    """What the node speaks when a test speaks for it."""

    @property
    def hit(self) -> Hit:
        first = self.identities[0]
        return first.hit if self.dialect.VERSION == 2 else first.hit_of(1)

    @property
    def hits(self) -> set[Hit]:
        """By which others know the node, in either version."""
        return {hit for key in self.identities for hit in (key.hit, key.public.hit_v1)}

    @property
    def address(self) -> Address:
        return self.addresses[0]

    def path_to(self, other: Node, encapsulation: Encapsulation = Encapsulation.RAW) -> Path:
        ports = (10500, 10500) if encapsulation is Encapsulation.UDP else (0, 0)
        mine = next(a for a in self.addresses if a.version == other.address.version)
        return Path(mine, other.address, encapsulation, *ports)

    def want(
        self, other: Node, *paths: Path, peer: Hit | None = None, local: Hit | None = None
    ) -> None:
        self.endpoint.want_association(
            peer or other.hit, paths or (self.path_to(other),), self.network.now, local=local
        )
        self.settle()

    def move(self, *addresses: str, preferences: Sequence[int] = ()) -> None:
        """These are the node's addresses from now on, and it knows."""
        self.addresses = [ip_address(text) for text in addresses]
        self.tell_addresses(*preferences)

    def tell_addresses(self, *preferences: int) -> None:
        ranks = [*preferences, *(0 for _ in self.addresses)]
        local = [
            LocalAddress(address, f"eth{number}", ranks[number])
            for number, address in enumerate(self.addresses)
        ]
        self.endpoint.local_addresses_changed(local, self.network.now)
        self.settle()

    def close(self, other: Node) -> None:
        self.endpoint.close_association(other.hit, self.network.now)
        self.settle()

    def receive(self, payload: bytes, path: Path) -> None:
        self.endpoint.receive_datagram(payload, path, self.network.now)
        self.settle()

    def view(self, other: Node) -> AssociationView | None:
        found = [one for one in self.endpoint.associations() if one.peer in other.hits]
        assert len(found) <= 1
        return found[0] if found else None

    def state(self, other: Node) -> State:
        view = self.view(other)
        return State.UNASSOCIATED if view is None else view.state

    def dropped(self) -> dict[str, int]:
        return {reason: n for reason, n in self.endpoint.counters.items() if n}

    def saw(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def send_esp(self, other: Node) -> bool:
        """One ESP packet over the current outbound SA; True when the peer can open it."""
        found = [item for item in self.current_out.items() if item[0][1] in other.hits]
        if not found:
            return False
        ((local, peer), spi), *_ = found
        assert local in self.hits
        out = self.sas[Direction.OUT, spi, peer]
        into = other.sas.get((Direction.IN, spi, local))
        if into is None or not is_same_esp(into, out):
            return False
        other.endpoint.esp_received(spi, self.network.now)
        other.settle()
        return True

    def settle(self) -> None:
        """Apply effects in order until there are none."""
        while effects := self.endpoint.take_effects():
            for effect in effects:
                self.log.append(effect)
                self._apply(effect)
        self.events.extend(self.endpoint.take_events())
        for one, other in self.network.watched:
            assert_can_open(one, other)
            assert_can_open(other, one)

    def _apply(self, effect: Effect) -> None:
        match effect:
            case SendDatagram(payload, path):
                self.network.carry(self, payload, path)
            case InstallSa(sa):
                self._install(sa)
            case RemoveSa(direction, spi, local, peer):
                del self.sas[direction, spi, peer]
                if self.current_out.get((local, peer)) == spi and direction:
                    del self.current_out[local, peer]
                    self.budgets.pop((local, peer), None)
            case MoveSa(direction, spi, _, peer, path):
                key = direction, spi, peer
                self.sas[key] = replace(self.sas[key], path=path)
            case LimitPath(spi, local, peer, octets):
                self._limit(spi, (local, peer), octets)
            case Compute():
                self.network.work(self, effect)
            case StoreR1Counter(counter):
                self.stored_r1_counter = counter
            case PublishR1s():
                self.published = effect
            case ClaimI1s(local, peer, is_claimed):
                assert ((local, peer) in self.claimed) is not is_claimed
                (self.claimed.add if is_claimed else self.claimed.discard)((local, peer))

    def _limit(self, spi: Spi, pair: tuple[Hit, Hit], octets: int | None) -> None:
        assert self.current_out[pair] == spi
        if octets is None:
            self.budgets.pop(pair, None)
        else:
            self.budgets[pair] = self.budgets.get(pair, 0) + octets

    def _install(self, sa: SecurityAssociation) -> None:
        if sa.direction is Direction.IN:
            clash = [spi for way, spi, _ in self.sas if not way and spi == sa.spi]
            assert not clash, "inbound SPIs are unique"
        else:
            self.current_out[sa.local_hit, sa.peer_hit] = sa.spi
            self.budgets.pop((sa.local_hit, sa.peer_hit), None)
        self.sas[sa.direction, sa.spi, sa.peer_hit] = sa


class Network:
    """Nodes, links and the clock."""

    def __init__(self, seed: int = 1, weather: Weather | None = None) -> None:
        self.now = 1000.0
        self.random = random.Random(seed)
        self.weather = weather or Weather()
        self.nodes: list[Node] = []
        self.carried: list[Datagram] = []
        self.wire: Wire = lambda datagram: [datagram]
        self.dead: set[Address] = set()
        """Addresses from and to which nothing gets through, while their hosts do not know."""
        self.watched: list[tuple[Node, Node]] = []
        """Pairs that must be able to open each other's packets at any time."""
        self.held_jobs: dict[str, list[tuple[Compute, object]]] = {}
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = count()

    def node(
        self,
        *identities: PrivateHostIdentity,
        config: EndpointConfig | None = None,
        addresses: Sequence[str] = (),
        traits: Mapping[Hit, IdentityTraits] | None = None,
    ) -> Node:
        """A new host, by default with a key of its own and addresses of both families."""
        number = len(self.nodes) + 1
        config = config or EndpointConfig()
        if Speech.version == 1:
            config = legacy(config)
        keys = list(identities) or [identity(FAST, number)]
        places = addresses or (f"192.0.2.{number}", f"2001:db8::{number}")
        node = Node(
            f"n{number}",
            self,
            Endpoint(keys, config, self.random.randbytes, self.now, traits or {}),
            [ip_address(text) for text in places],
            keys,
        )
        self.nodes.append(node)
        node.settle()
        return node

    def restart(self, node: Node, config: EndpointConfig | None = None) -> None:
        """`node` loses all state, as after a crash; its R1 counter was stored."""
        config = config or EndpointConfig(r1_counter=node.stored_r1_counter)
        if node.dialect.VERSION == 1:
            config = legacy(config)
        node.endpoint = Endpoint(node.identities, config, self.random.randbytes, self.now)
        node.sas.clear()
        node.current_out.clear()
        node.claimed.clear()
        node.settle()

    # --- links ---

    def carry(self, sender: Node, payload: bytes, path: Path) -> None:
        there = Path(path.peer, path.local, path.encapsulation, path.peer_port, path.local_port)
        datagram = Datagram(sender.name, payload, there)
        self.carried.append(datagram)
        if not self.is_passable(sender, path):
            return
        for changed in self.wire(datagram):
            copies = 1
            if self.random.random() < self.weather.loss:
                copies = 0
            elif self.random.random() < self.weather.duplication:
                copies = 2
            for _ in range(copies):
                self.deliver(changed)

    def is_passable(self, sender: Node, path: Path) -> bool:
        return path.local in sender.addresses and not {path.local, path.peer} & self.dead

    def deliver(self, datagram: Datagram, after_s: float | None = None) -> None:
        """Have a datagram arrive, whoever sent it."""
        if after_s is None:
            after_s = self.weather.latency_s + self.random.random() * self.weather.spread_s
        self.at(after_s, partial(self._arrive, datagram))

    def _arrive(self, datagram: Datagram) -> None:
        node = self.node_at(datagram.path.local)
        if node is not None:
            node.receive(datagram.payload, datagram.path)

    def node_at(self, address: Address) -> Node | None:
        return next((node for node in self.nodes if address in node.addresses), None)

    def work(self, node: Node, effect: Compute) -> None:
        """Run a job; keep its result back when `held_jobs` says so for this node."""
        endpoint = node.endpoint
        result = effect.job.run()
        if node.name in self.held_jobs:
            self.held_jobs[node.name].append((effect, result))
            return
        if isinstance(result, AcceptedI2 | AnsweredR1):
            node.keying = result.keying
        if not self.weather.job_s:
            endpoint.job_done(effect.job_id, result, self.now)
            return

        def done() -> None:
            endpoint.job_done(effect.job_id, result, self.now)
            if endpoint is node.endpoint:
                node.settle()

        self.at(self.random.random() * self.weather.job_s, done)

    def hold_jobs(self, node: Node) -> None:
        """From now on results of `node`'s jobs wait for `finish_job`."""
        self.held_jobs[node.name] = []

    def finish_job(self, node: Node, kind: str) -> None:
        """Hand over the oldest held result of a kind of job."""
        held = self.held_jobs[node.name]
        number = next(n for n, (effect, _) in enumerate(held) if type(effect.job).__name__ == kind)
        effect, result = held.pop(number)
        node.endpoint.job_done(effect.job_id, result, self.now)
        node.settle()

    # --- time ---

    def at(self, after_s: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (self.now + after_s, next(self._serial), what))

    def run(self, for_s: float = 1.0, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass; stops early when `until` holds, and says whether it did."""
        end = self.now + for_s
        while True:
            if until is not None and until():
                return True
            deadlines = [
                (deadline, node)
                for node in self.nodes
                if (deadline := node.endpoint.next_deadline()) is not None
            ]
            deadline, node = min(deadlines, key=lambda pair: pair[0])
            first = self._agenda[0][0] if self._agenda else deadline + 1
            if min(first, deadline) > end:
                self.now = end
                return until is not None and until()
            if first <= deadline:
                self.now, _, what = heapq.heappop(self._agenda)
                what()
            else:
                self.now = max(self.now, deadline)
                node.endpoint.handle_deadline(self.now)
                node.settle()

    def sent(self, kind: PacketType) -> list[Datagram]:
        """All packets of a type that were handed to a link, lost ones too."""
        return [datagram for datagram in self.carried if datagram.kind is kind]


def exchange(one: Node, other: Node, **how: object) -> None:
    """A base exchange in fair weather, up to ESTABLISHED on both sides."""
    one.want(other, **how)  # type: ignore[arg-type]
    one.network.run(0.2)
    assert one.state(other) is State.ESTABLISHED
    assert one.send_esp(other)
    assert other.state(one) is State.ESTABLISHED


def is_same_esp(one: SecurityAssociation, other: SecurityAssociation) -> bool:
    """Whether what is sealed with one is opened with the other."""
    first, second = (
        (sa.encryption_key, sa.authentication_key, sa.suite, sa.is_extended) for sa in (one, other)
    )
    return first == second


def assert_can_open(receiver: Node, sender: Node) -> None:
    """`receiver` has the keys of whatever `sender` sends at this moment."""
    pair = sender.hit, receiver.hit
    spi = sender.current_out.get(pair)
    if spi is None:
        return
    out = sender.sas[Direction.OUT, spi, receiver.hit]
    into = receiver.sas.get((Direction.IN, spi, sender.hit))
    assert into is not None, f"{receiver.name} lacks the SA that {sender.name} sends on"
    assert is_same_esp(into, out), "keys differ"


def assert_joined(one: Node, other: Node) -> None:
    """Both sides ESTABLISHED, each can open what the other seals, and nothing is left over."""
    assert (one.state(other), other.state(one)) == (State.ESTABLISHED, State.ESTABLISHED)
    mine, theirs = one.view(other), other.view(one)
    assert mine is not None
    assert theirs is not None
    assert (mine.spi_in, mine.spi_out) == (theirs.spi_out, theirs.spi_in)
    assert one.send_esp(other)
    assert other.send_esp(one)
    for node, peer in ((one, other), (other, one)):
        mine_only = [key for key in node.sas if key[2] == peer.hit]
        assert len(mine_only) == 2, "one SA each way"


def drop_first(kind: PacketType) -> Wire:
    """A wire that loses the first packet of a type."""
    seen = count()
    return lambda datagram: [datagram] if datagram.kind is not kind or next(seen) else []


def readdressed(datagram: Datagram, path: Path) -> Datagram:
    return replace(datagram, path=path)
