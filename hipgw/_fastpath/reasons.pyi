from typing import Final

REASON_NAMES: Final[tuple[str, ...]]
"""Name by number; [0] is "none", the packet was not dropped."""

REASONS: Final[dict[str, str]]
"""Name -> one-line meaning, in the order of the numbers, without "none"."""
