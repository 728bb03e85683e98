"""How long packets may be: the interface as a whole, and each path.

The interface follows the longest path, as long as nobody else changes its MTU.  What a single path
does not carry is answered towards its sender by the data path's PUNT_TOO_BIG.  A path is as long as
the kernel's route says, or less after a router has said so about a packet of a live association.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

from hipgw.daemon.engine_config import carried_suites
from hipgw.daemon.sa_home import SaRecord
from hipgw.daemon.underlay import DEFAULT_MTU_OCTETS, link_mtu, route_to
from hipgw.drivers.icmp import PACKETS_PER_WAKE, TooBig, parse_too_big
from hipgw.policy import interface_mtus, largest_inner_octets, too_big
from hipgw.values import Address, Direction, Encapsulation, Spi

if TYPE_CHECKING:
    from hipgw.daemon.gateway import Gateway

LEARNED_S: Final = 600.0
"""How long a router's word holds, as in the kernel (net.ipv4.route.mtu_expires)."""
LEAST_OCTETS: Final = 1280
"""Below it outer packets are fragmented: hip0 carries IPv6 (RFC 8200 section 5)."""
PEERS_LOOKED_AT: Final = 256
PATHS_PER_LOOK: Final = 500
IPV6_HEADER_OCTETS: Final = 40
ICMP_OCTETS: Final = 2048

log = logging.getLogger(__name__)


class MtuPort(Protocol):
    """The part of `hipgw._fastpath.worker.DataPath` that this talks to."""

    def set_payload_most(self, spi: int, local_hit: bytes, peer_hit: bytes, octets: int) -> bool:
        """Bound the payload of an outbound SA."""
        ...

    def set_queue_mtus(self, hit_octets: int, lsi_octets: int) -> None:
        """Bound what comes from netfilter queues."""
        ...

    def write_inner(self, packet: bytes) -> bool:
        """Give the host a packet through hip0."""
        ...


