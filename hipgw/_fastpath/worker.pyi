from collections.abc import Sequence
from typing import Any, final

from hipgw._fastpath.answer_i1 import I1Desk
from hipgw._fastpath.sa_face import SaFace

@final
class DataPath(SaFace):
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
        more_fds: Sequence[tuple[int, int, int, int, int]] = (),
        writer_fd: int = -1,
        steering: int = 1,
        spin_us: int = 0,
        gives_way: bool = False,
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
    def desk(self) -> I1Desk: ...
    @property
    def punt_fd(self) -> int: ...
    @property
    def pairs(self) -> int: ...
    def set_queue_mtus(self, hit_octets: int, lsi_octets: int) -> None: ...
    def run_outbound(self, pair: int = 0) -> None: ...
    def run_inbound(self, pair: int = 0) -> None: ...
    def stop(self) -> None: ...
    def take_punts(self, limit: int = 64) -> list[tuple[int, bytes, tuple[Any, ...]]]: ...
    def inject_outbound(self, packet: bytes) -> bool: ...
    def deliver_inbound(self, packet: bytes, family: int, spi: int) -> bool: ...
    def write_inner(self, packet: bytes) -> bool: ...
    def set_port_family(self, protocol: int, port: int, family: int) -> None: ...
    def counters(self) -> dict[str, int]: ...
