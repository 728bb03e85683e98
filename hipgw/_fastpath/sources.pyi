from typing import final

@final
class SourceLimits:
    def __new__(
        cls,
        *,
        rate: float,
        burst: float,
        source_rate: float,
        source_burst: float,
        sources_most: int,
    ) -> SourceLimits: ...
    @property
    def octets(self) -> int: ...
    def allows(self, address: bytes, now_ns: int) -> bool: ...
