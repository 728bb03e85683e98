"""UPDATE numbering and NOTIFY: SEQ, ACK, NOTIFICATION (RFC 7401 sections 5.2.16 to 5.2.19)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Final, Self

from hipgw.errors import LocalProtocolError
from hipgw.wire.number_lists import emit_u32_list, parse_u32, parse_u32_list
from hipgw.wire.parameter import Parameter, ParameterError
from hipgw.wire.parameter_types import ParameterType

_NOTIFICATION_HEAD: Final = Struct("!HH")


@dataclass(frozen=True, slots=True)
class Seq(Parameter):
    """Update ID of this UPDATE (5.2.16)."""

    TYPE: ClassVar[int] = ParameterType.SEQ

    update_id: int

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """Update ID u32."""
        return cls(parse_u32(cls.TYPE, contents))

    def contents(self) -> bytes:
        """4 octets."""
        return self.update_id.to_bytes(4)


@dataclass(frozen=True, slots=True)
class Ack(Parameter):
    """Update IDs of the peer that have arrived, one or more (5.2.17)."""

    TYPE: ClassVar[int] = ParameterType.ACK

    update_ids: tuple[int, ...]

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """Update IDs u32."""
        return cls(parse_u32_list(cls.TYPE, contents))

    def contents(self) -> bytes:
        """4 octets per Update ID."""
        if not self.update_ids:
            raise LocalProtocolError("ACK: at least one Update ID")
        return emit_u32_list(self.update_ids)


@dataclass(frozen=True, slots=True)
class Notification(Parameter):
    """An error (type below 16384) or a status, with data that depends on the type (5.2.19)."""

    TYPE: ClassVar[int] = ParameterType.NOTIFICATION
    MAY_REPEAT: ClassVar[bool] = True

    notify_type: int
    data: bytes = b""

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """Reserved u16 (ignored), type u16, data."""
        if len(contents) < _NOTIFICATION_HEAD.size:
            raise ParameterError(
                cls.TYPE, f"{len(contents)} octets, the least is {_NOTIFICATION_HEAD.size}"
            )
        _, notify_type = _NOTIFICATION_HEAD.unpack_from(contents)
        return cls(notify_type, contents[_NOTIFICATION_HEAD.size :])

    def contents(self) -> bytes:
        """4 + len(data) octets."""
        return _NOTIFICATION_HEAD.pack(0, self.notify_type) + self.data
