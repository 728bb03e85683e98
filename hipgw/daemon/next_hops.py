"""Next hops of peers that are reached by protocol 50: looked up, followed, told the data path.

A packet that goes to a next hop passes no packet filter of this host.  So nothing goes there while
there is one, and whatever changes (a route, a neighbour, a link) is looked at before long; until
then at most `PAUSE_MOST_S` worth of packets goes where it was right to send them just before.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, Final, Protocol

from hipgw.daemon.sa_home import SaRecord
from hipgw.errors import HostError
from hipgw.values import Address, Encapsulation, Hit

if TYPE_CHECKING:
    from hipgw.daemon.gateway import Gateway
    from hipgw.netlink.next_hop import NextHop, NextHopFinder

PEERS_MOST: Final = 1024
"""Further ones are reached by the socket."""
PAUSE_LEAST_S: Final = 0.02
PAUSE_MOST_S: Final = 1.0
BUSY_SHARE: Final = 20
"""A look at all of them is followed by a pause of so many times what it took."""
EVENT_OCTETS: Final = 65536
EVENTS_PER_WAKE: Final = 64
INTERFACE_MOST: Final = 65535
"""What the data path can name."""

log = logging.getLogger(__name__)


class HopPort(Protocol):
    """The part of `hipgw._fastpath.worker.DataPath` that this talks to."""

    def set_link(
        self, spi: int, local_hit: bytes, peer_hit: bytes, interface: int, address: bytes
    ) -> bool:
        """Say who the next hop of an outbound SA is."""
        ...


class NextHops:
    """Keeps what the data path knows of next hops right.

    Attributes:
        reason: why everything goes by the socket; empty when it need not.
    """

    def __init__(
        self,
        gateway: Gateway,
        data_path: HopPort,
        loop: asyncio.AbstractEventLoop,
        refused: str,
    ) -> None:
        """Know nothing yet; nothing is opened before `start`.

        Args:
            gateway: the running daemon.
            data_path: is told of next hops.
            loop: where it lives.
            refused: why nothing may go to next hops; empty when it may.
        """
        self._gateway = gateway
        self._data_path = data_path
        self._loop = loop
        self._finder: NextHopFinder | None = None
        self._events: socket.socket | None = None
        self._records: dict[tuple[Hit, Hit], SaRecord] = {}
        self._told: dict[tuple[Hit, Hit], NextHop | None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._pause_s = PAUSE_LEAST_S
        self._is_allowed = not refused
        self.reason = refused or "not looked yet"

    def start(self) -> None:
        """Begin to watch, if anything may go to next hops at all."""
        if not self._is_allowed:
            return
        # This import is slow, and nothing before the daemon is ready needs it.
        from hipgw.netlink.next_hop import NextHopFinder, open_hop_events  # noqa: PLC0415

        try:
            self._finder = NextHopFinder()
            self._events = open_hop_events()
        except HostError as error:
            self.close()
            self.reason = str(error)
            return
        self._loop.add_reader(self._events, self._on_events, self._events)
        self.look()

    def close(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()
        if self._events is not None:
            self._loop.remove_reader(self._events)
            self._events.close()
        if self._finder is not None:
            self._finder.close()
        self._events = self._finder = None

    @property
    def state(self) -> str:
        """For the operator."""
        if self.reason:
            return f"by socket ({self.reason})"
        known = sum(hop is not None for hop in self._told.values())
        return f"{known} of {len(self._records)} peers by next hop"

    def look(self) -> None:
        """Now and then: a packet filter may have come or gone."""
        if self._finder is None:
            return
        from hipgw.netlink.filter_chains import has_filter  # noqa: PLC0415

        reason = "packet filter in this network namespace" if has_filter() else ""
        if reason != self.reason:
            self.reason = reason
            log.info("raw ESP", extra={"sent": self.state})
            self.refresh()

    def apply(self, record: SaRecord) -> None:
        """An outbound SA is new, or has moved."""
        pair = record.local_hit, record.peer_hit
        self._forget(pair)
        if not self._is_allowed or record.path.encapsulation is not Encapsulation.RAW:
            return
        if len(self._records) < PEERS_MOST:
            self._records[pair] = record
            self._tell(record, {})

    def refresh(self) -> None:
        """Look all of them up again."""
        began_s = self._loop.time()
        found: dict[tuple[Address, Address], NextHop | None] = {}
        for pair, record in list(self._records.items()):
            current = self._gateway.sas.outbound_of(*pair)
            if current is None or current.spi != record.spi:
                self._forget(pair)
            else:
                self._tell(record, found)
        spent_s = self._loop.time() - began_s
        self._pause_s = min(max(PAUSE_LEAST_S, BUSY_SHARE * spent_s), PAUSE_MOST_S)

    def _forget(self, pair: tuple[Hit, Hit]) -> None:
        self._records.pop(pair, None)
        self._told.pop(pair, None)

    def _tell(self, record: SaRecord, found: dict[tuple[Address, Address], NextHop | None]) -> None:
        pair = record.local_hit, record.peer_hit
        ends = record.path.local, record.path.peer
        if ends not in found:
            found[ends] = self._find(*ends)
        hop = found[ends]
        interface, address = (0, b"") if hop is None else (hop.interface, hop.address)
        self._data_path.set_link(
            record.spi, record.local_hit.packed, record.peer_hit.packed, interface, address
        )
        self._told[pair] = hop

    def _find(self, local: Address, peer: Address) -> NextHop | None:
        if self._finder is None or self.reason:
            return None
        hop = self._finder.find(local, peer)
        return hop if hop is not None and hop.interface <= INTERFACE_MOST else None

    def _on_events(self, channel: socket.socket) -> None:
        """Something has changed; what, is asked of the kernel afresh."""
        for _ in range(EVENTS_PER_WAKE):
            try:
                channel.recv(EVENT_OCTETS)
            except BlockingIOError:
                break
            except OSError:
                continue  # ENOBUFS, netlink(7): events were lost
        if self._timer is None and self._records:
            self._timer = self._loop.call_later(self._pause_s, self._after_pause)

    def _after_pause(self) -> None:
        self._timer = None
        self.refresh()
