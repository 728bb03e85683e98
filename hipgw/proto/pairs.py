"""Pairs of a local and a peer address, and which of them is best: pure functions.

A pair is *failed* when an UPDATE over it got no answer while one over another did.  A local address
is *proven* when an authentic packet of the peer has arrived there; an address that has just come
up is not, so it takes data only once it works, or when there is no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hipgw.proto.association import Association
from hipgw.proto.core import Core
from hipgw.proto.locators import (
    SIGNALLING_ONLY,
    LocalAddress,
    LocatorState,
    Origin,
    PeerLocator,
    PeerLocators,
)
from hipgw.values import HIP_UDP_PORT, Address, Encapsulation, Path


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two addresses of one family."""

    path: Path
    locator: PeerLocator
    preference: int
    """Of the local address."""


def table_of(core: Core, association: Association) -> PeerLocators:
    """The peer's locators; the table is made when it is first needed."""
    reach = association.reach
    if reach.locators is None:
        table = PeerLocators(association.path, core.config.locators_most)
        for hint in reach.hints:
            table.add(hint.peer, hint.peer_port, Origin.CONFIGURED)
        reach.locators = table
    return reach.locators


def local_sources(core: Core, association: Association) -> list[LocalAddress]:
    """Where we can send from, best first; the address in use counts until it is taken away.

    As long as nobody has told our addresses, those count where packets have arrived.
    """
    reach, current = association.reach, association.path.local
    if core.local_addresses is None:
        known = [LocalAddress(address) for address in reach.proven if address != current]
    else:
        known = list(core.local_addresses)
    if not reach.is_local_gone and all(one.address != current for one in known):
        known.append(LocalAddress(current))
    return known


def path_between(association: Association, local: Address, address: Address, port: int) -> Path:
    """A path in the encapsulation of the association."""
    current = association.path
    if current.encapsulation is Encapsulation.RAW:
        return Path(local, address)
    return Path(local, address, current.encapsulation, current.local_port, port or HIP_UDP_PORT)


def pairs_of(core: Core, association: Association) -> Iterator[Pair]:
    """Every pair of a local address and a usable locator of the same family."""
    sources = local_sources(core, association)
    for locator in table_of(core, association):
        if not locator.is_usable:
            continue
        for source in sources:
            if source.address.version == locator.address.version:
                path = path_between(association, source.address, locator.address, locator.port)
                yield Pair(path, locator, source.preference)


def rank(
    association: Association, pair: Pair, *, ignores_failures: bool, ignores_proof: bool
) -> tuple[bool | int, ...]:
    """Sort key of a pair, the least is best."""
    reach, locator, current = association.reach, pair.locator, association.path
    trouble = 0
    if locator.state is LocatorState.UNVERIFIED:
        trouble = 2 if locator.failures else int(not ignores_proof)
    refuge = None if ignores_failures else reach.refuge
    return (
        not ignores_failures and pair.path in reach.failed,
        trouble,
        refuge is not None and pair.path != refuge,
        not ignores_proof and pair.path.local not in reach.proven,
        locator.traffic_type == SIGNALLING_ONLY,
        -pair.preference,
        not locator.is_preferred,
        pair.path.peer != current.peer,
        pair.path.local != current.local,
    )


def best_pair(
    core: Core,
    association: Association,
    *,
    ignores_failures: bool = False,
    ignores_proof: bool = False,
) -> Pair | None:
    """Where data should go; None when there is no pair at all.

    Args:
        core: knows our addresses.
        association: whose.
        ignores_failures: also pairs that failed.
        ignores_proof: also addresses of either side that have not worked yet: where we want to be.
    """
    return min(
        pairs_of(core, association),
        key=lambda pair: rank(
            association, pair, ignores_failures=ignores_failures, ignores_proof=ignores_proof
        ),
        default=None,
    )


def best_pair_to(core: Core, association: Association, locator: PeerLocator) -> Pair | None:
    """The best pair with this locator at its far end."""
    return min(
        (pair for pair in pairs_of(core, association) if pair.locator is locator),
        key=lambda pair: rank(association, pair, ignores_failures=False, ignores_proof=False),
        default=None,
    )


def rendezvous_paths(core: Core, association: Association) -> list[Path]:
    """Ways to the peer's rendezvous servers, from the best local address of the family.

    They carry UPDATEs when both hosts have moved and neither knows where the other is (RFC 8046
    section 3.2.3); never data, nor echo requests.
    """
    paths = []
    for server in core.config.rendezvous_of(association.peer):
        for source in local_sources(core, association):
            if source.address.version == server.version:
                paths.append(path_between(association, source.address, server, HIP_UDP_PORT))
                break
    return paths


def all_paths(core: Core, association: Association) -> list[Path]:
    """Paths of all pairs, best first, at most as many as a shotgun may use."""
    ranked = sorted(
        pairs_of(core, association),
        key=lambda pair: rank(association, pair, ignores_failures=False, ignores_proof=False),
    )
    return [pair.path for pair in ranked[: core.config.shotgun_paths_most]]
