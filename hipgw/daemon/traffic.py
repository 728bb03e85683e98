"""What the data path cannot decide alone: packets without an association, HIP in UDP, families.

The data path hands such packets up ("punts") through a bounded ring; nothing here is per packet of
an established flow.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final, Protocol

from hipgw._fastpath import punts
from hipgw.daemon.engine_loop import EngineLoop
from hipgw.daemon.first_packets import FirstPackets, Pair
from hipgw.daemon.inner_packets import in_ipv6, inner_ends
from hipgw.daemon.logs import RateLimitedLog
from hipgw.daemon.lsis import LsiRegistry
from hipgw.daemon.peer_paths import Paths
from hipgw.daemon.ports import FAMILY_HIT, PortFamilies
from hipgw.daemon.sa_home import SaHome
from hipgw.dataplane.composite import WayOut
from hipgw.dataplane.interface import Carrier
from hipgw.errors import LocalProtocolError
from hipgw.resolve import Resolver
from hipgw.values import Encapsulation, Hit, Lsi, Path, Spi

PUNTS_PER_TURN: Final = 64
PORT_FAMILY_S: Final = 2.0
"""How long the data path believes who listens on a port before that is looked at again."""
SUSPECTS_MOST: Final = 4
"""Peers behind one address that ESP with an unknown SPI may come from."""
UDP: Final = 17
IPV4: Final = 4
LSI_REASON: Final = "LSIs are in use: a BEET state of the kernel serves one pair of addresses"
QUEUE_S: Final = 30.0
"""Longer than all tries of a base exchange: what still waits then, waits in vain."""

log = logging.getLogger(__name__)


class DataPathPort(Protocol):
    """The part of `hipgw._fastpath.worker.DataPath` that this talks to."""

    def take_punts(self, limit: int = 64) -> list[tuple[int, bytes, tuple[Any, ...]]]:
        """Oldest punts first: kind, octets, and what the kind adds; asks again if some stay."""
        ...

    def inject_outbound(self, packet: bytes) -> bool:
        """Send an inner IP packet as if it came from the TUN."""
        ...

    def deliver_inbound(self, packet: bytes, family: int, spi: int) -> bool:
        """Give the local host a decrypted inner packet, as HITs (6) or LSIs (4)."""
        ...

    def set_port_family(self, protocol: int, port: int, family: int) -> None:
        """Remember who listens on a port: 6 HIT, 4 LSI, 0 forget."""
        ...


class Traffic:
    """Takes punts and brings each to its end: sent, delivered, kept, or counted as dropped."""

    def __init__(
        self,
        data_path: DataPathPort,
        engine: EngineLoop,
        *,
        sas: SaHome,
        queue: FirstPackets,
        lsis: LsiRegistry,
        resolver: Resolver,
        paths: Paths,
        ports: PortFamilies,
        own_hits: Sequence[Hit],
        udp_port: int,
        names_v1: Mapping[Hit, Hit] | None = None,
    ) -> None:
        self._data_path = data_path
        self._engine = engine
        self._sas = sas
        self._queue = queue
        self._lsis = lsis
        self._resolver = resolver
        self._paths = paths
        self._ports = ports
        self._own_hits = frozenset(own_hits)
        self._names_v1 = dict(names_v1 or {})
        self._udp_port = udp_port
        self._ready: dict[Pair, None] = {}
        self._port_families: dict[tuple[int, int], float] = {}
        self._queued_at: dict[Pair, float] = {}
        self._to_user_space: set[Pair] = set()
        self._failures = 0
        self._limited = RateLimitedLog(log)
        self.counters: Counter[str] = Counter()
        self.pair_of: Callable[[bytes], Pair | None] = lambda _: None
        """Whose association carries a packet to a routed prefix; None: it goes to no prefix."""
        self.on_too_big: Callable[[bytes, int], None] = lambda _packet, _mtu: None
        """Answers a packet that its path does not carry."""
        self._handlers: dict[int, Callable[[bytes, tuple[Any, ...]], None]] = {
            punts.PUNT_NO_SA: self.on_no_sa,
            punts.PUNT_CONTROL: self.on_control,
            punts.PUNT_CONTROL_RAW: self.on_raw_control,
            punts.PUNT_FIRST_ESP: self.on_first_esp,
            punts.PUNT_FAMILY: self.on_family,
            punts.PUNT_EXPIRE: self.on_expire,
            punts.PUNT_STRANGE: self.on_strange,
            punts.PUNT_TOO_BIG: lambda packet, meta: self.on_too_big(packet, meta[0]),
        }

    def set_own(
        self,
        hits: Sequence[Hit],
        lsis: Sequence[Lsi],
        names_v1: Mapping[Hit, Hit] | None = None,
    ) -> None:
        """These are the HITs and LSIs of this host from now on."""
        self._own_hits = frozenset(hits)
        self._names_v1 = dict(names_v1 or {})
        self._ports.set_own(hits, lsis)

    def take_punts(self) -> None:
        """Handle a share of the punts that wait; the data path wakes us again for the rest."""
        for kind, octets, meta in self._data_path.take_punts(PUNTS_PER_TURN):
            handler = self._handlers.get(kind)
            if handler is None:
                self.counters["punt_unknown"] += 1
            else:
                handler(octets, meta)

    # --- packets without an outbound SA ---

    def on_no_sa(self, packet: bytes, _meta: tuple[Any, ...]) -> None:
        """An inner packet from the TUN: find its association, or make one and keep the packet."""
        if (pair := self.pair_of(packet)) is not None:
            self._on_no_sa_routed(packet, *pair)
            return
        ends = inner_ends(packet)
        if ends is None:
            self.counters["punt_malformed"] += 1
            return
        source, destination = ends
        local = self._hit_behind(source)
        peer = self._hit_behind(destination)
        if local not in self._own_hits or local is None:
            self.counters["foreign_source"] += 1
            return
        if peer is None:
            self.counters["lsi_unknown"] += 1
            self._limited.info("no peer has this LSI", lsi=destination)
            return
        if isinstance(source, Lsi) and peer.version == 1:
            local = self._names_v1.get(local, local)  # an LSI is that of both HITs of an identity
        current = self._sas.outbound_of(local, peer)
        if current is None:
            self._keep(packet, local, peer)
        elif isinstance(destination, Lsi) and destination != current.peer_lsi:
            # Sent up again and again if it were injected: the SA answers to another LSI.
            self.counters["lsi_changed"] += 1
        else:
            self._send(packet, local, peer)

    def _send(self, packet: bytes, local: Hit, peer: Hit) -> None:
        """A packet of a pair that has an outbound SA, wherever that lives."""
        way = self._sas.way_out(local, peer)
        if way is WayOut.USER:
            self._inject(packet)
        elif self.pair_of(packet) is not None:
            self._send(in_ipv6(packet, local, peer), local, peer)
        elif packet[0] >> 4 == IPV4:
            self._bring_to_user_space(packet, local, peer)
        elif way is WayOut.KERNEL:
            if not self._sas.send_in_kernel(local, peer, packet):
                self.counters["kernel_not_sent"] += 1
        else:
            self._wait(packet, (local, peer))

    def _bring_to_user_space(self, packet: bytes, local: Hit, peer: Hit) -> None:
        """A packet to an LSI: a state of the kernel serves the HITs alone, so new keys go to us."""
        split, pair = self._sas.split, (local, peer)
        self._wait(packet, pair)
        if split is not None and pair not in self._to_user_space:
            self._to_user_space.add(pair)
            split.wish(local, peer, Carrier.USER, LSI_REASON)
            self._rekey(pair)

    def _rekey(self, pair: Pair) -> None:
        local, peer = pair

        def rekey(now: float) -> None:
            self._engine.endpoint.rekey_association(peer, now, local=local)

        self._engine.step(rekey)

    def _rekey_again(self) -> None:
        """Pairs whose rekey could not begin, because another one was not done."""
        for pair in tuple(self._to_user_space):
            if self._sas.outbound_of(*pair) is None or self._sas.way_out(*pair) is WayOut.USER:
                self._to_user_space.discard(pair)
            else:
                self._rekey(pair)

    def _wait(self, packet: bytes, pair: Pair) -> None:
        """Keep a packet until the pair's next outbound SA."""
        if self._queue.put(pair, packet):
            self._queued_at.setdefault(pair, self._engine.now())

    def _on_no_sa_routed(self, packet: bytes, local: Hit, peer: Hit) -> None:
        """A packet of a host that knows no HIP, to a prefix of a peer."""
        if self._sas.outbound_of(local, peer) is None:
            self._keep(packet, local, peer)
        else:
            self._send(packet, local, peer)

    def _hit_behind(self, identifier: Hit | Lsi) -> Hit | None:
        if isinstance(identifier, Hit):
            return identifier
        found = self._lsis.lsi_to_hit(identifier)
        if found is None and self._resolver.refresh():
            self._lsis.apply_fixed()
            found = self._lsis.lsi_to_hit(identifier)
        return found

    def _keep(self, packet: bytes, local: Hit, peer: Hit) -> None:
        pair = local, peer
        if pair not in self._queued_at:
            failures = self._failures
            if not self.want(local, peer):
                return
            if failures != self._failures:
                self.counters["refused_at_once"] += 1
                return
        if self._queue.put(pair, packet):
            self._queued_at.setdefault(pair, self._engine.now())

    def want(self, local: Hit | None, peer: Hit) -> bool:
        """See to it that there is an association; False, and a count, when none can begin."""
        self._resolver.refresh()
        paths, via = self._paths.to(peer), self._paths.via(peer)
        if not paths and not via:
            self.counters["no_locator"] += 1
            if known := self._resolver.locators_of(peer):
                addresses = ", ".join(map(str, known))
                self._limited.warning(
                    "no way to reach peer: this host has no route to it",
                    peer_hit=peer,
                    addresses=addresses,
                )
            else:
                self._limited.warning(
                    "no way to reach peer: give it an address in the configuration or a hosts file",
                    peer_hit=peer,
                )
            return False
        try:
            self._engine.step(
                lambda now: self._engine.endpoint.want_association(
                    peer, paths, now, local=local, via=via
                )
            )
        except LocalProtocolError as error:
            self.counters["not_wanted"] += 1
            self._limited.info("no association", peer_hit=peer, reason=error)
            return False
        return True

    def _inject(self, packet: bytes) -> None:
        if not self._data_path.inject_outbound(packet):
            self.counters["inject_full"] += 1

    def on_outbound_installed(self, local: Hit, peer: Hit) -> None:
        """Packets of the pair go out once all effects of this step are applied."""
        self._ready[local, peer] = None

    def flush(self) -> None:
        """Send what waited for outbound SAs that are there now, in the order it came."""
        ready, self._ready = self._ready, {}
        for pair in ready:
            self._queued_at.pop(pair, None)
            for packet in self._queue.take(pair):
                self._send(packet, *pair)

    def on_failed(self, local: Hit, peer: Hit) -> None:
        """No association: what waited is dropped."""
        self._failures += 1
        self._queued_at.pop((local, peer), None)
        self._queue.drop((local, peer))

    # --- the other kinds ---

    def on_control(self, octets: bytes, meta: tuple[Any, ...]) -> None:
        """A HIP packet that came over UDP, marker taken off."""
        source, source_port, destination = meta
        family = IPv4Address if len(source) == 4 else IPv6Address
        path = Path(
            family(destination), family(source), Encapsulation.UDP, self._udp_port, source_port
        )
        if path.local.is_unspecified or not source_port:
            self.counters["control_unreadable"] += 1
            return
        self._engine.step(lambda now: self._engine.endpoint.receive_datagram(octets, path, now))

    def on_raw_control(self, octets: bytes, meta: tuple[Any, ...]) -> None:
        """A HIP packet that came over IP protocol 139."""
        source, _, destination = meta
        family = IPv4Address if len(source) == 4 else IPv6Address
        path = Path(family(destination), family(source))
        if path.local.is_unspecified:
            self.counters["control_unreadable"] += 1
            return
        self._engine.step(lambda now: self._engine.endpoint.receive_datagram(octets, path, now))

    def on_first_esp(self, _octets: bytes, meta: tuple[Any, ...]) -> None:
        """The first packet of an inbound SA was valid: the peer has the keys."""
        spi = Spi(meta[0])
        self._engine.step(lambda now: self._engine.endpoint.esp_received(spi, now))

    def on_family(self, packet: bytes, meta: tuple[Any, ...]) -> None:
        """A decrypted packet to a port that the data path knows nothing of: HIT or LSI?"""
        spi, protocol, port = meta
        family = self._ports.family_of(protocol, port)
        if family is None:
            # Nobody listens (yet): the answer, a reset or an error, comes from IPv6.
            family = FAMILY_HIT
        else:
            self._data_path.set_port_family(protocol, port, family)
            self._port_families[protocol, port] = self._engine.now()
        # A refusal is counted where it happens.
        self._data_path.deliver_inbound(packet, family, spi)

    def _look_again(self, protocol: int, port: int, now: float) -> None:
        """Whoever holds the port keeps it: to ask once more would put packets out of order."""
        family = self._ports.family_of(protocol, port)
        if family is None:
            del self._port_families[protocol, port]
        else:
            self._port_families[protocol, port] = now
        self._data_path.set_port_family(protocol, port, family or 0)

    def on_expire(self, hits: bytes, meta: tuple[Any, ...]) -> None:
        """An outbound SA nears its last sequence number: its pair is replaced."""
        spi = Spi(meta[0])
        self._limited.info(
            "sequence numbers run out", peer_hit=Hit(hits[16:32]), spi=f"{spi:#010x}"
        )
        self._engine.step(lambda now: self._engine.endpoint.sa_expiring(spi, now))

    def on_strange(self, _octets: bytes, meta: tuple[Any, ...]) -> None:
        """ESP names no SA of ours: from a peer's address it says that we have lost our state."""
        packed, port, protocol, spi = meta
        if self._sas.is_kernels(Spi(spi)):
            self.counters["kernel_copies"] += 1
            return
        source = (IPv4Address if len(packed) == 4 else IPv6Address)(packed)
        encapsulation = Encapsulation.UDP if protocol == UDP else Encapsulation.RAW
        for peer in self._resolver.hits_at(source)[:SUSPECTS_MOST]:
            paths = self._paths.back_to(source, encapsulation, port)
            if self._call_back(
                peer, paths + [one for one in self._paths.to(peer) if one not in paths]
            ):
                self.counters["called_back"] += 1
                self._limited.info(
                    "unknown SPI: calling the peer", peer_hit=peer, spi=f"{spi:#010x}"
                )

    def _call_back(self, peer: Hit, paths: Sequence[Path]) -> bool:
        is_begun = False

        def call(now: float) -> None:
            nonlocal is_begun
            is_begun = self._engine.endpoint.unknown_spi(peer, paths, now)

        try:
            self._engine.step(call)
        except LocalProtocolError as error:
            self.counters["not_wanted"] += 1
            self._limited.info("no association", peer_hit=peer, reason=error)
        return is_begun

    # --- housekeeping ---

    def forget_old(self, now: float) -> None:
        """Port families are looked at again after two seconds, and packets go after thirty."""
        for (protocol, port), set_at in list(self._port_families.items()):
            if now - set_at >= PORT_FAMILY_S:
                self._look_again(protocol, port, now)
        self._rekey_again()
        for pair, queued_at in list(self._queued_at.items()):
            if now - queued_at >= QUEUE_S:
                self.on_failed(*pair)
