"""Who a host is: HOST_ID and HIT_SUITE_LIST (RFC 7401 sections 5.2.9 and 5.2.10)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Final, Self

from hipgw.errors import LocalProtocolError
from hipgw.values.quick_making import quickly_made
from hipgw.wire.parameter import Parameter, ParameterError
from hipgw.wire.parameter_types import ParameterType

_HOST_ID_HEAD: Final = Struct("!HHH")
_DI_OCTETS_MAX: Final = 0x0FFF
_DI_TYPE_MAX: Final = 15
_SUITE_MAX: Final = 15


@quickly_made
@dataclass(frozen=True, slots=True)
class HostId(Parameter):
    """A Host Identity and perhaps a Domain Identifier (5.2.9).

    Attributes:
        algorithm: Host Identity algorithm.
        hi: the Host Identity field, of which the HIT is the hash.
        di_type: 0 none, 1 FQDN in DNS wire form, 2 NAI.
        di: the Domain Identifier, any octets.
    """

    TYPE: ClassVar[int] = ParameterType.HOST_ID

    algorithm: int
    hi: bytes
    di_type: int = 0
    di: bytes = b""

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """HI length u16, DI type 4 bits and length 12 bits, algorithm u16, HI, DI."""
        if len(contents) < _HOST_ID_HEAD.size:
            raise ParameterError(
                cls.TYPE, f"{len(contents)} octets, the least is {_HOST_ID_HEAD.size}"
            )
        hi_octets, di_field, algorithm = _HOST_ID_HEAD.unpack_from(contents)
        di_type, di_octets = di_field >> 12, di_field & _DI_OCTETS_MAX
        if _HOST_ID_HEAD.size + hi_octets + di_octets != len(contents):
            raise ParameterError(
                cls.TYPE, f"HI of {hi_octets} and DI of {di_octets} octets in {len(contents)}"
            )
        if not di_type and di_octets:
            raise ParameterError(cls.TYPE, f"DI of {di_octets} octets of type 0 (none)")
        end = _HOST_ID_HEAD.size + hi_octets
        return cls(algorithm, contents[_HOST_ID_HEAD.size : end], di_type, contents[end:])

    def contents(self) -> bytes:
        """6 + len(hi) + len(di) octets."""
        if not 0 <= self.di_type <= _DI_TYPE_MAX or len(self.di) > _DI_OCTETS_MAX:
            raise LocalProtocolError(f"HOST_ID: DI type {self.di_type}, {len(self.di)} octets")
        if self.di and not self.di_type:
            raise LocalProtocolError("HOST_ID: a DI needs a type, 1 (FQDN) or 2 (NAI)")
        di_field = self.di_type << 12 | len(self.di)
        return _HOST_ID_HEAD.pack(len(self.hi), di_field, self.algorithm) + self.hi + self.di


@dataclass(frozen=True, slots=True)
class HitSuiteList(Parameter):
    """HIT suite numbers, 0..15, most preferred first (5.2.10)."""

    TYPE: ClassVar[int] = ParameterType.HIT_SUITE_LIST

    suites: tuple[int, ...]

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """One octet per suite: the number in the upper half, zero in the lower half."""
        for octet in contents:
            if octet & 0x0F:
                raise ParameterError(cls.TYPE, f"suite octet {octet:#04x}: lower half not zero")
        return cls(tuple(octet >> 4 for octet in contents))

    def contents(self) -> bytes:
        """One octet per suite."""
        if any(not 0 <= suite <= _SUITE_MAX for suite in self.suites):
            raise LocalProtocolError(f"HIT_SUITE_LIST: suites {self.suites}, each 0 to 15")
        return bytes(suite << 4 for suite in self.suites)
