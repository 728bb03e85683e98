"""What every parameter can do, and the parameter that this host does not know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Self

from hipgw.errors import WireError


class ParameterError(WireError):
    """Contents that break the layout of their parameter; framing adds where in the packet.

    Attributes:
        detail: what is wrong, without a place.
    """

    def __init__(self, parameter_type: int, detail: str) -> None:
        super().__init__("hip_malformed", detail, 0, parameter_type)
        self.detail: Final = detail


class Parameter:
    """One TLV without its head and padding (RFC 7401 section 5.2.1).

    Not an ABC: `isinstance` of one runs Python code, dozens of times a packet.

    Attributes:
        TYPE: the Type field.
        MAY_REPEAT: whether an RFC lets one packet carry several of them.
    """

    __slots__ = ()

    TYPE: ClassVar[int]
    MAY_REPEAT: ClassVar[bool] = False

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """Read the contents; raises WireError (hip_malformed) when they break the layout."""
        raise NotImplementedError

    def contents(self) -> bytes:
        """Write the contents; raises LocalProtocolError for what the RFC does not let us send.

        A number too large for its field raises struct.error or ValueError here, which
        `emit_parameter` turns into LocalProtocolError.
        """
        raise NotImplementedError

    @property
    def wire_type(self) -> int:
        """The Type field of this very parameter."""
        return self.TYPE


@dataclass(frozen=True, slots=True)
class UnknownParameter(Parameter):
    """A parameter whose type this host does not know, kept as it came; private ones too."""

    TYPE: ClassVar[int] = -1
    MAY_REPEAT: ClassVar[bool] = True

    type: int
    data: bytes

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """Not possible: contents alone do not tell their type."""
        raise ParameterError(cls.TYPE, f"{len(contents)} octets of an unnamed type")

    def contents(self) -> bytes:
        """The octets as they came."""
        return self.data

    @property
    def wire_type(self) -> int:
        """The Type field."""
        return self.type
