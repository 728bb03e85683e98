import numpy as np
from numpy.typing import NDArray

def keyed_hash(words: NDArray[np.uint64], key: bytes) -> int: ...
