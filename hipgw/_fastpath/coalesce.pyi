from typing import TypeAlias, final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

_Octets: TypeAlias = Buffer | NDArray[np.uint8]

@final
class Coalescer:
    def __new__(
        cls, local_hit: bytes, peer_hit: bytes, local_lsi: bytes, peer_lsi: bytes
    ) -> Coalescer: ...
    def coalesce_batch(
        self, arena: _Octets, descriptors: _Octets, *, tcp: bool = True, udp: bool = True
    ) -> list[tuple[list[int], bytes]]: ...
