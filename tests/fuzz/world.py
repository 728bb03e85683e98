"""Invariant: a copy of a world behaves as the original would have; the original never changes.

Two live endpoints and the packets between them, in memory and under a clock of their own.  The
first is the one that is fuzzed, the second an honest peer whose packets can be changed on the way.
Keys are fixed; what is drawn anew in each run are the nonces of signatures and Diffie-Hellman keys.
"""

from __future__ import annotations

import gc
from collections import Counter, OrderedDict, deque
from copy import deepcopy
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cache
from hashlib import shake_128
from ipaddress import ip_address
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hipgw.crypto import PrivateHostIdentity
from hipgw.proto import (
    AssociationView,
    Compute,
    Endpoint,
    EndpointConfig,
    InstallSa,
    LimitPath,
    LocalAddress,
    MoveSa,
    RemoveSa,
    SendDatagram,
    State,
    limits,
)
from hipgw.proto.config import is_nobody, permit_everyone, rendezvous_of_nobody
from hipgw.proto.initiator_jobs import AnsweredR1
from hipgw.proto.keying import Keying
from hipgw.proto.local_identity import LocalIdentity
from hipgw.proto.r1_pool import Generation
from hipgw.proto.responder_jobs import AcceptedI2, MadeR1
from hipgw.proto.timers import TimerHeap
from hipgw.values import Address, DhGroup, Direction, Encapsulation, Hit, Path, Spi
from hipgw.wire import (
    LIFETIME_UNBOUNDED_S,
    ParameterType,
    checksum_is_right,
    find_tlv,
    parse_packet,
    with_checksum,
)

Parcel = tuple[bytes, Path]
"""A packet and the path it arrives on, seen from the receiver."""
JOBS_MOST = 400
"""Jobs that one call into the engine may lead to, when each is done at once."""
DEADLINES_MOST = 500
DH_GROUPS = (DhGroup.NIST_P256, DhGroup.NIST_P384)
R1_PERIOD_S = 1500.0
SERVER = ip_address("192.0.2.3")
"""Of a rendezvous server that forwards to either host, with the source that a packet came from."""
SOURCES_MOST = 8
"""Sources that each rate limiter remembers."""
UNCHANGING = (
    "hipgw.values",
    "hipgw.wire",
    "hipgw.crypto",
    "hipgw.proto.dialect_",
    "hipgw.proto.local_identity",
    "ipaddress",
    "cryptography",
)
UNCHANGING_TYPES = (Keying, MadeR1, AnsweredR1, AcceptedI2, EndpointConfig, AssociationView)
ATOMS = (bytes, str, int, float, type(None))
CONTAINERS = (dict, list, set, deque, OrderedDict, Counter)


RSA_PRIMES = (
    (
        "de25e8ca61de54493b7aed261eb54299db14feefb9e46e034fdc93aed16425ac"
        "f103a7c2190831c4cd7db0ffb109d8a8ae4c2e3cb555a7b29f92e4094caf380b "
        "d4249ca4d7fe528078ab8a8f0875ab6b51fc0d9fee32f848e91e7ae1ea983b7d"
        "9a1a7ae3428eb9dcc8a7022a6c6760fcd14f2df84fef19727e52b50042c2cff7"
    ),
    (
        "e58b3a577f8bd2cec1022b02751e183b93eb18aad4378235c10dfe959e5c1fa5"
        "674920508d179b916ea36b8a9aa5984fd06dd49dd898dd4223c5ec83d6b0dded "
        "db2fbc3817ec4a469440b3c6ee9bf163b6ebfa54769b6ece54688f68a6971259"
        "dbe6b6c523b296d634c36dd174f6959b9b301194b34572aee3cea88ea032d745"
    ),
)
"""Of two keys of 1024 bits, hexadecimal: p and q."""


