"""Subnets whose association the kernel carries: a tunnel device of the kernel for each peer.

A BEET state serves one pair of addresses, so packets of hosts that know no HIP go through a device
(ip6tnl) between the two HITs, and its packets through the states: the same octets on the wire as in
user space.  The device is made before an association is, because a kernel that has none leaves the
peer to user space; it is up while the kernel carries the pair, and the routes of the subnets follow
the outbound SA.  Changes are made in another thread; what arrives meanwhile on the other way is
sent all the same (`Traffic.on_no_sa`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from hipgw.daemon.kept_tasks import Pauses
from hipgw.daemon.mss_clamp import MssClamp
from hipgw.dataplane.composite import CompositeBackend
from hipgw.dataplane.kernel_pairs import IPV6_HEADER_OCTETS
from hipgw.errors import HostError
from hipgw.netlink.xfrm import XfrmError
from hipgw.values import Hit, IngressRule

if TYPE_CHECKING:
    from hipgw.netlink.tunnels import Tunnel

NOT_YET: Final = "the tunnel of its subnets is not made yet"
MTU_TO_COME: Final = 0
INTERFACE_LETTERS: Final = 6
"""Of a name of 15 at most: eight more are of the HIT."""

log = logging.getLogger(__name__)


def tunnel_prefix(interface: str) -> str:
    """How the names of the devices of a daemon with this HIP interface begin."""
    return f"{interface[:INTERFACE_LETTERS]}-"


def tunnel_name(interface: str, peer: Hit) -> str:
    """Name of the device to a peer."""
    return tunnel_prefix(interface) + peer.packed[-4:].hex()


class SubnetTunnels:
    """The devices of one daemon.

    Attributes:
        on_settled: told when peers have a device now, or none any more.
    """

    def __init__(
        self,
        split: CompositeBackend,
        interface: str,
        mtu_octets: Callable[[], int],
        set_routes: Callable[[], None],
        clamp: MssClamp,
        *,
        pauses: Pauses | None = None,
    ) -> None:
        """Make none before `want`.

        Args:
            split: says who carries.
            interface: `[network] interface`.
            mtu_octets: its MTU, as it is now.
            set_routes: brings the routes up to date; asks `device_for`; is called in any thread.
            clamp: lowers the MSS of TCP connections through the devices.
            pauses: before what the kernel refused is tried again.
        """
        self._split: Final = split
        self._interface: Final = interface
        self._mtu_octets = mtu_octets
        self._set_routes = set_routes
        self._pauses = pauses or Pauses()
        self.clamp: Final = clamp
        self._clamps_mss = False
        self.on_settled: Callable[[], None] = lambda: None
        self._wanted: dict[Hit, Tunnel] = {}
        self._made: dict[Hit, Tunnel] = {}
        self._up: dict[Hit, int] = {}
        self._routed: frozenset[Hit] = frozenset()
        self._reasons: dict[Hit, str] = {}
        self._told: tuple[dict[Hit, Tunnel], dict[Hit, str]] = {}, {}
        self._dirty = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hipgw-tunnels")
        split.reason_of_routes = self.reason_of
        split.on_changed = self._on_changed

    def reason_of(self, peer: Hit) -> str:
        """Why the kernel cannot carry the packets to and from the subnets of a peer."""
        wanted = self._wanted.get(peer)
        if wanted is None or self._made.get(peer) == wanted:
            return ""
        return self._reasons.get(peer, NOT_YET)

    def want(
        self,
        rules: Mapping[Hit, tuple[IngressRule, ...]],
        local_of: Callable[[Hit], Hit],
        *,
        copies_class: bool,
        clamps_mss: bool,
    ) -> None:
        """These peers have subnets from now on.

        Args:
            rules: what each may send.
            local_of: our HIT towards a peer.
            copies_class: see `Tunnel`.
            clamps_mss: the MSS of TCP connections is lowered to what the devices carry.
        """
        # This import takes 0.15 s, and nothing without subnets needs it.
        from hipgw.netlink.tunnels import Tunnel  # noqa: PLC0415

        self._wanted = {
            peer: Tunnel(
                tunnel_name(self._interface, peer), local_of(peer), peer, taken, copies_class
            )
            for peer, taken in rules.items()
        }
        self._clamps_mss = clamps_mss
        self.ask_again()

    def ask_again(self) -> None:
        """The operator has said something: what the kernel refused it may not refuse any more."""
        self._reasons.clear()
        self.clamp.ask_again()
        self._dirty.set()

    def device_for(self, peer: Hit) -> str:
        """The device that the subnets of a peer are routed to now."""
        tunnel = self._made.get(peer)
        return self._interface if tunnel is None or peer not in self._routed else tunnel.name

    def devices(self) -> list[str]:
        """Every device that may have routes."""
        return [tunnel.name for tunnel in list(self._made.values())]

    def _on_changed(self, _local: Hit, peer: Hit) -> None:
        if peer in self._wanted or peer in self._made:
            if peer not in self._up and self._is_used(peer):
                self._open(self._made[peer])
            self._dirty.set()

    def _open(self, tunnel: Tunnel) -> None:
        """Be ready for what the peer sends as soon as it may; MTU and routes follow."""
        from hipgw.netlink.tunnels import switch_on  # noqa: PLC0415

        try:
            if self._split.kernel.open_tunnel(tunnel.local, tunnel.peer):
                switch_on(tunnel.name)
                self._up[tunnel.peer] = MTU_TO_COME
        except (XfrmError, HostError) as error:
            # `_raise` tries again, and then it is a refusal.
            log.debug("tunnel not open yet", extra={"reason": error})

    def mtu_changed(self) -> None:
        """The interface carries longer or shorter packets."""
        if self._up:
            self._dirty.set()

    async def run(self) -> None:
        """Follow until cancelled; what failed is tried again after a pause, or with a change."""
        pause_s: float | None = None
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._dirty.wait()
            self._dirty.clear()
            try:
                await self._follow()
            except HostError as error:
                pause_s = self._pauses.take_s()
                fields = {"reason": error, "again_s": pause_s}
                log.warning("tunnels not brought up to date", extra=fields)
            else:
                pause_s = None
                self._pauses.reset()

    async def _follow(self) -> None:
        """One round: routes off devices that go, then devices, then routes onto those that came."""
        await self._route(frozenset(filter(self._has_route, self._routed)))
        for peer in [peer for peer in self._up if not self._is_used(peer)]:
            await self._lower(self._made[peer])
        for peer, tunnel in list(self._made.items()):
            if self._wanted.get(peer) != tunnel:
                await self._remove(tunnel)
        for peer, tunnel in self._wanted.items():
            if peer not in self._made and peer not in self._reasons:
                await self._make(tunnel)
        self.clamp.want(is_wanted=self._clamps_mss and bool(self._made))
        for peer in filter(self._is_used, list(self._made)):
            await self._raise(self._made[peer])
        await self._route(frozenset(filter(self._has_route, self._up)))
        if self._told != (self._made, self._reasons):
            self._told = dict(self._made), dict(self._reasons)
            self.on_settled()

    def _is_used(self, peer: Hit) -> bool:
        """Whether a device should be up: it is the one that is wanted, and the kernel carries."""
        tunnel = self._made.get(peer)
        if tunnel is None or self._wanted.get(peer) != tunnel:
            return False
        pair = self._split.kernel.pair(tunnel.local, tunnel.peer)
        return pair is not None and pair.has_states

    def _has_route(self, peer: Hit) -> bool:
        return self._is_used(peer) and self._split.has_kernel_out(self._made[peer].local, peer)

    async def _route(self, peers: frozenset[Hit]) -> None:
        if peers != self._routed:
            self._routed = peers
            await self._apart(self._set_routes)

    async def _apart(self, act: Callable[[], object]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, act)

    async def _make(self, tunnel: Tunnel) -> None:
        from hipgw.netlink.tunnels import make_tunnel  # noqa: PLC0415

        try:
            await self._apart(lambda: make_tunnel(self._interface, tunnel))
        except HostError as error:
            self._refuse(tunnel.peer, str(error))
        else:
            self._made[tunnel.peer] = tunnel

    async def _raise(self, tunnel: Tunnel) -> None:
        """Nothing but what came in ESP goes into a device that is up."""
        from hipgw.netlink.tunnels import raise_tunnel  # noqa: PLC0415

        mtu_octets = self._mtu_octets() - IPV6_HEADER_OCTETS
        if self._up.get(tunnel.peer) == mtu_octets:
            return
        try:
            if self._split.kernel.open_tunnel(tunnel.local, tunnel.peer):
                await self._apart(lambda: raise_tunnel(tunnel.name, mtu=mtu_octets))
                self._up[tunnel.peer] = mtu_octets
        except (XfrmError, HostError) as error:
            await self._remove(tunnel)
            self._refuse(tunnel.peer, str(error))

    def _refuse(self, peer: Hit, reason: str) -> None:
        log.warning("no tunnel for subnets", extra={"peer_hit": peer, "reason": reason})
        self._reasons[peer] = reason

    async def _lower(self, tunnel: Tunnel) -> None:
        from hipgw.netlink.tunnels import lower_tunnel  # noqa: PLC0415

        await self._apart(lambda: lower_tunnel(tunnel.name))
        self._up.pop(tunnel.peer, None)
        self._split.kernel.close_tunnel(tunnel.local, tunnel.peer)

    async def _remove(self, tunnel: Tunnel) -> None:
        from hipgw.netlink.tunnels import remove_tunnels  # noqa: PLC0415

        await self._apart(lambda: remove_tunnels([tunnel.name]))
        self._up.pop(tunnel.peer, None)
        self._made.pop(tunnel.peer, None)
        self._split.kernel.close_tunnel(tunnel.local, tunnel.peer)

    def close(self) -> None:
        """Remove every device; harmless twice."""
        self._thread.shutdown(cancel_futures=True)
        self.clamp.close()
        if self._wanted or self._made:
            clear_tunnels(self._interface)
        self._wanted, self._made, self._up = {}, {}, {}
        self._routed = frozenset()


def clear_tunnels(interface: str) -> int:
    """Remove the devices of a daemon with this HIP interface; how many there were."""
    from hipgw.netlink.tunnels import remove_tunnels_of  # noqa: PLC0415

    return remove_tunnels_of(interface)
