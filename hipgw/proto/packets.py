"""The packets that we send, before addresses are known: checksum 0.

Where a MAC or signature comes next, the octets built so far are exactly what it covers: checksum 0
and a Header Length that ends before it (RFC 7401 sections 6.4.1, 6.4.2).  `dialect` appends them.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Final

from hipgw.errors import LocalProtocolError
from hipgw.values import Hit
from hipgw.values.identifiers import SPI_LEAST
from hipgw.wire import (
    HIP_VERSION,
    EchoResponseUnsigned,
    EspInfo,
    PacketType,
    Parameter,
    ParameterType,
    append_parameter,
    emit_parts,
)

_WIRE_TYPE: Final = attrgetter("wire_type")
ESP_FORMAT = int(ParameterType.ESP_TRANSFORM)
"""The transport format number of ESP is its parameter type (RFC 7402 section 5.1.2)."""


def build_packet(
    packet_type: PacketType,
    sender: Hit,
    receiver: Hit,
    parameters: Iterable[Parameter],
    *,
    controls: int = 0,
    version: int = HIP_VERSION,
) -> bytes:
    """Emit a packet with `parameters` sorted by type, as the wire wants them (section 5.2.1)."""
    in_order = sorted(parameters, key=_WIRE_TYPE)
    return emit_parts(packet_type, (sender, receiver), in_order, controls=controls, version=version)


def esp_info_is_fit(esp_info: EspInfo, keymat_index: int) -> bool:
    """Whether an ESP_INFO may stand in an I2 or R2 (RFC 7402 section 5.1.1)."""
    return (
        esp_info.new_spi >= SPI_LEAST
        and esp_info.old_spi == 0
        and esp_info.keymat_index == keymat_index
    )


def with_unsigned_echoes(octets: bytes, echoes: Iterable[bytes]) -> bytes:
    """Append an ECHO_RESPONSE_UNSIGNED for each request, as far as the packet has room (5.2.23).

    Middleboxes add the requests, so their number is nobody's promise.
    """
    for data in echoes:
        try:
            octets = append_parameter(octets, EchoResponseUnsigned(data))
        except LocalProtocolError:
            return octets
    return octets
