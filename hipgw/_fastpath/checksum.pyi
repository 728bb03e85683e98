from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

_Octets: TypeAlias = Buffer | NDArray[np.uint8]

def internet_sum(octets: _Octets, start: int = 0) -> int: ...
def adjusted(old: int, sum_removed: int, sum_added: int) -> int: ...
