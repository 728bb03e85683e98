from collections.abc import Sequence
from typing import Any, Final, final

from hipgw._fastpath.answer_i1 import I1Desk
from hipgw._fastpath.tables import SaTables, _SaRow

PUNT_CONTROL: Final[int]
PUNT_NO_SA: Final[int]
PUNT_FIRST_ESP: Final[int]
PUNT_FAMILY: Final[int]
PUNT_EXPIRE: Final[int]
PUNT_STRANGE: Final[int]
PUNT_CONTROL_RAW: Final[int]
PUNT_TOO_BIG: Final[int]

@final
class DataPath:
    def __new__(
        cls,
        *,
        tun_fd: int,
        udp4_fd: int = -1,
        udp6_fd: int = -1,
        raw4_fd: int = -1,
        raw6_fd: int = -1,
        hip4_fd: int = -1,
        hip6_fd: int = -1,
        link_fd: int = -1,
        slot_octets: int = 2304,
        batch: int = 256,
        punt_octets: int = 4194304,
        vnet_hdr: bool = False,
        uso: bool = False,
        udp_gso: bool = False,
        udp_gro: bool = False,
        queue_fds: Sequence[int] = (),
        class_mask: int = 0xFF,
    ) -> DataPath: ...
    @property
    def tables(self) -> SaTables: ...
    @property
    def desk(self) -> I1Desk: ...
    @property
    def punt_fd(self) -> int: ...
    def install_in(
        self,
        spi: int,
        suite: int,
        encryption_key: bytes,
        authentication_key: bytes,
        local_hit: bytes,
        peer_hit: bytes,
        local_lsi: bytes,
        peer_lsi: bytes,
    ) -> None: ...
    def install_out(
        self,
        spi: int,
        suite: int,
        encryption_key: bytes,
        authentication_key: bytes,
        local_hit: bytes,
        peer_hit: bytes,
        local_lsi: bytes,
        peer_lsi: bytes,
        *,
        family: int,
        source: bytes,
        destination: bytes,
        udp: bool,
        source_port: int,
        destination_port: int,
        sequence: int = 0,
    ) -> None: ...
    def remove_in(self, spi: int) -> bool: ...
    def remove_out(self, spi: int, local_hit: bytes = b"", peer_hit: bytes = b"") -> bool: ...
    def limit_out(
        self, spi: int, local_hit: bytes, peer_hit: bytes, octets: int | None
    ) -> bool: ...
    def set_payload_most(
        self, spi: int, local_hit: bytes, peer_hit: bytes, octets: int
    ) -> bool: ...
    def set_link(
        self, spi: int, local_hit: bytes, peer_hit: bytes, interface: int, address: bytes
    ) -> bool: ...
    def set_subnets(
        self,
        owners: list[tuple[bytes, bytes]],
        *,
        peers4: list[tuple[int, int]],
        peers6: list[tuple[int, int]],
        here4: list[tuple[int, int]],
        here6: list[tuple[int, int]],
        clamp_mss: bool,
    ) -> None: ...
    def sa_statistics(self, used_since_ns: int = 0) -> list[_SaRow]: ...
    def sa_statistics_of(
        self, direction: int, spi: int, local_hit: bytes, peer_hit: bytes
    ) -> _SaRow | None: ...
    def set_queue_mtus(self, hit_octets: int, lsi_octets: int) -> None: ...
    def run_outbound(self) -> None: ...
    def run_inbound(self) -> None: ...
    def stop(self) -> None: ...
    def take_punts(self, limit: int = 64) -> list[tuple[int, bytes, tuple[Any, ...]]]: ...
    def inject_outbound(self, packet: bytes) -> bool: ...
    def deliver_inbound(self, packet: bytes, family: int, spi: int) -> bool: ...
    def write_inner(self, packet: bytes) -> bool: ...
    def set_port_family(self, protocol: int, port: int, family: int) -> None: ...
    def counters(self) -> dict[str, int]: ...
