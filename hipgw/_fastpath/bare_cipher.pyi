from typing import TypeAlias, final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

_Octets: TypeAlias = Buffer | NDArray[np.uint8]

@final
class BareCipher:
    def __new__(
        cls, suite: int, encryption_key: bytes, authentication_key: bytes, *, seal: bool
    ) -> BareCipher: ...
    def run_batch(self, arena: _Octets, descriptors: _Octets) -> int: ...
