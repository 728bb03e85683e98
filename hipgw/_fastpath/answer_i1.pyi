from typing import final

from hipgw._fastpath.tables import SaTables

@final
class I1Desk:
    def __new__(cls, tables: SaTables) -> I1Desk: ...
    def publish(
        self,
        *,
        opaque: bytes,
        secret: bytes,
        began_us: int,
        binds_addresses: bool,
        groups: bytes,
        r1s: list[tuple[bytes, int, bytes, int, int]],
        rate: float,
        burst: float,
        source_rate: float,
        source_burst: float,
        sources_most: int,
    ) -> None: ...
    def claim(self, local_hit: bytes, peer_hit: bytes, is_claimed: bool) -> None: ...
    def answer(
        self, packet: bytes, peer: bytes, local: bytes, is_raw: bool, now_ns: int
    ) -> bytes | None: ...
