from typing import TypeAlias, final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

_Octets: TypeAlias = Buffer | NDArray[np.uint8]

@final
class BareGcm:
    def __new__(cls, key: bytes) -> BareGcm: ...
    def seal_batch(self, arena: _Octets, descriptors: _Octets) -> None: ...
