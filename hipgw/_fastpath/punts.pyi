from typing import Final

PUNT_CONTROL: Final[int]
PUNT_NO_SA: Final[int]
PUNT_FIRST_ESP: Final[int]
PUNT_FAMILY: Final[int]
PUNT_EXPIRE: Final[int]
PUNT_STRANGE: Final[int]
PUNT_CONTROL_RAW: Final[int]
PUNT_TOO_BIG: Final[int]
