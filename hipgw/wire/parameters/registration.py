"""Registration (RFC 8003 section 4).

Lifetimes are the 8-bit code of section 4.1: 0 is zero seconds, v is 2^((v - 64) / 8) seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from hipgw.wire.parameter import Parameter, ParameterError
from hipgw.wire.parameter_types import ParameterType


@dataclass(frozen=True, slots=True)
class RegInfo(Parameter):
    """Services that a registrar offers; none means "not now" (4.2, 3.1)."""

    TYPE: ClassVar[int] = ParameterType.REG_INFO

    min_lifetime: int
    max_lifetime: int
    reg_types: tuple[int, ...] = ()

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """Two lifetimes u8, types u8; no octets at all also means that nothing is offered."""
        if not contents:
            return cls(0, 0)
        if len(contents) < 2:
            raise ParameterError(cls.TYPE, "1 octet, the least is 2")
        return cls(contents[0], contents[1], tuple(contents[2:]))

    def contents(self) -> bytes:
        """2 octets and one per type."""
        return bytes((self.min_lifetime, self.max_lifetime, *self.reg_types))


@dataclass(frozen=True, slots=True)
class RegistrationParameter(Parameter):
    """A lifetime and the registration types it is about."""

    lifetime: int
    reg_types: tuple[int, ...] = ()

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """Lifetime u8, types u8."""
        if not contents:
            raise ParameterError(cls.TYPE, "no octets, the least is 1")
        return cls(contents[0], tuple(contents[1:]))

    def contents(self) -> bytes:
        """1 octet and one per type."""
        return bytes((self.lifetime, *self.reg_types))


@dataclass(frozen=True, slots=True)
class RegRequest(RegistrationParameter):
    """Types asked for, in order of preference; a registrar takes several parameters (4.3)."""

    TYPE: ClassVar[int] = ParameterType.REG_REQUEST
    MAY_REPEAT: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class RegResponse(RegistrationParameter):
    """Types granted; a requester takes several parameters (4.4)."""

    TYPE: ClassVar[int] = ParameterType.REG_RESPONSE
    MAY_REPEAT: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class RegFailed(Parameter):
    """Types refused for one reason; one parameter per reason (4.5)."""

    TYPE: ClassVar[int] = ParameterType.REG_FAILED
    MAY_REPEAT: ClassVar[bool] = True

    failure_type: int
    reg_types: tuple[int, ...] = ()

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """Failure type u8, types u8."""
        if not contents:
            raise ParameterError(cls.TYPE, "no octets, the least is 1")
        return cls(contents[0], tuple(contents[1:]))

    def contents(self) -> bytes:
        """1 octet and one per type."""
        return bytes((self.failure_type, *self.reg_types))