@cache
def fixed_identity(kind: str, number: int) -> PrivateHostIdentity:
    """The same key each time: p256, ed25519 or rsa."""
    if kind == "rsa":
        p, q = (int(prime, 16) for prime in RSA_PRIMES[number].split())
        d = rsa.rsa_recover_private_exponent(65537, p, q)
        key: Any = rsa.RSAPrivateNumbers(
            p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), rsa.RSAPublicNumbers(65537, p * q)
        ).private_key()
    elif kind == "ed25519":
        key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
    else:
        key = ec.derive_private_key(0xFACE + number, ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return PrivateHostIdentity.from_pem(pem, allow_weak=True)


class Randomness:
    """Octets that look random and are the same in each run."""

    def __init__(self, seed: int) -> None:
        self.seed, self.drawn = seed, 0

    def __call__(self, octets: int) -> bytes:
        self.drawn += 1
        return shake_128(f"{self.seed} {self.drawn}".encode()).digest(octets)


@dataclass(eq=False)
class Host:
    """An endpoint, what it sent, and a data plane that only remembers."""

    endpoint: Endpoint
    identities: tuple[PrivateHostIdentity, ...]
    address: Address
    inbox: list[Parcel] = field(default_factory=list)
    """Sent to this host and not delivered yet."""
    history: list[Parcel] = field(default_factory=list)
    """All that was ever sent to this host."""
    sas: dict[tuple[Direction, int, Hit], int] = field(default_factory=dict)
    jobs: list[Compute] = field(default_factory=list)
    """Held back."""
    keying: Keying | None = None
    host_id_tlv: bytes = b""
    is_holding: bool = False

    version: int = 2
    """Of HIP, in which the host is asked to speak."""

    @property
    def hit(self) -> Hit:
        return self.identity.hit

    @property
    def identity(self) -> LocalIdentity:
        return LocalIdentity.of(self.identities[0], self.version)

    def states(self) -> dict[tuple[Hit, Hit], State]:
        """State by peer and local HIT."""
        return {(one.peer, one.local): one.state for one in self.endpoint.associations()}

    def state(self, peer: Hit) -> State:
        """State towards a peer, under whichever identity."""
        found = [state for (other, _), state in self.states().items() if other == peer]
        return found[0] if found else State.UNASSOCIATED

    def spis(self) -> list[int]:
        return [spi for direction, spi, _ in self.sas if direction is Direction.IN]


@dataclass(eq=False)
class World:
    """The fuzzed node, its peer, and the time in seconds."""

    node: Host
    peer: Host
    encapsulation: Encapsulation = Encapsulation.RAW
    now: float = 1000.0

    def path(self, to: Host, source: Address | None = None, *, udp: bool | None = None) -> Path:
        """How a packet of the other host arrives at `to`."""
        other = self.peer if to is self.node else self.node
        is_udp = self.encapsulation is Encapsulation.UDP if udp is None else udp
        ports = (10500, 10500) if is_udp else (0, 0)
        return Path(to.address, source or other.address, Encapsulation(is_udp), *ports)

    def receive(self, host: Host, parcel: Parcel) -> None:
        """Deliver one packet and do what follows from it."""
        host.endpoint.receive_datagram(*parcel, self.now)
        self.settle(host)

    def finish_job(self, host: Host, number: int) -> None:
        """Run one of the jobs that are held back."""
        effect = host.jobs.pop(number % len(host.jobs))
        self._finish(host, effect)
        self.settle(host)

    def settle(self, host: Host) -> None:
        """Apply effects until there are none; packets go to the other host's inbox."""
        other = self.peer if host is self.node else self.node
        jobs = 0
        while effects := host.endpoint.take_effects():
            for effect in effects:
                match effect:
                    case SendDatagram(payload, path):
                        _check_sent(payload, path)
                        ends = path.peer, path.local, path.encapsulation
                        arrives = Path(*ends, path.peer_port, path.local_port)
                        if path.peer == SERVER:
                            arrives = replace(arrives, local=other.address)
                            if path.encapsulation is Encapsulation.RAW:
                                payload = with_checksum(payload, path.local, other.address)
                        other.inbox.append((payload, arrives))
                        other.history.append((payload, arrives))
                    case InstallSa(sa):
                        key = sa.direction, sa.spi, sa.peer_hit
                        assert sa.direction or sa.spi not in host.spis(), "inbound SPIs are unique"
                        host.sas[key] = host.sas.get(key, 0) + 1
                    case RemoveSa(direction, spi, _, peer):
                        del host.sas[direction, spi, peer]
                    case MoveSa(direction, spi, _, peer, _):
                        assert (direction, spi, peer) in host.sas, "moved an SA that is not there"
                    case LimitPath(spi, _, peer):
                        assert (Direction.OUT, spi, peer) in host.sas, "limited one likewise"
                    case Compute() if host.is_holding:
                        host.jobs.append(effect)
                    case Compute():
                        jobs += 1
                        assert jobs < JOBS_MOST, "jobs without end"
                        self._finish(host, effect)
        host.endpoint.take_events()

    def _finish(self, host: Host, effect: Compute) -> None:
        result = effect.job.run()
        if isinstance(result, AnsweredR1 | AcceptedI2):
            host.keying = result.keying
        if isinstance(result, MadeR1):
            host.host_id_tlv = result.host_id_tlv
        host.endpoint.job_done(effect.job_id, result, self.now)

    def pump(self, *, to_node: bool = True) -> None:
        """Deliver what is under way until nothing is."""
        for _ in range(20):
            for host in (self.peer, self.node) if to_node else (self.peer,):
                waiting, host.inbox = host.inbox, []
                for parcel in waiting:
                    self.now += 0.001
                    self.receive(host, parcel)
            if not self.peer.inbox and not (to_node and self.node.inbox):
                return

    def wait(self, seconds: float) -> None:
        """Let time pass for both hosts."""
        end = self.now + seconds
        for _ in range(200):
            due = [
                (at, host is self.peer)
                for host in (self.node, self.peer)
                if (at := host.endpoint.next_deadline()) is not None and at <= end
            ]
            if not due:
                break
            at, is_peer = min(due)
            self.now = max(self.now, at)
            host = self.peer if is_peer else self.node
            host.endpoint.handle_deadline(self.now)
            self.settle(host)
        self.now = end

    def rest(self, host: Host, seconds: float) -> None:
        """Let time pass for one host, all jobs done, with nobody there to hear or answer it."""
        host.is_holding = False
        while host.jobs:
            self.finish_job(host, 0)
        end = self.now + seconds
        for _ in range(DEADLINES_MOST):
            at = host.endpoint.next_deadline()
            if at is None or at > end:
                self.now = end
                return
            self.now = max(self.now, at)
            host.endpoint.handle_deadline(self.now)
            self.settle(host)
        raise AssertionError(f"{DEADLINES_MOST} deadlines in {seconds} s")

    def want(self, host: Host) -> None:
        other = self.peer if host is self.node else self.node
        host.endpoint.want_association(other.hit, [self.path(host)], self.now)
        self.settle(host)

    def close(self, host: Host) -> None:
        other = self.peer if host is self.node else self.node
        host.endpoint.close_association(other.hit, self.now)
        self.settle(host)

    def readdress(self, host: Host, which: int) -> None:
        """The addresses of a host are now another set; the first set is the one at the start."""
        sets = (
            (host.address,),
            (ip_address("198.51.100.7"),),
            (host.address, ip_address(f"2001:db8::{int(host.address) & 3}")),
            (),
        )
        addresses = [LocalAddress(one) for one in sets[which % len(sets)]]
        host.endpoint.local_addresses_changed(addresses, self.now)
        self.settle(host)

    def rekey(self, host: Host, *, is_pair: bool = False) -> None:
        """New SAs in the place of those in use, or beside them."""
        other = self.peer if host is self.node else self.node
        if is_pair:
            host.endpoint.open_sa_pair(other.hit, host.address, self.now)
        else:
            host.endpoint.rekey_association(other.hit, self.now)
        self.settle(host)

    def use(self, host: Host, octets: int) -> None:
        """The data plane has counted traffic on every SA."""
        for direction, spi, peer in tuple(host.sas):
            hits = {"direction": direction, "local": host.hit, "peer": peer}
            host.endpoint.sa_usage(Spi(spi), octets, octets // 1000, self.now, **hits)
        self.settle(host)

    def esp(self, host: Host, *, is_known: bool = True) -> None:
        """The data plane has received ESP, or such that names no SA."""
        if not is_known:
            other = self.peer if host is self.node else self.node
            host.endpoint.unknown_spi(other.hit, [self.path(host)], self.now)
        for spi in host.spis() if is_known else ():
            host.endpoint.esp_received(Spi(spi), self.now)
        self.settle(host)


def _check_sent(payload: bytes, path: Path) -> None:
    """What we send is well formed."""
    packet = parse_packet(payload, versions=frozenset({1, 2}))
    assert packet.octets == payload
    if path.encapsulation is Encapsulation.RAW:
        assert checksum_is_right(payload, path.local, path.peer)


class Flavour(Enum):
    """Who the two hosts are."""

    NODE_IS_LOW = "the node's HIT is the smaller one"
    NODE_IS_HIGH = "the node's HIT is the larger one, over UDP"
    TWO_IDENTITIES = "the node has two identities and answers opportunistic I1s; puzzles of 2 bits"
    MOVING = "both announce locators, rekey with new keys, and probe a silent peer"
    OLD = "both speak HIPv1"


def build(state: State, flavour: Flavour) -> World:
    """A world whose node is in `state` towards its peer."""
    world = _hosts(flavour)
    node, peer = world.node, world.peer
    match state:
        case State.I1_SENT:
            world.want(node)
            world.pump(to_node=False)
        case State.I2_SENT:
            world.want(node)
            world.pump(to_node=False)
            world.receive(node, node.inbox.pop())
            world.pump(to_node=False)
        case State.E_FAILED:
            world.want(node)
            while node.state(peer.hit) is not state:
                world.wait(1.0)
        case State.R2_SENT:
            world.want(peer)
            while node.state(peer.hit) is not state:
                world.receive(node, node.inbox.pop(0))
                world.pump(to_node=False)
        case _:
            world.want(peer if state is State.CLOSED else node)
            world.pump()
            world.esp(node)
            world.esp(peer)
    match state:
        case State.CLOSING:
            world.close(node)
            world.pump(to_node=False)
        case State.CLOSED:
            world.close(peer)
            world.pump()
        case State.UNASSOCIATED:
            world.close(node)
            world.pump()
    assert node.state(peer.hit) is state, (node.state(peer.hit), state, flavour)
    return world


def _hosts(flavour: Flavour) -> World:
    two, is_moving = flavour is Flavour.TWO_IDENTITIES, flavour is Flavour.MOVING
    low, high = sorted((fixed_identity("p256", 1), fixed_identity("p256", 2)), key=lambda i: i.hit)
    ours: tuple[PrivateHostIdentity, ...] = (high if flavour is Flavour.NODE_IS_HIGH else low,)
    theirs = low if flavour is Flavour.NODE_IS_HIGH else high
    if two:
        ours, theirs = (*ours, fixed_identity("ed25519", 3)), fixed_identity("ed25519", 4)
    is_old = flavour is Flavour.OLD
    if is_old:
        ours, theirs = (fixed_identity("rsa", 0),), fixed_identity("rsa", 1)
    config = EndpointConfig(
        is_legacy=(permit_everyone if is_old else is_nobody),
        speaks_v1=lambda: is_old,
        v1_dh_groups=(DhGroup.MODP_384,),
        dh_groups=DH_GROUPS,
        ual_s=60.0,
        msl_s=10.0,
        r1_period_s=R1_PERIOD_S,
        puzzle_k=2 if two else 0,
        puzzle_k_most=4,
        puzzle_tries=64,
        answer_opportunistic=two,
        announce_locators=is_moving,
        rendezvous_of=(lambda _: (SERVER,)) if is_moving else rendezvous_of_nobody,
        announce_burst=1.0 if is_moving else 64.0,
        locator_lifetime_s=30 if is_moving else LIFETIME_UNBOUNDED_S,
        rekey_with_dh=is_moving,
        rekey_on_move=is_moving,
        shotgun=is_moving,
        heartbeat_s=10.0 if is_moving else 0.0,
        rekey_s=40.0 if is_moving else 3600.0,
        rekey_octets=100_000,
        associations_most=4,
        half_open_most=4,
        half_open_per_source=2,
        r1_burst=24.0,
        r1_source_burst=6.0,
        reply_burst=8.0,
        reply_source_burst=3.0,
        sources_most=SOURCES_MOST,
    )
    made = [
        Host(Endpoint(keys, config, Randomness(seed), 1000.0), keys, ip_address(address))
        for keys, seed, address in ((ours, 1, "192.0.2.1"), ((theirs,), 2, "192.0.2.2"))
    ]
    for host in made:
        host.version = 1 if is_old else 2
    is_udp = flavour is Flavour.NODE_IS_HIGH
    world = World(*made, Encapsulation.UDP if is_udp else Encapsulation.RAW)
    for host in made:
        world.settle(host)
        if is_moving:
            world.readdress(host, 2)
    return world


class Snapshot:
    """A world that copies of can be made of, quickly: values that never change are shared."""

    def __init__(self, world: World) -> None:
        self._world = world
        found = _reachable(world)
        shared = {id(one): one for one in found if _is_unchanging(one)}
        for one in found:
            if type(one) is tuple and all(
                id(each) in shared or isinstance(each, ATOMS) for each in one
            ):
                shared[id(one)] = one
        self._shared = shared

    def copy(self) -> World:
        return deepcopy(self._world, dict(self._shared))


@dataclass(frozen=True)
class Sizes:
    """Entries of all tables of an endpoint, but its statistics."""

    entries: int
    passing: int
    """Those that are bounded otherwise: R1 generations come and go, limiters remember sources."""

    @property
    def lasting(self) -> int:
        """Entries that only the end of an association takes away."""
        return self.entries - self.passing


def sizes_of(endpoint: Endpoint) -> Sizes:
    """Count what an endpoint holds, wherever it does; attributes of objects are no entries."""
    entries, passing, attributes = 0, 0, set()
    found = _reachable(endpoint)
    for one in found:
        if isinstance(one, TimerHeap):
            entries += len(one)
        elif isinstance(one, Generation):
            passing += 1 + len(one.r1s) + len(one.used)
        elif type(one).__module__ == limits.__name__:
            passing += sum(len(held) for held in _reachable(one) if isinstance(held, OrderedDict))
        if not isinstance(one, CONTAINERS) and hasattr(one, "__dict__"):
            attributes.add(id(vars(one)))
    for one in found:
        if isinstance(one, CONTAINERS) and id(one) not in attributes:
            entries += len(one)
    by_reason = len(endpoint.latest_drops)  # no more than there are reasons, whatever comes
    return Sizes(entries - len(endpoint.activity) - by_reason, passing)


def peer_host_id(world: World) -> bytes:
    """The HOST_ID of the last R1 that the peer sent, which HIP_MAC_2 of its R2 covers."""
    for payload, _ in reversed(world.node.history):
        if payload[2] & 0x7F == 2 and (found := find_tlv(payload, ParameterType.HOST_ID)):
            offset, total = found
            return payload[offset : offset + total]
    return world.peer.host_id_tlv


def _is_unchanging(one: object) -> bool:
    kind = type(one)
    return kind in UNCHANGING_TYPES or (
        kind.__module__.startswith(UNCHANGING) and not isinstance(one, type)
    )


def _reachable(start: object) -> list[object]:
    """All objects that something holds; not what those hold that never change.

    Nor what timers hold: a cancelled one stays, with its association, until its time or a rebuild.
    """
    seen: dict[int, object] = {id(start): start}
    queue = [start]
    while queue:
        for one in gc.get_referents(queue.pop()):
            if id(one) in seen or isinstance(
                one, type | ModuleType | FunctionType | BuiltinFunctionType | str | bytes | int
            ):
                continue
            seen[id(one)] = one
            if not _is_unchanging(one) and not isinstance(one, Enum | TimerHeap):
                queue.append(one)
    return list(seen.values())
