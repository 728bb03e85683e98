"""The kernel's half of the data plane: watched, healed.

What the kernel tells of our states goes to the engine: sequence numbers that run out, a first
packet, a NAT that moved.  What somebody else has removed is put back (policies) or replaced by new
keys (states: their sequence numbers are lost with them).
"""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from dataclasses import replace
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Final

from hipgw.daemon.engine_config import carried_suites
from hipgw.daemon.kernel_audit import read_tables, wanting
from hipgw.daemon.kernel_moves import KernelMoves
from hipgw.dataplane.kernel import KernelBackend
from hipgw.dataplane.kernel_pairs import OWNERSHIP, KernelPair, KernelSa
from hipgw.dataplane.kernel_suites import KernelEsp, probe_kernel
from hipgw.netlink.xfrm import (
    Acquired,
    Event,
    Expired,
    MappingChanged,
    Overrun,
    PoliciesFlushed,
    PolicyRemoved,
    StateId,
    StateRemoved,
    StatesFlushed,
    XfrmError,
    XfrmMonitor,
)
from hipgw.values import Direction, EspSuite, Hit, Spi

if TYPE_CHECKING:
    from hipgw.daemon.gateway import Gateway

LOOKS_PER_TURN: Final = 100

log = logging.getLogger(__name__)


