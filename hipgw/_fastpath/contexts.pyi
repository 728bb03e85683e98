from typing import TypeAlias, final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

_Octets: TypeAlias = Buffer | NDArray[np.uint8]

def shape_of_suite(suite: int) -> tuple[int, int, int, int, int]: ...

@final
class SealContext:
    def add(
        self,
        spi: int,
        suite: int,
        encryption_key: bytes,
        authentication_key: bytes,
        sequence: int = 0,
        *,
        extended: bool = False,
    ) -> int: ...
    def seal_batch(self, arena: _Octets, descriptors: _Octets, now_ns: int = 0) -> int: ...
    def statistics(self, index: int) -> tuple[int, int, int, int]: ...

@final
class OpenContext:
    def add(
        self,
        spi: int,
        suite: int,
        encryption_key: bytes,
        authentication_key: bytes,
        sequence: int = 0,
        *,
        extended: bool = False,
    ) -> int: ...
    def open_batch(self, arena: _Octets, descriptors: _Octets, now_ns: int = 0) -> int: ...
    def statistics(self, index: int) -> tuple[int, int, int]: ...

@final
class BeetContext:
    def add(self, local_hit: bytes, peer_hit: bytes, local_lsi: bytes, peer_lsi: bytes) -> int: ...
    def strip_batch(self, arena: _Octets, descriptors: _Octets) -> int: ...
    def rebuild_batch(
        self, arena: _Octets, descriptors: _Octets, hop_limit: int, traffic_class: int
    ) -> int: ...
    def octets_in(self, index: int) -> int: ...
