from typing import Final

LIBRARY: Final[str]

def version() -> str: ...
