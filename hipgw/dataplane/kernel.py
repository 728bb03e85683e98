"""The kernel backend: security associations as BEET states of Linux (XFRM)."""

from __future__ import annotations

import errno
import logging
import socket
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Final

from hipgw.dataplane.interface import Carrier
from hipgw.dataplane.kernel_handover import are_ports_new, change_ports, migrate_out, twin_of
from hipgw.dataplane.kernel_pairs import (
    OWNERSHIP,
    REQIDS,
    InPolicy,
    KernelPair,
    KernelSa,
    in_policy,
    inner_octets,
    out_policy,
    state_of,
)
from hipgw.dataplane.kernel_policies import PairPolicies, quietly
from hipgw.errors import LocalProtocolError
from hipgw.netlink.xfrm import (
    Removed,
    StateId,
    StateReport,
    XfrmClient,
    XfrmError,
    XfrmPolicy,
    XfrmState,
    remove_owned,
)
from hipgw.netlink.xfrm.ownership import ALREADY_GONE
from hipgw.values import Direction, Hit, Path, SaStatistics, SecurityAssociation, Spi

LOOKS_MOST: Final = 512
"""States that one call of `statistics` asks about; the next call asks about the next ones."""

log = logging.getLogger(__name__)

Pair = tuple[Hit, Hit]


