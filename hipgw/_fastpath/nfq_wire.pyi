from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

_Octets: TypeAlias = Buffer | NDArray[np.uint8]
_Packet: TypeAlias = tuple[int, int, int, int, int, int, int, bytes]

def parse_messages(octets: _Octets) -> tuple[list[_Packet], int]: ...
