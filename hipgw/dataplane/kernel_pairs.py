"""Security associations of HIP as XFRM states and policies.

A BEET state carries exactly one pair of inner addresses (measured on Linux 6.1 and 6.12: a state
restores the addresses of its selector, whatever was sent).  Ours carry the HITs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from hipgw.dataplane.kernel_suites import kernel_algorithms
from hipgw.netlink.xfrm import (
    Encapsulation,
    Lifetime,
    Ownership,
    PolicyDirection,
    PolicyId,
    ReplayEsn,
    Selector,
    StateFlag,
    StateId,
    Template,
    Usage,
    XfrmPolicy,
    XfrmState,
)
from hipgw.values import Address, Direction, Hit, Path, SecurityAssociation, Spi
from hipgw.values import Encapsulation as HipEncapsulation

REQIDS: Final = range(0x4849_0000, 0x4859_0000)
"""Request ids of hipgw ("HI"), one for each pair of HITs: by them it knows its own again."""
OWNERSHIP: Final = Ownership(REQIDS)
PRIORITY: Final = 0x4849
WINDOW_PACKETS: Final = 1024
"""Anti-replay, with and without extended sequence numbers."""
SOFT_PACKETS: Final = 0xF000_0000
"""Outbound packets after which an event asks for new keys, as in user space."""
EXTENDED_BITS: Final = 32
"""More of them in extended sequence numbers."""
FIRST_PACKET: Final = 1
"""Inbound packets after which an event says that the peer uses an SA."""
MAPPING_INTERVAL_S: Final = 1
"""Between two events that say where a peer behind a NAT sends from."""
IPV6_HEADER_OCTETS: Final = 40
IP_IN_IPV6: Final = (4, 41)
"""Protocols of RFC 2473: IPv4 and IPv6 in IPv6."""
ANY: Final[dict[int, Address]] = {4: IPv4Address(0), 6: IPv6Address(0)}


class InPolicy(Enum):
    """What a host demands of packets that arrive from a peer's HIT."""

    NONE = 0
    """Nothing: user space carries."""
    OPTIONAL = 1
    """ESP of the kernel, or what user space delivers: while both carry."""
    STRICT = 2
    """ESP of the kernel."""


@dataclass(frozen=True, slots=True)
class Carried:
    """As the kernel counts."""

    packets: int = 0
    octets: int = 0

    def plus(self, usage: Usage) -> Carried:
        """And what another state has carried."""
        return Carried(self.packets + usage.packets, self.octets + usage.octets)


NOTHING: Final = Carried()


@dataclass(slots=True)
class KernelSa:
    """A state that is installed, and what was seen of it."""

    direction: Direction
    spi: Spi
    path: Path
    name: StateId
    before: Carried = NOTHING
    """By states that this one took over from."""
    packets: int = 0
    last_used_s: float | None = None
    """CLOCK_MONOTONIC of the look that saw more packets than the one before."""


