"""CERT (RFC 8002 section 2)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Final, Self

from hipgw.errors import LocalProtocolError
from hipgw.wire.parameter import Parameter, ParameterError
from hipgw.wire.parameter_types import ParameterType

_CERT_HEAD: Final = Struct("!BBBB")


@dataclass(frozen=True, slots=True)
class Cert(Parameter):
    """One certificate of a group that may span packets.

    Attributes:
        group: group number; ascending within a packet.
        count: certificates in the whole group.
        id: number of this one, 1..count.
        type: 1 X.509 v3, 3 hash and URL, 5 LDAP URL, 7 distinguished name.
        certificate: what the type says.
    """

    TYPE: ClassVar[int] = ParameterType.CERT
    MAY_REPEAT: ClassVar[bool] = True

    group: int
    count: int
    id: int
    type: int
    certificate: bytes

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """Group u8, count u8, id u8 within 1..count, type u8, certificate."""
        if len(contents) < _CERT_HEAD.size:
            raise ParameterError(
                cls.TYPE, f"{len(contents)} octets, the least is {_CERT_HEAD.size}"
            )
        group, count, number, kind = _CERT_HEAD.unpack_from(contents)
        if not 1 <= number <= count:
            raise ParameterError(cls.TYPE, f"certificate {number} of {count}")
        return cls(group, count, number, kind, contents[_CERT_HEAD.size :])

    def contents(self) -> bytes:
        """4 + len(certificate) octets."""
        if not 1 <= self.id <= self.count:
            raise LocalProtocolError(f"CERT: certificate {self.id} of {self.count}")
        return _CERT_HEAD.pack(self.group, self.count, self.id, self.type) + self.certificate
