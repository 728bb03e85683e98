from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

_Octets: TypeAlias = Buffer | NDArray[np.uint8]

def describe_packet(
    packet: _Octets, flags: int, whole_octets: int, mtu: int, path_mtu: int = 0
) -> bytes | None: ...
