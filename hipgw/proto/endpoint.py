"""The engine's face: what comes in, what goes out, and what is due."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from hipgw.crypto import HostIdentity, PrivateHostIdentity
from hipgw.errors import LocalProtocolError
from hipgw.proto.association_table import AssociationTable
from hipgw.proto.association_view import AssociationView
from hipgw.proto.certificate_policy import CertificatePolicy
from hipgw.proto.config import EndpointConfig
from hipgw.proto.core import NO_TRAITS, Core
from hipgw.proto.effects import Effect, JobId
from hipgw.proto.endpoint_parts import assemble
from hipgw.proto.events import Event
from hipgw.proto.locators import LocalAddress
from hipgw.proto.own_identities import IdentityTraits
from hipgw.proto.refusals import DroppedPacket
from hipgw.values import Address, Direction, Hit, Path, Spi
from hipgw.wire import PacketType


class Endpoint:
    """All associations of a host's identities; performs no I/O and reads no clock.

    `now` is monotonic seconds.  After any call the caller takes the effects and applies them in
    order, and asks `next_deadline` when to call `handle_deadline`.  Nothing that a peer sends
    raises.  Not thread-safe: one thread calls; only jobs run elsewhere.
    """

    def __init__(
        self,
        identities: Sequence[PrivateHostIdentity],
        config: EndpointConfig,
        randomness: Callable[[int], bytes],
        now: float,
        traits: Mapping[Hit, IdentityTraits] = NO_TRAITS,
    ) -> None:
        """Make an endpoint and ask for its first R1s.

        Args:
            identities: our host identities, the default one first.
            config: what the operator decided.
            randomness: gives that many unpredictable octets.
            now: monotonic seconds.
            traits: of those identities whose domain identifier is not that of the configuration,
                or that are anonymous, by HIT.

        Raises:
            LocalProtocolError: no identity.
        """
        core = Core(identities, config, randomness, now, traits)
        self.table: Final = AssociationTable(core)
        self._core: Final = core
        self._parts: Final = assemble(core, now)

    # --- entry points ---

    def receive_datagram(self, payload: bytes, path: Path, now: float) -> None:
        """Take one HIP packet, without the marker of UDP encapsulation.

        Args:
            payload: the octets, from anyone.
            path: `local` is the address it came to, `peer` the one it came from.
            now: monotonic seconds.
        """
        self._core.note("datagrams_received")
        self._parts.reception.receive(payload, path, now)

    def want_association(
        self,
        peer: Hit,
        paths: Sequence[Path],
        now: float,
        *,
        local: Hit | None = None,
        via: Sequence[Path] = (),
    ) -> None:
        """See to it that there is an association with `peer`; asking again does no harm.

        Args:
            peer: HIT of the host that data waits for.
            paths: where it may be reached, best first.
            now: monotonic seconds.
            local: which of our identities; None for the one in use, else the first.
            via: paths to its rendezvous servers, which forward I1s (RFC 8004); no data goes there.

        Raises:
            LocalProtocolError: `peer` or `local` cannot be meant, or a new exchange has no path.
        """
        self._parts.caller.want(peer, paths, now, local=local, via=via)

    def close_association(self, peer: Hit, now: float, *, local: Hit | None = None) -> None:
        """End the association with `peer`, if there is one.

        In I2-SENT the peer may have taken our I2 already: forgetting it could leave both hosts with
        different keys, so the CLOSE follows as soon as there is an answer.

        Raises:
            LocalProtocolError: `local` is not ours.
        """
        self._parts.caller.close(peer, now, local=local)

    # --- entry points: opportunistic mode, identities ---

    def want_peer_at(
        self,
        paths: Sequence[Path],
        now: float,
        *,
        local: Hit | None = None,
        expected: Hit | None = None,
    ) -> None:
        """Ask who is at an address, and make an association with whoever it is (section 4.1.8).

        `PeerFound` or `PeerNotFound` tells; after the first, `Established` or `Failed`.

        Args:
            paths: ways to one address.
            now: monotonic seconds.
            local: which of our identities; None for the first.
            expected: the HIT that the address showed before: another one is refused.

        Raises:
            LocalProtocolError: `local` is not ours, no path, or paths to several addresses.
        """
        core = self._core
        if local is not None and (local not in core.identities or core.is_retired(local)):
            raise LocalProtocolError(f"{local} is not a HIT of this host")
        identity = core.offered()[0] if local is None else core.identities[local]
        self._parts.opportunist.seek(identity, paths, expected, now)

    def forget_peer_at(self, address: Address, *, local: Hit | None = None) -> None:
        """Wait no longer for who is at an address; harmless when nobody waits."""
        hit = self._core.offered()[0].hit if local is None else local
        self._parts.opportunist.give_up(hit, address)

    def answer_opportunistic(self, *, is_on: bool) -> None:
        """Whether an I1 to the NULL HIT gets an R1 from now on."""
        self._core.answers_opportunistic = is_on

    def add_identity(
        self, identity: PrivateHostIdentity, now: float, traits: IdentityTraits | None = None
    ) -> None:
        """One more identity of this host; it answers I1s as soon as its R1s are signed."""
        self._core.add_identity(identity, traits)
        self._parts.pool.renew(now)

    def show_identities(self, traits: Mapping[Hit, IdentityTraits], now: float) -> None:
        """Some of our identities show themselves otherwise from now on; others are left alone."""
        if self._core.show(traits):
            self._parts.pool.renew(now)

    def retire_identity(self, hit: Hit) -> None:
        """Offer an identity no more; `IdentityGone` follows when its last association has ended.

        Raises:
            LocalProtocolError: it is not ours, or the only one.
        """
        core = self._core
        if hit not in core.identities or core.is_retired(hit):
            raise LocalProtocolError(f"{hit} is not a HIT of this host")
        if len(core.offered()) == 1:
            raise LocalProtocolError(f"{hit} is the only identity of this host: add another first")
        core.retire_identity(hit)
        self._parts.pool.publish_again()

    # --- entry points: what the data plane has seen ---

    def esp_received(self, spi: Spi, now: float) -> None:
        """Valid ESP came in on one of our SPIs; call it for the first, and later as often as liked.

        Ends R2-SENT and rekeys, and keeps the association from being idle.
        """
        self._parts.usage.esp_received(spi, now)

    def sa_usage(
        self,
        spi: Spi,
        octets: int,
        packets: int,
        now: float,
        *,
        direction: Direction = Direction.IN,
        local: Hit | None = None,
        peer: Hit | None = None,
    ) -> None:
        """Counters of one SA since it was installed; call it now and then, for each SA.

        Feeds rekeying by use, credit for addresses that are not verified, the heartbeat ("data is
        sent"), and the judgement whether an association is idle.

        Args:
            spi: of the SA.
            octets: inner octets so far.
            packets: packets so far.
            now: monotonic seconds.
            direction: of the SA.
            local: our HIT; needed for `Direction.OUT`, whose SPIs two peers may share.
            peer: the other HIT, likewise.
        """
        if direction is Direction.IN:
            self._parts.usage.inbound(spi, (octets, packets), now)
        elif local is None or peer is None:
            raise LocalProtocolError("sa_usage of an outbound SA needs both HITs")
        else:
            self._parts.usage.outbound(local, peer, spi, (octets, packets), now)

    def sa_expiring(self, spi: Spi, now: float) -> None:
        """The sequence numbers of an SA, of either direction, come to their end: replace the pair.

        Two peers may share an outbound SPI; then both pairs are replaced, which does no harm.
        """
        self._parts.usage.expiring(spi, now)

    def unknown_spi(self, peer: Hit, paths: Sequence[Path], now: float) -> bool:
        """ESP with an SPI that is not ours came from where `peer` may be.

        Args:
            peer: whose address the source is, as far as we know.
            paths: the way back to that source, then others.
            now: monotonic seconds.

        Returns:
            Whether a base exchange begins, because one of us has lost its state.
        """
        if not paths or not self._parts.state_loss.may_call(peer, paths[0].peer, now):
            return False
        self.want_association(peer, paths, now)
        return True

    def peer_seen_at(self, spi: Spi, path: Path, now: float) -> None:
        """Valid ESP on one of our SPIs came another way than the association goes: a NAT moved.

        The peer is asked there, and data follows once it has answered.

        Args:
            spi: of an inbound SA.
            path: from where it came to the peer's new address and port, in UDP.
            now: monotonic seconds.
        """
        association = self._core.sas.owner(spi)
        if association is not None:
            self._parts.upkeep.mobility.peer_seen_at(association, path, now)

    def path_failed(self, path: Path, now: float, *, is_certain: bool = False) -> None:
        """Something says that a path does not work.

        Args:
            path: as in `SendDatagram`.
            now: monotonic seconds.
            is_certain: a fact of this host, such as an interface that went down: other paths are
                taken at once.  Otherwise, as for an ICMP error, which anyone may forge, all paths
                are probed and the first that works is taken.
        """
        self._parts.upkeep.reachability.path_failed(path, now, is_certain=is_certain)

    # --- entry points: what the host and its operator say ---

    def legacy_changed(self, now: float) -> None:
        """Other peers are `legacy` than before: R1s may be needed in another HIP version.

        Associations that use what their peers may not use any more are closed.
        """
        self._parts.reconfigurer.legacy_changed(now)

    def local_addresses_changed(self, addresses: Sequence[LocalAddress], now: float) -> None:
        """These are the addresses of this host that HIP may use, all of them, settled.

        Associations whose address has gone take another path at once; peers are told.  Link-local,
        multicast and loopback addresses are never announced.
        """
        self._parts.upkeep.mobility.local_addresses_changed(addresses, now)

    def certificates_changed(self, policy: CertificatePolicy, now: float) -> None:
        """Take over other certificates of ours, authorities, revocation lists or requirements.

        What peers have shown is looked at again; associations that fall short are closed.
        """
        packets = self._core.certificates.send_in | policy.send_in
        self._parts.gate.change(policy, now)
        if PacketType.R1 in packets:
            self._parts.pool.renew(now)

    def manual_update(self, peer: Hit | None, now: float, *, with_rekey: bool = False) -> int:
        """Run the UPDATE exchange without a change of addresses, with one peer or with all.

        Returns:
            To how many peers.
        """
        if with_rekey:
            started = 0
            for association in tuple(self._core.associations.values()):
                if peer is None or association.peer == peer:
                    started += self._parts.upkeep.rekeyer.start(association, "operator", now)
            return started
        return self._parts.upkeep.mobility.manual_update(peer, now)

    def rekey_association(self, peer: Hit, now: float, *, local: Hit | None = None) -> bool:
        """Replace the security associations with `peer`; False if there are none, or just now.

        Raises:
            LocalProtocolError: `local` is not ours.
        """
        self._parts.caller.check_pair(peer, local)
        _, association = self._core.pair(peer, local)
        return association is not None and self._parts.upkeep.rekeyer.start(
            association, "operator", now
        )

    def open_sa_pair(self, peer: Hit, address: Address, now: float) -> bool:
        """Ask for a further pair of security associations for one of our addresses (RFC 8047).

        It takes over when the path does; False when there is no such way, or just now.
        """
        _, association = self._core.pair(peer, None)
        return association is not None and self._parts.upkeep.parallel.open(
            association, address, now
        )

    def reconfigure(self, config: EndpointConfig, now: float) -> frozenset[str]:
        """Go on with another configuration, at once; associations that stand keep standing.

        Those with peers that `config.permits` refuses are closed.  `r1_counter` is left out.

        Returns:
            Names of the keys that differ from before.
        """
        return self._parts.reconfigurer.take(config, now)

    def new_puzzles(self, now: float) -> None:
        """Begin a new generation of R1s, of the same difficulty, as the operator wishes."""
        self._parts.pool.renew(now)

    def i1s_answered(self, count: int, now: float) -> None:
        """So many I1s were answered elsewhere: they count as load of the puzzle."""
        self._parts.load.on_i1s(count, now)

    # --- time ---

    def next_deadline(self) -> float | None:
        """When `handle_deadline` is due (monotonic seconds), or None."""
        return self._core.timers.next_deadline()

    def handle_deadline(self, now: float) -> None:
        """Do what is due; harmless when nothing is."""
        self._parts.deadlines.meet(now)

    def job_done(self, job: JobId, result: object, now: float) -> None:
        """Take what a job returned; a job of an unknown number is ignored."""
        then = self._core.end_of_job(job)
        if then is None:
            return
        then(result, now)
        self._parts.caller.close_unwanted(now)

    # --- outlets ---

    def take_effects(self) -> list[Effect]:
        """Work for the loop, to be done in this order."""
        effects, self._core.effects = self._core.effects, []
        return effects

    def take_events(self) -> list[Event]:
        """What has happened since the last call."""
        events, self._core.events = self._core.events, []
        return events

    # --- views ---

    def host_identity(self, peer: Hit) -> HostIdentity | None:
        """The key that a peer has proven in a base exchange, if there is an association."""
        found = (one.peer_identity for one in self._core.associations.values() if one.peer == peer)
        return next((identity for identity in found if identity is not None), None)

    def associations(self) -> list[AssociationView]:
        """Snapshots of all associations."""
        return [association.view() for association in self._core.associations.values()]

    @property
    def counters(self) -> dict[str, int]:
        """Dropped packets by reason; every reason of `CONTROL_REASONS` is there."""
        return dict(self._core.counters)

    @property
    def latest_drops(self) -> dict[str, DroppedPacket]:
        """The latest dropped packet of each reason, where its sender is known."""
        return dict(self._core.latest_drops)

    @property
    def activity(self) -> dict[str, int]:
        """Packets by type and direction (`i1_sent`, `r1_received`, ...) and other happenings."""
        return dict(self._core.activity)

    @property
    def config(self) -> EndpointConfig:
        """What holds now."""
        return self._core.config

    @property
    def puzzle_k(self) -> int:
        """Difficulty of the puzzles in our newest R1s."""
        return self._core.puzzle_k

    @property
    def identities(self) -> tuple[Hit, ...]:
        """HITs of our identities, the default one first; with those on their way out."""
        return tuple(self._core.identities)
