from typing import Final, final

WINDOW_NUMBERS: Final[int]
"""How many sequence numbers, the highest included, the window protects."""

@final
class ReplayWindow:
    def check(self, sequence: int) -> int: ...
    def accept(self, sequence: int) -> int: ...
    @property
    def top(self) -> int: ...
