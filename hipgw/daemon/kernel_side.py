"""The kernel's half of the data plane: opened, watched, healed.

What the kernel tells of our states goes to the engine: sequence numbers that run out, a first
packet, a NAT that moved.  What somebody else has removed is put back (policies) or replaced by new
keys (states: their sequence numbers are lost with them).
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Final

from hipgw.dataplane.interface import Preference
from hipgw.dataplane.kernel import KernelBackend
from hipgw.dataplane.kernel_pairs import OWNERSHIP, KernelPair, KernelSa
from hipgw.dataplane.kernel_suites import KernelEsp, probe_kernel
from hipgw.drivers.esp_filter import EspFilter
from hipgw.netlink.xfrm import (
    Acquired,
    Event,
    Expired,
    Group,
    MappingChanged,
    Overrun,
    PoliciesFlushed,
    PolicyRemoved,
    StateId,
    StateRemoved,
    StatesFlushed,
    XfrmClient,
    XfrmError,
    XfrmMonitor,
    remove_owned,
)
from hipgw.netlink.xfrm.uapi import UDP_ENCAP, UDP_ENCAP_ESPINUDP
from hipgw.values import Direction, Encapsulation, EspSuite, Hit, Spi

if TYPE_CHECKING:
    from hipgw.daemon.gateway import Gateway

GROUPS: Final = (Group.ACQUIRE, Group.EXPIRE, Group.SA, Group.POLICY, Group.MAPPING)
EVENTS_OCTETS: Final = 4 * 1024 * 1024
"""Our own changes come back as events, too."""
LOOKS_PER_TURN: Final = 100

log = logging.getLogger(__name__)


class KernelSide:
    """Everything about the kernel's BEET states in one daemon.

    Attributes:
        backend: None where the kernel can do nothing for us.
        reason: why it is None.
        esp: what the kernel can do.
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
        self.esp: Final = esp
        self.reason: Final = reason
        self.kernel_udp: Final = kernel_udp
        self.healed = 0
        self._monitor: Final = monitor
        self._gateway: Gateway | None = None
        self._lost: set[tuple[Hit, Hit]] = set()
        self._audit: asyncio.Task[None] | None = None

    def start(self, gateway: Gateway, loop: asyncio.AbstractEventLoop) -> None:
        """Listen to the kernel."""
        self._gateway = gateway
        if self._monitor is not None:
            loop.add_reader(self._monitor.fileno(), self.on_readable)

    def stop(self) -> None:
        """Listen no longer."""
        if self._audit is not None:
            self._audit.cancel()
        if self._monitor is not None:
            if self._gateway is not None:
                asyncio.get_running_loop().remove_reader(self._monitor.fileno())
            self._monitor.close()

    def on_readable(self) -> None:
        """Events are there."""
        if self._monitor is not None:
            for event in self._monitor.read():
                self.on_event(event)

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
            case StatesFlushed() | PoliciesFlushed() | Overrun():
                self._begin_audit()

    def tick(self) -> None:
        """Once a second: what was missed, and rekeys that could not begin yet."""
        if self.backend is None:
            return
        for pair, sa in self.backend.take_gone():
            self._lose(pair, sa)
        for local, peer in tuple(self._lost):
            if self._is_whole(local, peer):
                self._lost.discard((local, peer))
            else:
                self._rekey(local, peer)

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
            engine.step(lambda now: engine.endpoint.sa_expiring(spi, now))

    def _on_acquired(self, local: Hit, peer: Hit) -> None:
        """Packets meet our policy and no state: new keys, or a base exchange."""
        pair = None if self.backend is None else self.backend.pair(local, peer)
        if pair is not None and pair.outbound is not None:
            self._check(pair.outbound.name)
        elif self._gateway is not None:
            self._gateway.traffic.want(local, peer)

    def _on_mapping(self, event: MappingChanged) -> None:
        """A NAT moved: the UPDATE that follows tells both sides."""
        found, gateway = self._named(event.state), self._gateway
        if found is None or gateway is None:
            return
        peer = found[0].peer
        log.info("NAT moved", extra={"peer_hit": peer, "port": event.new_port})

        def update(now: float) -> None:
            gateway.engine.endpoint.manual_update(peer, now)

        gateway.engine.step(update)

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

    def _begin_audit(self) -> None:
        if self._audit is None or self._audit.done():
            self._audit = asyncio.get_running_loop().create_task(self._look_at_all())

    async def _look_at_all(self) -> None:
        """Compare everything with the kernel, a share at a time."""
        if self.backend is None:
            return
        for number, pair in enumerate(self.backend.pairs()):
            outbound = [] if pair.outbound is None else [pair.outbound]
            for sa in [*pair.inbound.values(), *outbound]:
                if self.backend.is_gone(sa):
                    self._lose(pair, sa)
            self._put_back(pair)
            if number % LOOKS_PER_TURN == LOOKS_PER_TURN - 1:
                await asyncio.sleep(0)