class KernelBackend:
    """Puts states and policies into the kernel of the calling thread's network namespace.

    Attributes:
        on_inbound: told of the inbound SPIs whenever they change.
        soft_octets: after how many octets outbound the kernel says so, 0 for never.
    """

    def __init__(
        self,
        client: XfrmClient,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_inbound: Callable[[Collection[int]], None] = lambda _: None,
    ) -> None:
        self._client: Final = client
        self._policies: Final = PairPolicies(client)
        self._clock = clock
        self.on_inbound = on_inbound
        self.soft_octets: Callable[[], int] = lambda: 0
        self._pairs: dict[Pair, KernelPair] = {}
        self._names: dict[StateId, tuple[KernelPair, KernelSa]] = {}
        self._inbound: set[int] = set()
        self._reqids_used: set[int] = set()
        self._next_reqid = 0
        self._looked = 0
        self._gone: list[tuple[KernelPair, KernelSa]] = []
        self._raw: socket.socket | None = None

    # --- the interface of a backend ---

    def clear_leftovers(self) -> Removed:
        """Remove what a killed daemon left, known by its request ids; nothing of anybody else's.

        Raises:
            XfrmError: the kernel refused.
        """
        return remove_owned(self._client, OWNERSHIP)

    def install(self, sa: SecurityAssociation, *, is_shared: bool = True) -> None:
        """See `Backend.install`; an outbound SA with the SPI of the present one moves it.

        `is_shared`: see `demand`.
        """
        pair = self._pair(sa.local_hit, sa.peer_hit)
        try:
            if sa.direction is Direction.IN:
                self._install_in(pair, sa, is_shared=is_shared)
            elif pair.outbound is not None and pair.outbound.spi == sa.spi:
                self._move_out(pair, pair.outbound, sa.path)
            else:
                self._install_out(pair, sa)
        except (XfrmError, ValueError) as error:
            self._forget_if_empty(pair)
            raise LocalProtocolError(
                f"the kernel does not take the SA of SPI {sa.spi:#010x} with {sa.peer_hit}: {error}"
            ) from error

    def remove(
        self,
        direction: Direction,
        spi: Spi,
        local_hit: Hit | None = None,
        peer_hit: Hit | None = None,
    ) -> bool:
        """See `Backend.remove`; both HITs are needed."""
        pair = self._find(local_hit, peer_hit)
        sa = None if pair is None else _sa_of(pair, direction, spi)
        if pair is None or sa is None:
            return False
        if direction is Direction.OUT:
            self._policies.drop_out(pair)
            pair.outbound = None
        else:
            del pair.inbound[spi]
            if not pair.inbound:
                self._policies.drop_in(pair)
        self._drop_state(sa)
        self._forget_if_empty(pair)
        return True

    def limit(self, spi: Spi, local_hit: Hit, peer_hit: Hit, octets: int | None) -> bool:
        """Hold everything back while a limit is set: the kernel cannot count down and go on.

        Packets then meet no policy and go to the TUN device, where they may wait.
        """
        pair = self._find(local_hit, peer_hit)
        if pair is None or pair.outbound is None or pair.outbound.spi != spi:
            return False
        pair.is_held = octets is not None
        self.restore_policies(pair)
        return True

    def statistics(self, used_since_s: float = 0.0) -> list[SaStatistics]:
        """See `Backend.statistics`; a share of them each time when there are many."""
        everything = list(self._names.values())
        if used_since_s and len(everything) > LOOKS_MOST:
            start = self._looked % len(everything)
            self._looked = start + LOOKS_MOST
            everything = (everything[start:] + everything[:start])[:LOOKS_MOST]
        rows = [row for pair, sa in everything if (row := self._look(pair, sa)) is not None]
        return [row for row in rows if not used_since_s or (row.last_used_s or 0.0) >= used_since_s]

    def statistics_of(
        self, direction: Direction, spi: Spi, local_hit: Hit, peer_hit: Hit
    ) -> SaStatistics | None:
        """See `Backend.statistics_of`."""
        pair = self._find(local_hit, peer_hit)
        sa = None if pair is None else _sa_of(pair, direction, spi)
        return None if pair is None or sa is None else self._look(pair, sa)

    def move_in(self, spi: Spi, local_hit: Hit, peer_hit: Hit, path: Path) -> bool:
        """See `Backend.move_in`: a state has one destination, so it gets a twin at another one."""
        pair = self._find(local_hit, peer_hit)
        sa = None if pair is None else pair.inbound.get(spi)
        if pair is None or sa is None:
            return False
        try:
            self._move_in(pair, sa, path)
        except (XfrmError, ValueError) as error:
            raise LocalProtocolError(
                f"the kernel does not move the SA of SPI {spi:#010x}: {error}"
            ) from error
        sa.path = path
        return True

    def carrier_of(
        self, direction: Direction, spi: Spi, local_hit: Hit, peer_hit: Hit
    ) -> Carrier | None:
        """See `Backend.carrier_of`."""
        pair = self._find(local_hit, peer_hit)
        found = None if pair is None else _sa_of(pair, direction, spi)
        return None if found is None else Carrier.KERNEL

    def close(self) -> None:
        """Remove everything that is ours; harmless twice."""
        for pair in list(self._pairs.values()):
            for sa in pair.sas():
                self.remove(sa.direction, sa.spi, pair.local, pair.peer)
            self.close_tunnel(pair.local, pair.peer)
        if self._raw is not None:
            self._raw.close()
            self._raw = None
        self._client.close()

    # --- for the composite backend and the watch over events ---

    def pair(self, local: Hit, peer: Hit) -> KernelPair | None:
        """What there is between two HITs."""
        return self._find(local, peer)

    def pairs(self) -> list[KernelPair]:
        """Everything that there is."""
        return list(self._pairs.values())

    def named(self, name: StateId) -> tuple[KernelPair, KernelSa] | None:
        """Whose state this is, if it is ours."""
        return self._names.get(name)

    def has_inbound(self, spi: Spi) -> bool:
        """Whether the kernel carries an inbound SPI."""
        return spi in self._inbound

    def can_send(self, local: Hit, peer: Hit) -> bool:
        """Whether what is sent between two HITs now leaves by the kernel."""
        pair = self._find(local, peer)
        return pair is not None and pair.has_out_policy

    def send(self, local: Hit, peer: Hit, packet: bytes) -> bool:
        """Send an inner packet through the kernel's policies, as any program of this host could."""
        if self._raw is None:
            self._raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
            self._raw.setblocking(False)
        source = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, local.packed + bytes(4))
        try:
            self._raw.sendmsg([packet], [source], 0, (str(peer), 0))
        except OSError:
            return False
        return True

    def demand(self, local: Hit, peer: Hit, *, is_shared: bool) -> None:
        """Say whether user space delivers packets of a pair, too."""
        pair = self._find(local, peer)
        if pair is not None and pair.inbound:
            wanted = InPolicy.OPTIONAL if is_shared else InPolicy.STRICT
            try:
                self._policies.put_in(pair, wanted)
            except XfrmError as error:
                log.warning("policy not changed", extra={"peer_hit": peer, "reason": error})

    def open_tunnel(self, local: Hit, peer: Hit) -> bool:
        """Have IP in IPv6 of a pair come in ESP alone; False when the kernel has none of it.

        Raises:
            XfrmError: the kernel refused, or somebody else has such a policy.
        """
        pair = self._find(local, peer)
        if pair is None or not pair.has_states:
            return False
        self._policies.open_tunnel(pair)
        return True

    def close_tunnel(self, local: Hit, peer: Hit) -> None:
        """The tunnel device takes nothing more."""
        pair = self._find(local, peer)
        if pair is not None and pair.has_tunnel:
            self._policies.close_tunnel(pair)
            self._forget_if_empty(pair)

    def is_gone(self, sa: KernelSa) -> bool:
        """Ask the kernel whether a state that should be there is not."""
        try:
            self._client.state(sa.name)
        except XfrmError as error:
            return error.errno in ALREADY_GONE
        return False

    def take_gone(self) -> list[tuple[KernelPair, KernelSa]]:
        """States that a look has missed since the last call."""
        gone, self._gone = self._gone, []
        return [entry for entry in gone if self._names.get(entry[1].name) == entry]

    def lose(self, pair: KernelPair, sa: KernelSa) -> None:
        """A state has gone without us: nothing more is sent into the void."""
        if sa.direction is Direction.OUT:
            self._policies.drop_out(pair)
            pair.outbound = None
        else:
            pair.inbound.pop(sa.spi, None)
            if not pair.inbound:
                self._policies.drop_in(pair)
        self._drop_state(sa)
        self._forget_if_empty(pair)

    def restore_policies(self, pair: KernelPair) -> None:
        """See `PairPolicies.restore`."""
        self._policies.restore(pair)

    # --- states ---

    def _install_in(self, pair: KernelPair, sa: SecurityAssociation, *, is_shared: bool) -> None:
        if (present := pair.inbound.get(sa.spi)) is not None:
            self.move_in(present.spi, sa.local_hit, sa.peer_hit, sa.path)
            return
        wanted = InPolicy.OPTIONAL if is_shared else InPolicy.STRICT
        if pair.in_policy is InPolicy.NONE:
            policy = in_policy(pair, sa.path.local.version, wanted)
            pair.inbound[sa.spi] = self._add(pair, sa, policy)
            pair.in_policy = wanted
        else:
            pair.inbound[sa.spi] = self._add(pair, sa)
        self._inbound.add(sa.spi)
        self.on_inbound(self._inbound)

    def _install_out(self, pair: KernelPair, sa: SecurityAssociation) -> None:
        """The new state, then the policy that names it, then the old state goes."""
        before = pair.outbound
        if pair.has_out_policy:
            entry = self._add(pair, sa)
            try:
                self._policies.put_out(pair, entry)
            except XfrmError:
                self._drop_state(entry)
                raise
        else:
            entry = self._add(pair, sa, out_policy(pair, sa.spi, sa.path))
            pair.has_out_policy = True
        pair.is_held = False
        pair.outbound = entry
        if before is not None:
            self._drop_state(before)

    def _add(
        self, pair: KernelPair, sa: SecurityAssociation, policy: XfrmPolicy | None = None
    ) -> KernelSa:
        """Install its state, and with it a policy that is not there yet."""
        state = state_of(sa, pair.reqid, self.soft_octets())
        name = StateId(state.destination, state.spi)
        if name in self._names:
            raise ValueError("another peer at this address has chosen the same SPI")
        try:
            if policy is None:
                self._add_state(state, name)
            else:
                self._add_both(state, name, policy)
        finally:
            state.wipe()
        entry = KernelSa(sa.direction, sa.spi, sa.path, name)
        self._names[name] = pair, entry
        return entry

    def _add_both(self, state: XfrmState, name: StateId, policy: XfrmPolicy) -> None:
        """In one step as a rule, else one after the other, which makes room and says more."""
        try:
            self._client.add_with_policy(state, policy)
        except XfrmError:
            self._add_state(state, name)
            try:
                self._policies.add(policy)
            except XfrmError:
                quietly(lambda: self._client.remove_state(name))
                raise

    def _add_state(self, state: XfrmState, name: StateId) -> None:
        """Install it; one of ours that nobody knows any more makes room.

        Raises:
            XfrmError: EEXIST, it is somebody else's.
        """
        try:
            self._client.add_state(state)
        except XfrmError as error:
            if error.errno != errno.EEXIST:
                raise
            if not OWNERSHIP.has_state(self._client.state(name).state):
                raise XfrmError(
                    errno.EEXIST, "add a state", "another program has one with this SPI"
                ) from error
            self._client.remove_state(name)
            self._client.add_state(state)

    def _drop_state(self, sa: KernelSa) -> None:
        self._names.pop(sa.name, None)
        if sa.direction is Direction.IN and sa.spi in self._inbound:
            self._inbound.discard(sa.spi)
            self.on_inbound(self._inbound)
        quietly(lambda: self._client.remove_state(sa.name))

    def _move_out(self, pair: KernelPair, sa: KernelSa, path: Path) -> None:
        """MIGRATE, or UPDSA where only a port is new.

        Raises:
            ValueError: the encapsulation changes; only new keys can do that.
        """
        if path.encapsulation is not sa.path.encapsulation:
            raise ValueError("only new keys change the encapsulation")
        if (path.local, path.peer) == (sa.path.local, sa.path.peer):
            if are_ports_new(sa, path):
                change_ports(self._client, sa, path)
                sa.path = path
            return
        if not pair.has_out_policy:
            self._policies.put_out(pair, sa)
        migrate_out(self._client, pair, sa, path)
        del self._names[sa.name]
        sa.name, sa.path = replace(sa.name, destination=path.peer), path
        self._names[sa.name] = pair, sa
        if pair.is_held:
            self._policies.drop_out(pair)

    def _move_in(self, pair: KernelPair, sa: KernelSa, path: Path) -> None:
        """The same state with its window at our new address; the one at the old address goes.

        Where the peer is does not matter to it: nothing is done for a new address of the peer.
        """
        if path.encapsulation is not sa.path.encapsulation:
            raise ValueError("only new keys change the encapsulation")
        if path.local == sa.path.local:
            if path.peer == sa.path.peer and are_ports_new(sa, path):
                change_ports(self._client, sa, path)
            return
        report = self._client.state(sa.name, with_keys=True)
        moved = twin_of(report.state, path)
        name = StateId(moved.destination, sa.name.spi)
        try:
            if name not in self._names:
                self._add_state(moved, name)
        finally:
            moved.wipe()
        sa.before = sa.before.plus(report.usage)
        old, sa.name = sa.name, name
        del self._names[old]
        self._names[name] = pair, sa
        quietly(lambda: self._client.remove_state(old))

    def _look(self, pair: KernelPair, sa: KernelSa) -> SaStatistics | None:
        try:
            report = self._client.state(sa.name)
        except XfrmError as error:
            if error.errno in ALREADY_GONE:
                self._gone.append((pair, sa))
            else:
                log.warning("state not read", extra={"peer_hit": pair.peer, "reason": error})
            return None
        used = sa.before.plus(report.usage)
        if used.packets > sa.packets:
            sa.last_used_s = self._clock()
        sa.packets = used.packets
        octets = inner_octets(used.octets, used.packets)
        return SaStatistics(
            direction=sa.direction,
            spi=sa.spi,
            local_hit=pair.local,
            peer_hit=pair.peer,
            packets=used.packets,
            octets=octets,
            sequence=_sequence(sa.direction, report),
            last_used_s=sa.last_used_s,
        )

    # --- pairs ---

    def _find(self, local: Hit | None, peer: Hit | None) -> KernelPair | None:
        return None if local is None or peer is None else self._pairs.get((local, peer))

    def _pair(self, local: Hit, peer: Hit) -> KernelPair:
        found = self._pairs.get((local, peer))
        if found is None:
            found = self._pairs[local, peer] = KernelPair(local, peer, self._new_reqid())
        return found

    def _new_reqid(self) -> int:
        if len(self._reqids_used) >= len(REQIDS):
            raise LocalProtocolError(f"the kernel has {len(REQIDS)} associations already")
        while True:
            reqid = REQIDS[self._next_reqid % len(REQIDS)]
            self._next_reqid += 1
            if reqid not in self._reqids_used:
                self._reqids_used.add(reqid)
                return reqid

    def _forget_if_empty(self, pair: KernelPair) -> None:
        if pair.is_empty and self._pairs.pop((pair.local, pair.peer), None) is not None:
            self._reqids_used.discard(pair.reqid)


def _sa_of(pair: KernelPair, direction: Direction, spi: Spi) -> KernelSa | None:
    if direction is Direction.IN:
        return pair.inbound.get(spi)
    found = pair.outbound
    return found if found is not None and found.spi == spi else None


def _sequence(direction: Direction, report: StateReport) -> int:
    numbers = report.state.replay_esn or report.state.replay
    if numbers is None:
        return 0
    return numbers.outbound if direction is Direction.OUT else numbers.inbound
