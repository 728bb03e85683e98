"""Parameters that are opaque octets and nothing else: echoes and identifiers.

RFC 7401 sections 5.2.20 to 5.2.23, RFC 6078 section 4.4, RFC 6079 section 6.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from hipgw.wire.parameter import Parameter
from hipgw.wire.parameter_types import ParameterType


@dataclass(frozen=True, slots=True)
class OpaqueParameter(Parameter):
    """Any number of octets that only their sender understands."""

    data: bytes

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """All octets."""
        return cls(contents)

    def contents(self) -> bytes:
        """All octets."""
        return self.data


@dataclass(frozen=True, slots=True)
class EchoRequestSigned(OpaqueParameter):
    """To be answered by EchoResponseSigned; one per packet (5.2.20)."""

    TYPE: ClassVar[int] = ParameterType.ECHO_REQUEST_SIGNED


@dataclass(frozen=True, slots=True)
class EchoResponseSigned(OpaqueParameter):
    """The data of an EchoRequestSigned, unmodified (5.2.22)."""

    TYPE: ClassVar[int] = ParameterType.ECHO_RESPONSE_SIGNED


@dataclass(frozen=True, slots=True)
class EchoRequestUnsigned(OpaqueParameter):
    """To be answered by EchoResponseUnsigned; middleboxes may add theirs (5.2.21)."""

    TYPE: ClassVar[int] = ParameterType.ECHO_REQUEST_UNSIGNED
    MAY_REPEAT: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class EchoResponseUnsigned(OpaqueParameter):
    """The data of one EchoRequestUnsigned, unmodified (5.2.23)."""

    TYPE: ClassVar[int] = ParameterType.ECHO_RESPONSE_UNSIGNED
    MAY_REPEAT: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class TransactionId(OpaqueParameter):
    """Binds an answer to a request in an overlay (RFC 6078 section 4.4)."""

    TYPE: ClassVar[int] = ParameterType.TRANSACTION_ID


@dataclass(frozen=True, slots=True)
class OverlayId(OpaqueParameter):
    """Which overlay a message belongs to (RFC 6079 section 6.1)."""

    TYPE: ClassVar[int] = ParameterType.OVERLAY_ID