def _is_ours(event: Acquired) -> bool:
    templates = event.templates
    return (
        event.selector is not None
        and isinstance(event.selector.source, IPv6Address)
        and bool(templates)
        and all(template.reqid in OWNERSHIP.reqids for template in templates)
    )


def clear_kernel_leftovers() -> int:
    """Remove states and policies of a killed daemon; how many, 0 where there is no XFRM."""
    try:
        with XfrmClient() as client:
            removed = remove_owned(client, OWNERSHIP)
    except OSError as error:
        log.debug("no look for states of a killed daemon", extra={"reason": error})
        return 0
    return removed.states + removed.policies


def open_kernel_side(
    stack: ExitStack,
    preference: Preference,
    raw_esp: Mapping[int, Sequence[socket.socket]],
    udp: Mapping[int, Sequence[socket.socket]],
) -> KernelSide | None:
    """Probe the kernel and open what it takes; `stack` closes it.  None if it is not wanted.

    Args:
        stack: of the daemon.
        preference: `[datapath] backend`.
        raw_esp: raw sockets of protocol 50, by family; they no longer see what the kernel carries.
        udp: sockets of the HIP port, by family; with KERNEL they hand ESP to the kernel.
    """
    if preference is Preference.USER:
        return None
    esp = probe_kernel()
    if not any(verdict.is_possible for verdict in esp.verdicts):
        reason = esp.verdicts[0].reason
        log.warning("the kernel carries nothing", extra={"reason": reason})
        return KernelSide(None, None, esp, reason)
    try:
        client = XfrmClient()
        monitor = XfrmMonitor(GROUPS, receive_octets=EVENTS_OCTETS)
    except OSError as error:
        reason = f"no XFRM socket: {error.strerror}"
        log.warning("the kernel carries nothing", extra={"reason": reason})
        return KernelSide(None, None, esp, reason)
    families = _hand_over_udp(udp, esp) if preference is Preference.KERNEL else frozenset()
    backend = KernelBackend(client, on_inbound=EspFilter(raw_esp).refuse)
    side = KernelSide(backend, monitor, esp, "", families)
    stack.callback(backend.close)
    stack.callback(side.stop)
    return side


def _hand_over_udp(udp: Mapping[int, Sequence[socket.socket]], esp: KernelEsp) -> frozenset[int]:
    """Have the kernel take ESP out of our UDP sockets; the families where it does."""
    families = set()
    for family, group in udp.items():
        if esp.reason_against(EspSuite.AES_128_CBC_HMAC_SHA256, family, is_udp=True):
            continue
        for channel in group:
            channel.setsockopt(socket.IPPROTO_UDP, UDP_ENCAP, UDP_ENCAP_ESPINUDP)
        families.add(family)
    return frozenset(families)


def kernel_check(side: KernelSide | None) -> dict[str, str]:
    """What `hipgw doctor` says of the kernel: what it can carry, and why not the rest."""
    name = "kernel BEET"
    if side is None:
        return {
            "name": name,
            "outcome": "ok",
            "detail": 'not used: [datapath] backend = "user"',
            "remedy": "",
        }
    if side.backend is None:
        return {
            "name": name,
            "outcome": "warn",
            "detail": f"user space carries everything: {side.reason}",
            "remedy": "use a kernel with the modules xfrm_user, esp4, esp6",
        }
    ways = []
    for family in (4, 6):
        for encapsulation in Encapsulation:
            is_udp = encapsulation is Encapsulation.UDP
            tried = [
                one
                for one in side.esp.verdicts
                if (one.outer_family, one.is_udp) == (family, is_udp)
            ]
            able = sum(one.is_possible for one in tried)
            reasons = sorted({one.reason for one in tried if one.reason})
            why = f" ({'; '.join(reasons)})" if reasons else ""
            word = "UDP" if is_udp else "raw"
            ways.append(f"IPv{family} {word}: {able} of {len(tried)} suites{why}")
    detail = f"{', '.join(ways)}; {len(side.backend.pairs())} pairs in the kernel"
    if side.healed:
        detail += f", {side.healed} states lost and replaced"
    return {"name": name, "outcome": "ok", "detail": detail, "remedy": ""}
