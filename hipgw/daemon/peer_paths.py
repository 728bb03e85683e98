"""Where peers may be reached: their locators, and the addresses of ours that lead there."""

from __future__ import annotations

from ipaddress import IPv4Network

from hipgw.daemon.hip_sockets import HipSockets
from hipgw.daemon.underlay import route_to
from hipgw.resolve import Resolver, is_hit
from hipgw.values import HIP_UDP_PORT, Address, Encapsulation, Hit, Path


class Paths:
    """Where a peer may be reached, as paths from this host."""

    def __init__(
        self,
        resolver: Resolver,
        sockets: HipSockets,
        encapsulation: Encapsulation,
        lsi_prefix: IPv4Network,
        *,
        interfaces_only: bool = False,
        all_pairs: bool = False,
    ) -> None:
        """Know no addresses of ours yet.

        Args:
            resolver: knows the locators of peers.
            sockets: makes paths.
            encapsulation: where neither peer nor packet says anything else.
            lsi_prefix: where LSIs live.
            interfaces_only: never use a source address that is not in `local_addresses`.
            all_pairs: also the sources that the kernel would not choose, after those it would.
        """
        self.local_addresses: tuple[Address, ...] | None = None
        """Ours, best first; None as long as nobody has told."""
        self._interfaces_only = interfaces_only
        self.all_pairs = all_pairs
        """Also the sources that the kernel would not choose."""
        self._resolver = resolver
        self._sockets = sockets
        self._encapsulation = encapsulation
        self._lsi_prefix = lsi_prefix

    def to(self, peer: Hit) -> list[Path]:
        """A path per locator that the kernel has a route to, in the order of the locators.

        With `all_pairs` the paths from our other addresses follow.
        """
        encapsulation = self._encapsulation_of(peer)
        first: list[Path] = []
        more: list[Path] = []
        for locator in self._resolver.locators_of(peer):
            paths = self.to_address(locator, encapsulation)
            first += paths[:1]
            more += paths[1:]
        return first + more if self.all_pairs else first

    def to_address(
        self, locator: Address, encapsulation: Encapsulation | None = None
    ) -> list[Path]:
        """Paths to an address, the one that the kernel would take first."""
        if encapsulation is None:
            encapsulation = self._encapsulation
        return [
            self._sockets.make_path(source, locator, encapsulation, HIP_UDP_PORT)
            for source in self._sources_to(locator)
        ]

    def via(self, peer: Hit) -> list[Path]:
        """A path per rendezvous server of the peer that the kernel has a route to."""
        return [
            self._sockets.make_path(source, server, self._encapsulation_of(peer), HIP_UDP_PORT)
            for server in self._resolver.rendezvous_of(peer)
            for source in self._sources_to(server)[:1]
        ]

    def _encapsulation_of(self, peer: Hit) -> Encapsulation:
        asked = self._resolver.encapsulation_of(peer)
        return self._encapsulation if asked is None else asked

    def back_to(self, locator: Address, encapsulation: Encapsulation, port: int) -> list[Path]:
        """The path to where a packet came from; none when the kernel has no route there."""
        sources = self._sources_to(locator)[:1]
        return [self._sockets.make_path(one, locator, encapsulation, port) for one in sources]

    def _sources_to(self, locator: Address) -> list[Address]:
        """Our addresses that can send to a locator, the kernel's choice first."""
        route = route_to(locator)
        if route is None or self.is_identifier(route.source):
            return []
        ours = [one for one in self.local_addresses or () if one.version == locator.version]
        if self._interfaces_only and self.local_addresses is not None and route.source not in ours:
            return ours
        return [route.source, *(one for one in ours if one != route.source)]

    def is_identifier(self, address: Address) -> bool:
        """Whether an address is a HIT or LSI, which the kernel may pick when it has no better."""
        if address.version == 4:
            return address in self._lsi_prefix
        return is_hit(address)
