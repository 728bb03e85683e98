"""Where the peer can be reached, and where we can: tables of one association and of the host.

RFC 8046 section 5.1 for the states, section 5.3 for what a LOCATOR_SET does to them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from ipaddress import IPv4Address
from typing import Final

from hipgw.values import HIP_UDP_PORT, Address, Encapsulation, Hit, Path
from hipgw.wire import (
    LIFETIME_UNBOUNDED_S,
    AddressLocator,
    LocatorRecord,
    SpiLocator,
    TransportLocator,
)

DEFAULT_LIFETIME_S: Final = 1800
"""For records without a usable lifetime, as HIPL sends them."""
SHARED_MOST: Final = 256
SIGNALLING_ONLY: Final = 1
_BROADCAST: Final = IPv4Address("255.255.255.255")
_UDP_PROTOCOL: Final = 17


class LocatorState(Enum):
    """Whether a locator of the peer may be used (RFC 8046 section 5.1)."""

    UNVERIFIED = "UNVERIFIED"
    ACTIVE = "ACTIVE"
    DEPRECATED = "DEPRECATED"

    def __str__(self) -> str:
        return self.value


class Happening(Enum):
    """What changes the state of a locator."""

    LISTED = "in the peer's newest LOCATOR_SET"
    UNLISTED = "not in the peer's newest LOCATOR_SET"
    REACHED = "the peer has answered from there"
    EXPIRED = "its lifetime is over"


LOCATOR_MOVES: Final[Mapping[tuple[LocatorState, Happening], LocatorState]] = {
    (LocatorState.UNVERIFIED, Happening.REACHED): LocatorState.ACTIVE,
    (LocatorState.UNVERIFIED, Happening.UNLISTED): LocatorState.DEPRECATED,
    (LocatorState.UNVERIFIED, Happening.EXPIRED): LocatorState.DEPRECATED,
    (LocatorState.ACTIVE, Happening.UNLISTED): LocatorState.DEPRECATED,
    (LocatorState.ACTIVE, Happening.EXPIRED): LocatorState.DEPRECATED,
    (LocatorState.DEPRECATED, Happening.LISTED): LocatorState.UNVERIFIED,
}
"""Every change; whatever is not here stays as it is.  Never DEPRECATED to ACTIVE directly."""


class Origin(Enum):
    """How we came to know a locator."""

    EXCHANGE = "used in the base exchange"
    ANNOUNCED = "in a LOCATOR_SET"
    OBSERVED = "source of an authentic packet"
    CONFIGURED = "given by our own side"


@dataclass(slots=True, eq=False)
class PeerLocator:
    """One address of the peer."""

    address: Address
    port: int
    """UDP port, 0 without UDP."""
    origin: Origin
    traffic_type: int = 0
    is_preferred: bool = False
    expires_s: float | None = None
    spi: int | None = None
    """The SPI that it belongs to, from a locator of type 1."""
    verifying: int | None = None
    """Update ID of the UPDATE that asks whether the peer is there."""
    failures: int = 0
    _state: LocatorState = LocatorState.UNVERIFIED

    @property
    def state(self) -> LocatorState:
        """The state; only `note` changes it."""
        return self._state

    @property
    def is_active(self) -> bool:
        """Whether data may be sent there without limit."""
        return self._state is LocatorState.ACTIVE

    @property
    def is_usable(self) -> bool:
        """Whether anything may be sent there."""
        return self._state is not LocatorState.DEPRECATED

    def note(self, happening: Happening) -> None:
        """Take the move of the table, if it has one."""
        self._state = LOCATOR_MOVES.get((self._state, happening), self._state)


@dataclass(frozen=True, slots=True)
class LocatorView:
    """What an operator may see of a locator of the peer."""

    address: Address
    port: int
    state: LocatorState
    is_preferred: bool
    origin: Origin
    expires_s: float | None


class PeerLocators:
    """The locators of one peer, at most `most` of them."""

    __slots__ = ("_most", "_table")

    def __init__(self, path: Path, most: int) -> None:
        """Begin with the address of the base exchange: ACTIVE, preferred, unbounded (5.1)."""
        self._most = most
        first = PeerLocator(path.peer, path.peer_port, Origin.EXCHANGE, is_preferred=True)
        first.note(Happening.REACHED)
        self._table: dict[tuple[Address, int], PeerLocator] = {(path.peer, path.peer_port): first}

    def __iter__(self) -> Iterator[PeerLocator]:
        return iter(tuple(self._table.values()))

    def __len__(self) -> int:
        return len(self._table)

    def of(self, path: Path) -> PeerLocator | None:
        """The locator at the far end of a path."""
        return self._table.get((path.peer, path.peer_port))

    def at(self, address: Address) -> PeerLocator | None:
        """The first locator with this address, whatever its port."""
        return next((one for one in self._table.values() if one.address == address), None)

    def add(self, address: Address, port: int, origin: Origin) -> PeerLocator | None:
        """Find or add a locator, UNVERIFIED; None when the table is full of usable ones."""
        key = address, port
        found = self._table.get(key)
        if found is not None:
            return found
        if len(self._table) >= self._most:
            stale = next((key for key, one in self._table.items() if not one.is_usable), None)
            if stale is None:
                return None
            del self._table[stale]
        self._table[key] = PeerLocator(address, port, origin)
        return self._table[key]

    def replace(self, listing: Sequence[Listed], path: Path, now: float) -> int:
        """Make the peer's newest LOCATOR_SET the whole truth (section 5.3).

        Args:
            listing: what it lists, judged fit.
            path: where it came from; if a NAT put that source there, it stays.
            now: monotonic seconds.

        Returns:
            How many there was no room for.
        """
        kept = {(one.address, one.port) for one in listing}
        source = self.of(path)
        for key, one in self._table.items():
            if key not in kept and not (one is source and one.origin is Origin.OBSERVED):
                one.note(Happening.UNLISTED)
        return self.add_all(listing, now)

    def add_all(self, listing: Sequence[Listed], now: float) -> int:
        """Add what a LOCATOR_SET lists, and take its word for what is preferred.

        Returns:
            How many there was no room for.
        """
        too_many = 0
        for one in self._table.values():
            one.is_preferred = False
        for entry in listing:
            locator = self.add(entry.address, entry.port, Origin.ANNOUNCED)
            if locator is None:
                too_many += 1
                continue
            locator.note(Happening.LISTED)
            locator.failures = 0
            locator.is_preferred = entry.is_preferred
            locator.traffic_type = entry.traffic_type
            locator.spi = entry.spi
            locator.expires_s = None if entry.lifetime_s is None else now + entry.lifetime_s
            if locator.origin is not Origin.EXCHANGE:
                locator.origin = Origin.ANNOUNCED
        return too_many

    def expire(self, now: float) -> bool:
        """Deprecate what has lived long enough; whether there was any."""
        is_any = False
        for one in self._table.values():
            if one.is_usable and one.expires_s is not None and one.expires_s <= now:
                one.note(Happening.EXPIRED)
                one.is_preferred = False
                is_any = True
        return is_any

    def next_expiry(self) -> float | None:
        """When the next usable locator expires."""
        times = [
            one.expires_s
            for one in self._table.values()
            if one.is_usable and one.expires_s is not None
        ]
        return min(times, default=None)

    def views(self) -> tuple[LocatorView, ...]:
        """Snapshots for the operator."""
        return tuple(
            LocatorView(
                one.address, one.port, one.state, one.is_preferred, one.origin, one.expires_s
            )
            for one in self._table.values()
        )


@dataclass(frozen=True, slots=True)
class Listed:
    """One record of a LOCATOR_SET that we can use."""

    address: Address
    port: int
    traffic_type: int
    is_preferred: bool
    lifetime_s: float | None
    spi: int | None = None


def listed(record: LocatorRecord, path: Path, table: PeerLocators | None) -> Listed | None:
    """Judge one record (section 5.3 step 3): unicast, of a type that we know and can use.

    Args:
        record: as it came.
        path: of the association; says whether UDP is spoken, and to which port.
        table: locators known so far, whose ports are kept.
    """
    locator, port = record.locator, 0
    is_udp = path.encapsulation is Encapsulation.UDP
    if isinstance(locator, AddressLocator | SpiLocator):
        if is_udp:
            known = None if table is None else table.at(locator.address)
            port = HIP_UDP_PORT if known is None else known.port
    elif isinstance(locator, TransportLocator):
        if not is_udp or locator.protocol != _UDP_PROTOCOL or not locator.port:
            return None
        port = locator.port
    else:
        return None
    if not is_announceable(locator.address) and locator.address != path.peer:
        return None
    if record.traffic_type > 2:
        return None
    lifetime_s: float | None = record.lifetime_s or DEFAULT_LIFETIME_S
    if record.lifetime_s == LIFETIME_UNBOUNDED_S:
        lifetime_s = None
    spi = locator.spi if isinstance(locator, SpiLocator) else None
    return Listed(locator.address, port, record.traffic_type, record.preferred, lifetime_s, spi)


# --- our own ---


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """An address of this host that HIP may use; more `preference` is better."""

    address: Address
    interface: str = ""
    preference: int = 0


@dataclass(frozen=True, slots=True)
class Announced:
    """What the peer knows of us; made by `announced`."""

    addresses: frozenset[Address]
    preferred: Address

    def in_order(self) -> tuple[Address, ...]:
        """The preferred one first."""
        others = sorted(self.addresses - {self.preferred}, key=lambda one: (one.version, one))
        return (self.preferred, *others)


@lru_cache(maxsize=SHARED_MOST)
def announced(addresses: frozenset[Address], preferred: Address) -> Announced:
    """What a peer knows of us; most peers know the same, so they share one."""
    return Announced(addresses, preferred)


@lru_cache(maxsize=SHARED_MOST)
def only(address: Address) -> frozenset[Address]:
    """The set of one address, shared likewise."""
    return frozenset((address,))


def is_announceable(address: Address) -> bool:
    """Whether an address may stand in a LOCATOR_SET.

    Multicast and broadcast must not (RFC 8046 section 4), link-local ones would mean another host
    off the link (RFC 8047 section 5.1), and a HIT is no locator.
    """
    if address.is_multicast or address.is_link_local or address.is_loopback:
        return False
    if address.is_unspecified or address == _BROADCAST:
        return False
    if isinstance(address, IPv4Address):
        return not address.is_reserved
    return not Hit(address.packed).version
