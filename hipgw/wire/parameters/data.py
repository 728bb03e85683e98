"""HIP_DATA and signalling over ESP (RFC 6078 section 4, RFC 6261 section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Final, Self

from hipgw.errors import LocalProtocolError
from hipgw.wire.number_lists import (
    emit_u16_list,
    emit_u32_list,
    parse_u16_list,
    parse_u32,
    parse_u32_list,
)
from hipgw.wire.parameter import Parameter, ParameterError
from hipgw.wire.parameter_types import ParameterType

_PAYLOAD_MIC_HEAD: Final = Struct("!Bxxx8s")
_PAYLOAD_DATA_OCTETS: Final = 8


@dataclass(frozen=True, slots=True)
class SeqData(Parameter):
    """Number of a HIP_DATA packet (RFC 6078 section 4.1)."""

    TYPE: ClassVar[int] = ParameterType.SEQ_DATA

    sequence: int

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """Number u32."""
        return cls(parse_u32(cls.TYPE, contents))

    def contents(self) -> bytes:
        """4 octets."""
        return self.sequence.to_bytes(4)


@dataclass(frozen=True, slots=True)
class AckData(Parameter):
    """Numbers of HIP_DATA packets that have arrived (RFC 6078 section 4.2)."""

    TYPE: ClassVar[int] = ParameterType.ACK_DATA

    sequences: tuple[int, ...]

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """Numbers u32, one or more."""
        return cls(parse_u32_list(cls.TYPE, contents))

    def contents(self) -> bytes:
        """4 octets per number."""
        if not self.sequences:
            raise LocalProtocolError("ACK_DATA: at least one number")
        return emit_u32_list(self.sequences)


@dataclass(frozen=True, slots=True)
class PayloadMic(Parameter):
    """Hash of a payload that follows the HIP header (RFC 6078 section 4.3).

    Attributes:
        next_header: protocol of the payload.
        payload_data: its last 8 octets, which bind the hash to it.
        mic: the hash.
    """

    TYPE: ClassVar[int] = ParameterType.PAYLOAD_MIC
    MAY_REPEAT: ClassVar[bool] = True

    next_header: int
    payload_data: bytes
    mic: bytes

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """Next header u8, reserved 3 octets (ignored), payload data 8 octets, hash."""
        if len(contents) < _PAYLOAD_MIC_HEAD.size:
            raise ParameterError(
                cls.TYPE, f"{len(contents)} octets, the least is {_PAYLOAD_MIC_HEAD.size}"
            )
        next_header, payload_data = _PAYLOAD_MIC_HEAD.unpack_from(contents)
        return cls(next_header, payload_data, contents[_PAYLOAD_MIC_HEAD.size :])

    def contents(self) -> bytes:
        """12 + len(mic) octets."""
        if len(self.payload_data) != _PAYLOAD_DATA_OCTETS:
            raise LocalProtocolError(
                f"PAYLOAD_MIC: payload data of {len(self.payload_data)} octets, not 8"
            )
        return _PAYLOAD_MIC_HEAD.pack(self.next_header, self.payload_data) + self.mic


@dataclass(frozen=True, slots=True)
class HipTransportMode(Parameter):
    """How signalling travels after the base exchange (RFC 6261 section 3.1).

    No mode in an I2 means that none of the offered ones is used.
    """

    TYPE: ClassVar[int] = ParameterType.HIP_TRANSPORT_MODE

    port: int
    modes: tuple[int, ...] = ()

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """Port u16, 16-bit modes."""
        numbers = parse_u16_list(cls.TYPE, contents)
        if not numbers:
            raise ParameterError(cls.TYPE, "no octets, the least is 2")
        return cls(numbers[0], numbers[1:])

    def contents(self) -> bytes:
        """2 octets, then 2 per mode."""
        return emit_u16_list((self.port, *self.modes))
