from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

_Octets: TypeAlias = Buffer | NDArray[np.uint8]

DESCRIPTOR_DTYPE: Final[list[tuple[str, str]]]
"""`numpy.dtype(DESCRIPTOR_DTYPE)` mirrors `PacketDesc`: packed, host byte order."""

DESCRIPTOR_OCTETS: Final[int]

def check_batch(
    arena_octets: int,
    descriptors: _Octets,
    sa_count: int,
    headroom_octets: int,
    tailroom_octets: int,
) -> int: ...
