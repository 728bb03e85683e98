"""The user-space backend: security associations in the fast path's tables."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from hipgw._fastpath.worker import DataPath
from hipgw.dataplane.interface import Carrier
from hipgw.errors import LocalProtocolError
from hipgw.values import (
    Direction,
    Encapsulation,
    Hit,
    Lsi,
    Path,
    SaStatistics,
    SecurityAssociation,
    Spi,
)

NO_LSI: Final = bytes(4)
_NS: Final = 1_000_000_000


class UserBackend:
    """Runs the two workers of a data path and keeps their SAs.

    Attributes:
        datapath: punts, counters and port families are asked of it directly.
    """

    def __init__(self, datapath: DataPath) -> None:
        self.datapath: Final = datapath
        self._threads: list[threading.Thread] = []
        self._is_closed = False

    def start(self) -> None:
        """Start both workers; call once, before or after the first `install`."""
        if self._threads or self._is_closed:
            raise LocalProtocolError("the workers were started already: one start a backend")
        self._threads = [
            _worker("hipgw-out", self.datapath.run_outbound),
            _worker("hipgw-in", self.datapath.run_inbound),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def is_running(self) -> bool:
        """Whether both workers are alive; False after a start means that one ended by itself."""
        return bool(self._threads) and all(thread.is_alive() for thread in self._threads)

    def install(self, sa: SecurityAssociation) -> None:
        """See `Backend.install`."""
        try:
            if sa.direction is Direction.IN:
                self._install_in(sa)
            else:
                self._install_out(sa)
        except ValueError as error:
            raise LocalProtocolError(
                f"cannot install the SA of SPI {sa.spi:#010x} with {sa.peer_hit}: {error}"
            ) from error

    def remove(
        self,
        direction: Direction,
        spi: Spi,
        local_hit: Hit | None = None,
        peer_hit: Hit | None = None,
    ) -> bool:
        """See `Backend.remove`."""
        if direction is Direction.IN:
            return self.datapath.remove_in(spi)
        return self.datapath.remove_out(
            spi,
            local_hit.packed if local_hit else b"",
            peer_hit.packed if peer_hit else b"",
        )

    def limit(self, spi: Spi, local_hit: Hit, peer_hit: Hit, octets: int | None) -> bool:
        """See `Backend.limit`."""
        return self.datapath.limit_out(spi, local_hit.packed, peer_hit.packed, octets)

    def move_in(self, spi: Spi, local_hit: Hit, peer_hit: Hit, path: Path) -> bool:  # noqa: ARG002
        """See `Backend.move_in`: an SPI is found at whatever address it arrives."""
        return self.carrier_of(Direction.IN, spi, local_hit, peer_hit) is not None

    def carrier_of(
        self, direction: Direction, spi: Spi, local_hit: Hit, peer_hit: Hit
    ) -> Carrier | None:
        """See `Backend.carrier_of`."""
        found = self.statistics_of(direction, spi, local_hit, peer_hit)
        return None if found is None else Carrier.USER

    def statistics(self, used_since_s: float = 0.0) -> list[SaStatistics]:
        """See `Backend.statistics`."""
        since_ns = max(int(used_since_s * _NS), 0)
        return [_statistics_of(row) for row in self.datapath.sa_statistics(since_ns)]

    def statistics_of(
        self, direction: Direction, spi: Spi, local_hit: Hit, peer_hit: Hit
    ) -> SaStatistics | None:
        """See `Backend.statistics_of`."""
        row = self.datapath.sa_statistics_of(int(direction), spi, local_hit.packed, peer_hit.packed)
        return None if row is None else _statistics_of(row)

    def close(self) -> None:
        """Stop both workers, wait for them, remove every SA; the descriptors stay open."""
        if self._is_closed:
            return
        self._is_closed = True
        self.datapath.stop()
        for thread in self._threads:
            thread.join()
        for row in self.statistics():
            self.remove(row.direction, row.spi, local_hit=row.local_hit, peer_hit=row.peer_hit)

    def _install_in(self, sa: SecurityAssociation) -> None:
        self.datapath.install_in(
            sa.spi,
            sa.suite,
            sa.encryption_key,
            sa.authentication_key,
            sa.local_hit.packed,
            sa.peer_hit.packed,
            _lsi_octets(sa.local_lsi),
            _lsi_octets(sa.peer_lsi),
            extended=sa.is_extended,
        )

    def _install_out(self, sa: SecurityAssociation) -> None:
        path = sa.path
        self.datapath.install_out(
            sa.spi,
            sa.suite,
            sa.encryption_key,
            sa.authentication_key,
            sa.local_hit.packed,
            sa.peer_hit.packed,
            _lsi_octets(sa.local_lsi),
            _lsi_octets(sa.peer_lsi),
            family=path.local.version,
            source=path.local.packed,
            destination=path.peer.packed,
            udp=path.encapsulation is Encapsulation.UDP,
            source_port=path.local_port,
            destination_port=path.peer_port,
            extended=sa.is_extended,
        )


def _lsi_octets(lsi: Lsi | None) -> bytes:
    return lsi.packed if lsi else NO_LSI


def _statistics_of(row: tuple[int, int, int, int, int, int, bytes, bytes]) -> SaStatistics:
    direction, spi, packets, octets, sequence, last_used_ns, local_hit, peer_hit = row
    return SaStatistics(
        direction=Direction(direction),
        spi=Spi(spi),
        local_hit=Hit(local_hit),
        peer_hit=Hit(peer_hit),
        packets=packets,
        octets=octets,
        sequence=sequence,
        last_used_s=last_used_ns / _NS if last_used_ns else None,
    )


def _worker(name: str, run: Callable[[], None]) -> threading.Thread:
    return threading.Thread(target=run, name=name, daemon=True)