@dataclass(slots=True)
class KernelPair:
    """What the kernel has for a pair of HITs."""

    local: Hit
    peer: Hit
    reqid: int
    inbound: dict[Spi, KernelSa] = field(default_factory=dict)
    outbound: KernelSa | None = None
    is_held: bool = False
    """Nothing may be sent now; packets go the way of those that have no SA."""
    has_out_policy: bool = False
    in_policy: InPolicy = InPolicy.NONE
    has_tunnel: bool = False
    """A tunnel device takes IP in IPv6 between the HITs apart, which must have come in ESP."""

    @property
    def has_states(self) -> bool:
        """Whether the kernel carries something of it."""
        return self.outbound is not None or bool(self.inbound)

    def sas(self) -> list[KernelSa]:
        """All that it has, inbound ones first."""
        return [*self.inbound.values(), *([] if self.outbound is None else [self.outbound])]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left of it."""
        return not self.has_states and not self.has_tunnel


def ends_of(direction: Direction, path: Path) -> tuple[Address, Address]:
    """Outer source and destination of packets in a direction."""
    if direction is Direction.OUT:
        return path.local, path.peer
    return path.peer, path.local


def selector_of(direction: Direction, local: Hit, peer: Hit) -> Selector:
    """The one pair of inner addresses."""
    ours, theirs = IPv6Address(local.packed), IPv6Address(peer.packed)
    if direction is Direction.OUT:
        return Selector.between(ours, theirs)
    return Selector.between(theirs, ours)


def encapsulation_of(direction: Direction, path: Path) -> Encapsulation | None:
    """Ports of the outer UDP header, if there is one."""
    if path.encapsulation is HipEncapsulation.RAW:
        return None
    if direction is Direction.OUT:
        return Encapsulation(path.local_port, path.peer_port)
    return Encapsulation(path.peer_port, path.local_port)


def lifetime_of(direction: Direction, soft_octets: int, *, is_extended: bool = False) -> Lifetime:
    """When an event is to come; nothing ends by itself.

    Args:
        direction: of the state.
        soft_octets: after which new keys are wanted, 0 for never.
        is_extended: whether sequence numbers have 64 bits.
    """
    soft_packets = SOFT_PACKETS << EXTENDED_BITS if is_extended else SOFT_PACKETS
    if direction is Direction.IN:
        return Lifetime(soft_packets=FIRST_PACKET)
    if not soft_octets:
        return Lifetime(soft_packets=soft_packets)
    return Lifetime(soft_packets=soft_packets, soft_octets=soft_octets)


def state_of(sa: SecurityAssociation, reqid: int, soft_octets: int = 0) -> XfrmState:
    """A state with copies of the keys; `wipe` it when it has been handed over."""
    source, destination = ends_of(sa.direction, sa.path)
    algorithms = kernel_algorithms(sa.suite, sa.encryption_key, sa.authentication_key)
    encapsulation = encapsulation_of(sa.direction, sa.path)
    is_inbound_udp = encapsulation is not None and sa.direction is Direction.IN
    return XfrmState(
        source=source,
        destination=destination,
        spi=int(sa.spi),
        selector=selector_of(sa.direction, sa.local_hit, sa.peer_hit),
        aead=algorithms.aead,
        cipher=algorithms.cipher,
        authentication=algorithms.authentication,
        reqid=reqid,
        replay_window=0,
        flags=StateFlag.ESN if sa.is_extended else StateFlag(0),
        replay_esn=ReplayEsn(WINDOW_PACKETS),
        encapsulation=encapsulation,
        lifetime=lifetime_of(sa.direction, soft_octets, is_extended=sa.is_extended),
        mapping_interval_s=MAPPING_INTERVAL_S if is_inbound_udp else None,
    )


def out_policy(pair: KernelPair, spi: Spi, path: Path) -> XfrmPolicy:
    """What is sent between the HITs leaves by exactly this state."""
    source, destination = ends_of(Direction.OUT, path)
    template = Template(source, destination, reqid=pair.reqid, spi=int(spi))
    selector = selector_of(Direction.OUT, pair.local, pair.peer)
    return XfrmPolicy(selector, PolicyDirection.OUT, (template,), PRIORITY)


def in_policy(pair: KernelPair, family: int, demand: InPolicy) -> XfrmPolicy:
    """What arrives between the HITs came out of one of this pair's states, whatever its path."""
    template = Template(
        ANY[family], ANY[family], reqid=pair.reqid, optional=demand is InPolicy.OPTIONAL
    )
    selector = selector_of(Direction.IN, pair.local, pair.peer)
    return XfrmPolicy(selector, PolicyDirection.IN, (template,), PRIORITY)


def tunnel_policies(pair: KernelPair) -> tuple[XfrmPolicy, ...]:
    """IP in IPv6 from a peer's HIT came in ESP of this pair, while user space delivers, too.

    User space takes such packets apart itself, so none that it delivers meets these.
    """
    family = 6 if not pair.inbound else family_of(pair)
    whole = in_policy(pair, family, InPolicy.STRICT)
    return tuple(
        replace(whole, selector=replace(whole.selector, protocol=one), priority=PRIORITY - 1)
        for one in IP_IN_IPV6
    )


def family_of(pair: KernelPair) -> int:
    """Outer address family of its inbound SAs, of which there is one at least."""
    return next(iter(pair.inbound.values())).path.local.version


def policies_of(pair: KernelPair) -> list[tuple[Selector, PolicyDirection]]:
    """What names the policies that a pair has."""
    found = []
    if pair.has_out_policy:
        found.append((selector_of(Direction.OUT, pair.local, pair.peer), PolicyDirection.OUT))
    if pair.in_policy is not InPolicy.NONE:
        found.append((selector_of(Direction.IN, pair.local, pair.peer), PolicyDirection.IN))
    if pair.has_tunnel:
        found += [(policy.selector, policy.direction) for policy in tunnel_policies(pair)]
    return found


def policy_name(direction: Direction, local: Hit, peer: Hit) -> PolicyId:
    """What names the policy of a pair."""
    way = PolicyDirection.OUT if direction is Direction.OUT else PolicyDirection.IN
    return PolicyId(selector_of(direction, local, peer), way)


def inner_octets(octets: int, packets: int) -> int:
    """Octets of inner packets, from what the kernel counts: it leaves their IP headers out."""
    return octets + packets * IPV6_HEADER_OCTETS
