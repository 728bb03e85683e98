"""ESP transport format: ESP_INFO and ESP_TRANSFORM (RFC 7402 section 5.1)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from struct import Struct
from typing import ClassVar, Final, Self

from hipgw.errors import LocalProtocolError
from hipgw.values.quick_making import quickly_made
from hipgw.wire.number_lists import LISTS_KEPT, emit_u16_list, parse_u16_list
from hipgw.wire.parameter import Parameter, ParameterError
from hipgw.wire.parameter_types import ParameterType
from hipgw.wire.parameters.exchange import SUITES_MAX

_ESP_INFO: Final = Struct("!HHII")


@quickly_made
@dataclass(frozen=True, slots=True)
class EspInfo(Parameter):
    """SPIs that the sender wants to receive on, and where in KEYMAT the keys start (5.1.1).

    It may repeat: RFC 8047 section 4.2.4 sends one per new security association.
    """

    TYPE: ClassVar[int] = ParameterType.ESP_INFO
    MAY_REPEAT: ClassVar[bool] = True

    keymat_index: int
    old_spi: int
    new_spi: int

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """Reserved u16 (ignored), KEYMAT index u16 (octets), old SPI u32, new SPI u32."""
        if len(contents) != _ESP_INFO.size:
            raise ParameterError(cls.TYPE, f"{len(contents)} octets, not {_ESP_INFO.size}")
        _, keymat_index, old_spi, new_spi = _ESP_INFO.unpack(contents)
        return cls(keymat_index, old_spi, new_spi)

    def contents(self) -> bytes:
        """12 octets."""
        return _ESP_INFO.pack(0, self.keymat_index, self.old_spi, self.new_spi)


@quickly_made
@dataclass(frozen=True, slots=True)
class EspTransform(Parameter):
    """ESP suites in order of preference; exactly one in an I2 (5.1.2)."""

    TYPE: ClassVar[int] = ParameterType.ESP_TRANSFORM

    suites: tuple[int, ...]

    @classmethod
    @lru_cache(LISTS_KEPT)
    def parse(cls, contents: bytes) -> Self:
        """Reserved u16 (ignored), 16-bit ids; the first six count, the rest is dropped."""
        numbers = parse_u16_list(cls.TYPE, contents)
        if not numbers:
            raise ParameterError(cls.TYPE, "no octets, the least is 2")
        return cls(numbers[1 : SUITES_MAX + 1])

    def contents(self) -> bytes:
        """2 octets, then 2 per suite, at most six."""
        if len(self.suites) > SUITES_MAX:
            raise LocalProtocolError(f"ESP_TRANSFORM: {len(self.suites)} ids, at most {SUITES_MAX}")
        return emit_u16_list((0, *self.suites))
