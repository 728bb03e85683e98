from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

_Octets: TypeAlias = Buffer | NDArray[np.uint8]

def cut_super(octets: _Octets, room: int) -> tuple[str, list[bytes]]: ...