class PathMtus:
    """Keeps the MTU of hip0, and what the data path knows of each path, right."""

    def __init__(self, gateway: Gateway, data_path: MtuPort, carried_octets: int) -> None:
        """Know no paths yet.

        Args:
            gateway: the running daemon.
            data_path: is told of paths.
            carried_octets: the longest inner packet that its slots take.
        """
        self._gateway = gateway
        self._data_path = data_path
        self._carried_octets = carried_octets
        self._learned: dict[Address, tuple[int, float]] = {}
        self._due: Iterator[SaRecord] = iter(())
        self._given_octets = gateway.facts.mtu_octets
        self.is_operators = False
        """Whether somebody else has set the MTU of the interface: then it stays."""

    # --- paths ---

    def mtu_to(self, peer: Address) -> int:
        """Octets of an outer packet that reaches an address."""
        route = route_to(peer)
        mtu_octets = DEFAULT_MTU_OCTETS if route is None else route.mtu_octets
        learned, until_s = self._learned.get(peer, (mtu_octets, 0.0))
        if until_s > self._gateway.engine.now():
            return min(mtu_octets, learned)
        return mtu_octets

    def apply(self, record: SaRecord) -> None:
        """Tell the data path what the path of an outbound SA carries."""
        path = record.path
        most = largest_inner_octets(
            self.mtu_to(path.peer), path.peer.version, path.encapsulation, record.suite, 6
        )
        self._data_path.set_payload_most(
            record.spi,
            record.local_hit.packed,
            record.peer_hit.packed,
            max(most, LEAST_OCTETS) - IPV6_HEADER_OCTETS,
        )

    def on_icmp(self, family: int, channel: socket.socket) -> None:
        """Read what routers say."""
        for _ in range(PACKETS_PER_WAKE):
            try:
                octets = channel.recv(ICMP_OCTETS)
            except OSError:
                return
            told = parse_too_big(family, octets)
            if told is not None and not self.learn(told):
                self._gateway.traffic.counters["too_big_foreign"] += 1

    def learn(self, told: TooBig) -> bool:
        """Believe a router when it quotes a packet of an outbound SA; False when it does not."""
        ours = self._gateway.sas.outbound_with(Spi(told.spi))
        records = [record for record in ours if _is_about(told, record)]
        if not records:
            return False
        mtu_octets = max(told.mtu_octets, LEAST_OCTETS)
        now = self._gateway.engine.now()
        before, until_s = self._learned.get(told.peer, (mtu_octets + 1, 0.0))
        # The kernel may have heard the same already, so its route says nothing here.
        if mtu_octets < before or until_s <= now:
            log.info("path carries less", extra={"path": records[0].path, "octets": mtu_octets})
            self._learned = {
                peer: entry for peer, entry in self._learned.items() if entry[1] > now
            } | {told.peer: (mtu_octets, now + LEARNED_S)}
        for record in self._outbound():
            if record.path.peer == told.peer:
                self.apply(record)
        self.follow()
        return True

    def _outbound(self) -> Iterator[SaRecord]:
        return (
            record
            for record in self._gateway.sas.records()
            if record.direction is Direction.OUT and self._gateway.sas.is_current(record)
        )

    def on_too_big(self, packet: bytes, mtu_octets: int) -> None:
        """Answer an inner packet that its path does not carry."""
        answer = too_big(packet, mtu_octets)
        if answer is not None:
            self._data_path.write_inner(answer)

    # --- the interface ---

    def look(self) -> None:
        """Once a round: paths whose routes may have changed, then the interface."""
        records = list(islice(self._due, PATHS_PER_LOOK))
        if not records:
            self._due = iter(list(self._outbound()))
            records = list(islice(self._due, PATHS_PER_LOOK))
        for record in records:
            self.apply(record)
        self.follow()

    def on_configured(self, mtu_octets: int) -> None:
        """The interface was given this MTU by us; netfilter queues cut to the same."""
        self._given_octets = mtu_octets
        facts = self._gateway.facts
        self._data_path.set_queue_mtus(
            max(facts.mtu_octets, LEAST_OCTETS), max(facts.lsi_mtu_octets, LEAST_OCTETS - 20)
        )

    def notice_operator(self) -> bool:
        """Whether the interface has another MTU than we gave it; then that one counts."""
        gateway = self._gateway
        current = link_mtu(gateway.config.network.interface)
        if current is None or current == self._given_octets:
            return False
        self._given_octets = current
        self.is_operators = True
        gateway.facts = replace(
            gateway.facts, mtu_octets=current, lsi_mtu_octets=max(current - 20, 68)
        )
        log.info("MTU of the interface set by somebody else", extra={"octets": current})
        return True

    def heed_operator(self) -> bool:
        """Adapt routes to an MTU that somebody else has set; whether there was one."""
        if not self.notice_operator():
            return False
        self._gateway.own.readdress()
        return True

    def follow(self) -> None:
        """Give the interface the MTU of the longest path, unless somebody says otherwise."""
        gateway = self._gateway
        if self.heed_operator() or self.is_operators or gateway.config.network.mtu is not None:
            return
        mtu_octets, lsi_mtu_octets = self.wanted()
        if mtu_octets != gateway.facts.mtu_octets:
            log.info("MTU of the interface", extra={"octets": mtu_octets})
            gateway.facts = replace(
                gateway.facts, mtu_octets=mtu_octets, lsi_mtu_octets=lsi_mtu_octets
            )
            gateway.own.readdress()

    def wanted(self) -> tuple[int, int]:
        """MTUs for packets between HITs and between LSIs, by the paths of now."""
        gateway = self._gateway
        addresses = {record.path.peer for record in islice(self._outbound(), PEERS_LOOKED_AT)}
        for hit in gateway.resolver.known_hits()[:PEERS_LOOKED_AT]:
            addresses.update(gateway.resolver.locators_of(hit))
        longest = max(map(self.mtu_to, addresses), default=DEFAULT_MTU_OCTETS)
        mtus = interface_mtus(longest, carried_suites(gateway.config), Encapsulation)
        return min(mtus[0], self._carried_octets), min(mtus[1], self._carried_octets - 20)

    def problems(self) -> list[dict[str, str]]:
        """An MTU that does not fit HITs, or what was allotted at the start."""
        mtu_octets = self._gateway.facts.mtu_octets
        if mtu_octets < LEAST_OCTETS:
            return [
                {
                    "problem": f"MTU {mtu_octets} of the interface: below {LEAST_OCTETS} octets "
                    "the kernel takes IPv6 away, and with it the HITs",
                    "remedy": f"ip link set {self._gateway.config.network.interface} mtu 1280",
                }
            ]
        if mtu_octets <= self._carried_octets:
            return []
        return [
            {
                "problem": f"MTU {mtu_octets} of the interface: longer packets than "
                f"{self._carried_octets} octets are dropped",
                "remedy": "start the daemon again with [network] mtu, or lower it",
            }
        ]


def _is_about(told: TooBig, record: SaRecord) -> bool:
    path = record.path
    return (
        (told.spi, told.peer, told.encapsulation) == (record.spi, path.peer, path.encapsulation)
        and told.local == path.local
        and (
            told.encapsulation is Encapsulation.RAW
            or (told.local_port, told.peer_port) == (path.local_port, path.peer_port)
        )
    )
