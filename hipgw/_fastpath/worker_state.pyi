from typing import Final

PATH_NAMES: Final[tuple[str, ...]]
"""Names of the path counters, by number."""
