"""Each security association where it belongs: in the kernel if that can carry it, else user space.

Keys never change sides: a rekey draws new ones, and those are installed where they are wanted.
While both sides hold SAs of a pair, both deliver.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from hipgw.dataplane.interface import Backend, Carrier
from hipgw.dataplane.kernel import KernelBackend
from hipgw.dataplane.kernel_suites import KernelEsp
from hipgw.errors import LocalProtocolError
from hipgw.values import (
    Direction,
    Encapsulation,
    EspSuite,
    Hit,
    Path,
    SaStatistics,
    SecurityAssociation,
    Spi,
)

Pair = tuple[Hit, Hit]


class WayOut(Enum):
    """Where a packet to a peer with an outbound SA has to go."""

    USER = 1
    KERNEL = 2
    NOWHERE = 3
    """It must wait: the SA is held back, or gone until the rekey is done."""


@dataclass(slots=True)
class _PairPlace:
    out: tuple[Carrier, Spi] | None = None
    user_inbound: frozenset[Spi] = frozenset()


class CompositeBackend:
    """User space and the kernel side by side, association by association.

    Attributes:
        kernel: states and policies of the kernel are asked of it directly.
        esp: what the kernel can do, as far as it was asked.
        counters: SAs that the kernel was to carry and refused.
    """

    def __init__(
        self,
        user: Backend,
        kernel: KernelBackend,
        esp: KernelEsp,
        *,
        kernel_udp: frozenset[int] = frozenset(),
    ) -> None:
        """Carry nothing yet.

        Args:
            user: carries what the kernel does not.
            kernel: carries the rest.
            esp: what the kernel can do.
            kernel_udp: address families whose UDP socket hands ESP to the kernel; user space then
                gets none of it.
        """
        self._user: Final = user
        self.kernel: Final = kernel
        self.esp = esp
        self._kernel_udp: Final = kernel_udp
        self.reason_of_routes: Callable[[Hit], str] = lambda _peer: ""
        """Why the kernel cannot carry the packets of hosts that know no HIP, in words."""
        self.on_changed: Callable[[Hit, Hit], None] = lambda _local, _peer: None
        """Told of a pair after each change of its SAs."""
        self._wishes: dict[Pair, tuple[Carrier, str]] = {}
        self._places: dict[Pair, _PairPlace] = {}
        self._refusals: dict[Pair, dict[Direction, str]] = {}
        self.counters: Counter[str] = Counter()

    # --- who carries ---

    def wish(self, local: Hit, peer: Hit, carrier: Carrier, reason: str) -> None:
        """From the next keys on, a pair belongs there."""
        self._wishes[local, peer] = carrier, reason

    def reason_against(self, suite: EspSuite, path: Path) -> str:
        """Why the kernel cannot carry such an SA, in words; empty when it can."""
        is_udp = path.encapsulation is Encapsulation.UDP
        family = path.local.version
        if is_udp and family not in self._kernel_udp:
            return 'ESP in UDP shares a socket with user space unless [datapath] backend = "kernel"'
        return self.esp.reason_against(suite, family, is_udp=is_udp)

    def reason_for_user(self, local: Hit, peer: Hit, suite: EspSuite, path: Path) -> str:
        """Why user space carries an association; empty when nothing speaks against the kernel."""
        refusal = next(iter(self._refusals.get((local, peer), {}).values()), "")
        return self._reason_of_pair(local, peer) or self.reason_against(suite, path) or refusal

    def refusals(self) -> list[str]:
        """What the kernel said of pairs that it was to carry and does not."""
        return [next(iter(said.values())) for said in self._refusals.values() if said]

    def _reason_of_pair(self, local: Hit, peer: Hit) -> str:
        wish = self._wishes.get((local, peer))
        if wish is not None and wish[0] is Carrier.USER:
            return wish[1]
        return self.reason_of_routes(peer)

    def has_kernel_out(self, local: Hit, peer: Hit) -> bool:
        """Whether the outbound SA of a pair is in the kernel, held back or not."""
        place = self._places.get((local, peer))
        return place is not None and place.out is not None and place.out[0] is Carrier.KERNEL

    def way_out(self, local: Hit, peer: Hit) -> WayOut:
        """Where a packet of a pair with an outbound SA has to go now."""
        place = self._places.get((local, peer))
        if place is None or place.out is None or place.out[0] is Carrier.USER:
            return WayOut.USER
        return WayOut.KERNEL if self.kernel.can_send(local, peer) else WayOut.NOWHERE

    # --- the interface of a backend ---

    def install(self, sa: SecurityAssociation) -> None:
        """See `Backend.install`."""
        pair = sa.local_hit, sa.peer_hit
        place = self._places.get(pair)
        present = self.carrier_of(sa.direction, sa.spi, *pair)
        if present is Carrier.KERNEL:
            self.kernel.install(sa)  # moves it
            return
        carrier = present or self._install_new(sa)
        place = self._places.setdefault(pair, _PairPlace())
        if present is Carrier.USER:
            self._user.install(sa)
        if sa.direction is Direction.OUT:
            before, place.out = place.out, (carrier, sa.spi)
            self._retire(pair, before, carrier)
        elif carrier is Carrier.USER:
            place.user_inbound |= {sa.spi}
        self._share(pair, place)
        self.on_changed(*pair)

    def _install_new(self, sa: SecurityAssociation) -> Carrier:
        """Install it where it belongs.

        Raises:
            LocalProtocolError: nobody can carry it.
        """
        pair = sa.local_hit, sa.peer_hit
        if not self._reason_to_stay(sa):
            try:
                place = self._places.get(pair)
                self.kernel.install(sa, is_shared=place is not None and bool(place.user_inbound))
            except LocalProtocolError as error:
                self.counters["kernel_refused"] += 1
                self._refusals.setdefault(pair, {})[sa.direction] = str(error)
            else:
                self._refusals.get(pair, {}).pop(sa.direction, None)
                return Carrier.KERNEL
        if sa.path.encapsulation is Encapsulation.UDP and sa.path.local.version in self._kernel_udp:
            raise LocalProtocolError(
                "the kernel takes ESP in UDP from our socket, and cannot carry this SA: "
                + self.reason_for_user(*pair, sa.suite, sa.path)
            )
        self._user.install(sa)
        return Carrier.USER

    def _reason_to_stay(self, sa: SecurityAssociation) -> str:
        """Why this SA does not even go to the kernel."""
        reason = self._reason_of_pair(sa.local_hit, sa.peer_hit)
        return reason or self.reason_against(sa.suite, sa.path)

    def _retire(self, pair: Pair, before: tuple[Carrier, Spi] | None, carrier: Carrier) -> None:
        """The outbound SA before was on the other side: it goes, now that the new one works."""
        if before is None or before[0] is carrier:
            return
        other: Backend = self.kernel if before[0] is Carrier.KERNEL else self._user
        other.remove(Direction.OUT, before[1], *pair)

    def _share(self, pair: Pair, place: _PairPlace) -> None:
        self.kernel.demand(*pair, is_shared=bool(place.user_inbound))

    def remove(
        self,
        direction: Direction,
        spi: Spi,
        local_hit: Hit | None = None,
        peer_hit: Hit | None = None,
    ) -> bool:
        """See `Backend.remove`."""
        is_removed = self.kernel.remove(direction, spi, local_hit, peer_hit) or self._user.remove(
            direction, spi, local_hit, peer_hit
        )
        place = self._places.get((local_hit, peer_hit)) if local_hit and peer_hit else None
        if place is None or local_hit is None or peer_hit is None:
            return is_removed
        if direction is Direction.IN:
            place.user_inbound -= {spi}
            self._share((local_hit, peer_hit), place)
        elif place.out is not None and place.out[1] == spi:
            place.out = None
        is_in_use = place.out is not None or bool(place.user_inbound)
        if not is_in_use and self.kernel.pair(local_hit, peer_hit) is None:
            del self._places[local_hit, peer_hit]
            self._wishes.pop((local_hit, peer_hit), None)
            self._refusals.pop((local_hit, peer_hit), None)
        self.on_changed(local_hit, peer_hit)
        return is_removed

    def limit(self, spi: Spi, local_hit: Hit, peer_hit: Hit, octets: int | None) -> bool:
        """See `Backend.limit`."""
        return self.kernel.limit(spi, local_hit, peer_hit, octets) or self._user.limit(
            spi, local_hit, peer_hit, octets
        )

    def move_in(self, spi: Spi, local_hit: Hit, peer_hit: Hit, path: Path) -> bool:
        """See `Backend.move_in`."""
        return self.kernel.move_in(spi, local_hit, peer_hit, path) or self._user.move_in(
            spi, local_hit, peer_hit, path
        )

    def carrier_of(
        self, direction: Direction, spi: Spi, local_hit: Hit, peer_hit: Hit
    ) -> Carrier | None:
        """See `Backend.carrier_of`."""
        key = direction, spi, local_hit, peer_hit
        return self.kernel.carrier_of(*key) or self._user.carrier_of(*key)

    def statistics(self, used_since_s: float = 0.0) -> list[SaStatistics]:
        """See `Backend.statistics`."""
        return self._user.statistics(used_since_s) + self.kernel.statistics(used_since_s)

    def statistics_of(
        self, direction: Direction, spi: Spi, local_hit: Hit, peer_hit: Hit
    ) -> SaStatistics | None:
        """See `Backend.statistics_of`."""
        key = direction, spi, local_hit, peer_hit
        return self.kernel.statistics_of(*key) or self._user.statistics_of(*key)

    def close(self) -> None:
        """See `Backend.close`."""
        self.kernel.close()
        self._user.close()
