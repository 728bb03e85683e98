from typing import TypeAlias, final

_SaRow: TypeAlias = tuple[int, int, int, int, int, int, bytes, bytes]

@final
class SaTables:
    def __new__(cls, pairs: int = 1, steering: int = 1) -> SaTables: ...
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
        *,
        extended: bool = False,
        sequence: int = 0,
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
        extended: bool = False,
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
    def statistics(self, used_since_ns: int = 0) -> list[_SaRow]: ...
    def statistics_of(
        self, direction: int, spi: int, local_hit: bytes, peer_hit: bytes
    ) -> _SaRow | None: ...
    def reclaim(self) -> int: ...
    def has_in(self, spi: int) -> bool: ...
    def out_spi(self, local_hit: bytes, peer_hit: bytes) -> int | None: ...
    def out_spi_by_lsi(self, local_lsi: bytes, peer_lsi: bytes) -> int | None: ...
