from typing import TypeAlias, final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

from hipgw._fastpath.tables import SaTables

_Octets: TypeAlias = Buffer | NDArray[np.uint8]

@final
class Nodes:
    def __new__(cls, tables: SaTables) -> Nodes: ...
    def seal_batch(self, arena: _Octets, descriptors: _Octets, now_ns: int = 0) -> int: ...
    def open_batch(self, arena: _Octets, descriptors: _Octets, now_ns: int = 0) -> int: ...
    def keys_made(self) -> tuple[int, int]: ...
    def keys_kept(self) -> tuple[int, int]: ...