class KernelSide:
    """Everything about the kernel's BEET states in one daemon.

    Attributes:
        backend: None where the kernel can do nothing for us.
        reason: why it is None.
        esp: what the kernel can do; nothing before it has answered.
    """

    def __init__(
        self,
        backend: KernelBackend | None,
        monitor: XfrmMonitor | None,
        esp: KernelEsp,
        reason: str,
        kernel_udp: frozenset[int] = frozenset(),
    ) -> None:
        self.backend: Final = backend
        self.esp = esp
        self.reason = reason
        self.kernel_udp: Final = kernel_udp
        self.healed = 0
        self._monitor: Final = monitor
        self._gateway: Gateway | None = None
        self._lost: set[tuple[Hit, Hit]] = set()
        self._audit: asyncio.Task[None] | None = None
        self._question: asyncio.Task[None] | None = None
        self._asked: frozenset[EspSuite] = frozenset()
        self._moves: KernelMoves | None = None
        self._is_audit_due = False
        self._is_behind = False
        """Events were lost, and more may be lost untold until the queue was empty once."""
        self.audits = 0
        """How often everything was compared with the kernel, because events were lost."""

    def start(self, gateway: Gateway, loop: asyncio.AbstractEventLoop) -> None:
        """Listen to the kernel."""
        self._gateway = gateway
        self._moves = KernelMoves(gateway)
        if self.backend is not None:
            self.backend.soft_octets = lambda: gateway.config.hip.rekey_octets
        self._ask()
        if self._monitor is not None:
            loop.add_reader(self._monitor.fileno(), self.on_readable)

    def stop(self) -> None:
        """Listen no longer."""
        for task in (self._audit, self._question):
            if task is not None:
                task.cancel()
        if self._monitor is not None:
            if self._gateway is not None:
                asyncio.get_running_loop().remove_reader(self._monitor.fileno())
            self._monitor.close()

    def on_readable(self) -> None:
        """Events are there."""
        if self._monitor is not None:
            for event in self._monitor.read():
                self.on_event(event)
            if self._is_behind and self._monitor.is_drained:
                self._is_behind = False
                self._begin_audit()

    def on_event(self, event: Event) -> None:
        """One event; those about states of others are none of our business."""
        match event:
            case Expired():
                self._on_expired(event)
            case StateRemoved():
                self._check(event.state)
            case Acquired() if event.selector is not None and _is_ours(event):
                ours, theirs = event.selector.source.packed, event.selector.destination.packed
                self._on_acquired(Hit(ours), Hit(theirs))
            case PolicyRemoved() if event.policy is not None and OWNERSHIP.has_policy(event.policy):
                self._restore(event)
            case MappingChanged() if event.reqid in OWNERSHIP.reqids:
                self._on_mapping(event)
            case StatesFlushed() | PoliciesFlushed():
                self._begin_audit()
            case Overrun():
                self._is_behind = True

    def tick(self) -> None:
        """Once a second: what was missed, and rekeys that could not begin yet."""
        if self.backend is None:
            return
        self._ask()
        if self._moves is not None:
            self._moves.tick()
        for pair, sa in self.backend.take_gone():
            self._lose(pair, sa)
        if self._is_behind:
            self.on_readable()
        if self._is_audit_due or self._is_behind:
            self._begin_audit()
        for local, peer in tuple(self._lost):
            if self._is_whole(local, peer):
                self._lost.discard((local, peer))
            else:
                self._rekey(local, peer)

    # --- what the kernel can do ---

    def _ask(self) -> None:
        """Ask about suites that it was not asked about; loading modules may take it seconds."""
        gateway = self._gateway
        if self.backend is None or gateway is None:
            return
        suites = frozenset(carried_suites(gateway.config))
        if self._question is None and not suites <= self._asked:
            self._asked = suites
            self._question = asyncio.get_running_loop().create_task(self._learn(suites))

    async def _learn(self, suites: frozenset[EspSuite]) -> None:
        """Associations begin in user space meanwhile, and move when the answer is there."""
        started_s = time.monotonic()
        self.esp = await asyncio.to_thread(probe_kernel, sorted(suites))
        took_ms = round((time.monotonic() - started_s) * 1000)
        split = None if self._gateway is None else self._gateway.sas.split
        if split is not None:
            split.esp = self.esp
        if self.esp.can_something:
            log.info("kernel has answered", extra={"took_ms": took_ms})
        else:
            self.reason = self.esp.verdicts[0].reason
            log.warning("the kernel carries nothing", extra={"reason": self.reason})
        self._question = None
        self.look_again()

    async def wait_for_answer(self, patience_s: float) -> None:
        """Wait for the kernel's answer, as far as it comes soon: modules may have to be loaded."""
        if self._question is not None:
            await asyncio.wait({self._question}, timeout=patience_s)

    def look_again(self) -> None:
        """It can do more than before, or less: associations go where they belong."""
        if self._moves is not None:
            self._moves.look()

    # --- what came ---

    def _on_expired(self, event: Expired) -> None:
        state = event.report.state
        found = self._named(StateId(state.destination, state.spi))
        if found is None or self._gateway is None:
            return
        engine, spi = self._gateway.engine, found[1].spi
        if event.is_hard:
            self._check(found[1].name)
        elif found[1].direction is Direction.IN:
            engine.step(lambda now: engine.endpoint.esp_received(spi, now))
        else:
            log.info("limit reached: new keys", extra={"peer_hit": found[0].peer})
            engine.step(lambda now: engine.endpoint.sa_expiring(spi, now))

    def _on_acquired(self, local: Hit, peer: Hit) -> None:
        """Packets meet our policy and no state: new keys, or a base exchange."""
        pair = None if self.backend is None else self.backend.pair(local, peer)
        if pair is not None and pair.outbound is not None:
            self._check(pair.outbound.name)
        elif self._gateway is not None:
            self._gateway.traffic.want(local, peer)

    def _on_mapping(self, event: MappingChanged) -> None:
        """A NAT moved: where the ESP comes from now is asked whether the peer is there.

        The kernel says so again and again when a peer has another address than its inbound state
        says, which does not matter.
        """
        found, gateway = self._named(event.state), self._gateway
        if found is None or gateway is None:
            return
        sa, engine = found[1], gateway.engine
        path = replace(sa.path, peer=event.new_source, peer_port=event.new_port)
        if path == sa.path:
            return
        log.info("NAT moved", extra={"peer_hit": found[0].peer, "path": path})
        engine.step(lambda now: engine.endpoint.peer_seen_at(sa.spi, path, now))

    def _check(self, name: StateId) -> None:
        found = self._named(name)
        if found is not None and self.backend is not None and self.backend.is_gone(found[1]):
            self._lose(*found)

    def _named(self, name: StateId) -> tuple[KernelPair, KernelSa] | None:
        if self.backend is None:
            return None
        return self.backend.named(StateId(name.destination, name.spi))

    # --- what was lost ---

    def _lose(self, pair: KernelPair, sa: KernelSa) -> None:
        if self.backend is None:
            return
        log.warning(
            "state is gone from the kernel: new keys",
            extra={"peer_hit": pair.peer, "spi": f"{sa.spi:#010x}"},
        )
        self.backend.lose(pair, sa)
        self.healed += 1
        self._lost.add((pair.local, pair.peer))
        self._rekey(pair.local, pair.peer)

    def _rekey(self, local: Hit, peer: Hit) -> None:
        gateway = self._gateway
        if gateway is None or gateway.engine.endpoint.table.view(local, peer) is None:
            self._lost.discard((local, peer))
            return
        engine = gateway.engine

        def rekey(now: float) -> None:
            engine.endpoint.rekey_association(peer, now, local=local)

        engine.step(rekey)

    def _is_whole(self, local: Hit, peer: Hit) -> bool:
        """Whether the present SAs of a pair are there, whoever carries them."""
        gateway = self._gateway
        view = None if gateway is None else gateway.engine.endpoint.table.view(local, peer)
        if gateway is None or view is None or view.spi_in is None or view.spi_out is None:
            return True
        split = gateway.sas.split
        ways = ((Direction.IN, Spi(view.spi_in)), (Direction.OUT, Spi(view.spi_out)))
        return split is None or all(split.carrier_of(*way, local, peer) for way in ways)

    def _restore(self, event: PolicyRemoved) -> None:
        selector = event.name.selector
        if selector is None or self.backend is None or selector.source.version == 4:
            return
        ends = Hit(selector.source.packed), Hit(selector.destination.packed)
        for local, peer in (ends, ends[::-1]):
            pair = self.backend.pair(local, peer)
            if pair is not None:
                self._put_back(pair)

    def _put_back(self, pair: KernelPair) -> None:
        if self.backend is None:
            return
        try:
            self.backend.restore_policies(pair)
        except XfrmError as error:
            log.warning("policy not put back", extra={"peer_hit": pair.peer, "reason": error})
            if error.errno == errno.EEXIST:  # whose place it is now, the pair is not the kernel's
                for sa in pair.sas():
                    self._lose(pair, sa)

    def _begin_audit(self) -> None:
        """Compare everything; once more if events are lost meanwhile."""
        self._is_audit_due = True
        if self._audit is None or self._audit.done():
            self._is_audit_due = False
            self._audit = asyncio.get_running_loop().create_task(self._look_at_all())

    async def _look_at_all(self) -> None:
        """Compare everything with the kernel; what differs is asked for once more."""
        if self.backend is None:
            return
        self.audits += 1
        try:
            tables = await asyncio.to_thread(read_tables)
        except OSError as error:
            log.warning("tables of the kernel not read", extra={"reason": error})
            self._is_audit_due = True
            return
        for number, pair in enumerate(wanting(tables, self.backend.pairs()), start=1):
            for sa in tables.missing_states(pair):
                self._check(sa.name)
            if not tables.has_policies(pair):
                self._put_back(pair)
            if number % LOOKS_PER_TURN == 0:
                await asyncio.sleep(0)


def _is_ours(event: Acquired) -> bool:
    templates = event.templates
    return (
        event.selector is not None
        and isinstance(event.selector.source, IPv6Address)
        and bool(templates)
        and all(template.reqid in OWNERSHIP.reqids for template in templates)
    )
