"""A whole HIP packet, from octets and back (RFC 7401 section 5.1, RFC 5201 section 5.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from hipgw.errors import LocalProtocolError, WireError
from hipgw.values import NO_QUIRKS, Hit, Quirk, Quirks
from hipgw.values.quick_making import quickly_made
from hipgw.wire.foreign_layouts import parameters_with
from hipgw.wire.framing import emit_tlvs, read_tlvs
from hipgw.wire.header import (
    HEADER_OCTETS,
    HIP_VERSION,
    NO_NEXT_HEADER,
    PARAMETER_OCTETS_MAX,
    SPOKEN_VERSIONS,
    Header,
    PacketType,
    emit_header,
    parse_header,
)
from hipgw.wire.parameter import Parameter
from hipgw.wire.registry import parameters_of, require_layout_of

P = TypeVar("P", bound=Parameter)


@quickly_made
@dataclass(frozen=True, slots=True)
class HipPacket:
    """A HIP packet without its checksum.

    Attributes:
        packet_type: what the packet is.
        sender: sender HIT.
        receiver: receiver HIT, all zero in opportunistic mode.
        parameters: in the order of the wire, which is that of their types.
        controls: only `CONTROL_ANONYMOUS`; other bits are ignored on receive.
        version: HIP version.
        octets: the packet as it was received, up to the end that its Header Length names; empty
            when it was not received.
        next_header: what follows the packet, 59 for nothing.
    """

    packet_type: PacketType
    sender: Hit
    receiver: Hit
    parameters: tuple[Parameter, ...] = ()
    controls: int = 0
    version: int = HIP_VERSION
    octets: bytes = field(default=b"", compare=False, repr=False)
    next_header: int = NO_NEXT_HEADER
    _index: Mapping[type[Parameter], Parameter] | None = field(
        default=None, compare=False, repr=False
    )
    """Of a received packet: the first parameter of each class that is there."""

    def get(self, kind: type[P]) -> P | None:
        """The first parameter of a class, or None."""
        # No class that reads packets of a version derives from another one of the same version, so
        # what is of this very class is also the first that is an instance of it.
        if self._index is not None and (indexed := self._index.get(kind)) is not None:
            return indexed  # type: ignore[return-value]  # it is of the class that it stands under
        for parameter in self.parameters:
            if isinstance(parameter, kind):
                return parameter
        return None

    def all(self, kind: type[P]) -> tuple[P, ...]:
        """All parameters of a class, in order."""
        if self._index is not None and kind not in self._index and not kind.__subclasses__():
            return ()
        return tuple([parameter for parameter in self.parameters if isinstance(parameter, kind)])

    def require(self, kind: type[P]) -> P:
        """The first parameter of a class; WireError (hip_missing) when there is none."""
        found = self.get(kind)
        if found is None:
            raise WireError(
                "hip_missing",
                f"{self.packet_type.name} without {kind.__name__}",
                HEADER_OCTETS,
                kind.TYPE,
            )
        return found


def parse_packet(
    octets: bytes,
    *,
    versions: frozenset[int] = SPOKEN_VERSIONS,
    lenient_order: bool = False,
    quirks: Quirks = NO_QUIRKS,
) -> HipPacket:
    """Read a packet strictly, but for what `lenient_order` and `quirks` allow.

    The checksum is not looked at: it depends on addresses, and is zero inside UDP.

    Args:
        octets: HIP header and parameters; without the marker of UDP encapsulation.
        versions: HIP versions to accept; the packet's own picks the parameter layouts.
        lenient_order: accept parameters out of order before the first MAC or signature, which
            some hosts send; for peers that are known to.
        quirks: how the peer that the packet claims to come from is known to write parameters;
            `Quirk.UNORDERED_PARAMETERS` is `lenient_order`.

    Raises:
        WireError: hip_short, hip_long, hip_version, hip_type, hip_malformed, or, when nothing else
            is wrong, hip_critical with the first unknown critical type.
    """
    header = parse_header(octets, versions)
    parameters = read_tlvs(
        octets,
        HEADER_OCTETS,
        header.end_octets,
        parameters_with(header.version, quirks) if quirks else parameters_of(header.version),
        lenient_order=lenient_order or (bool(quirks) and Quirk.UNORDERED_PARAMETERS in quirks),
    )
    return HipPacket(
        header.packet_type,
        header.sender,
        header.receiver,
        parameters,
        header.controls,
        header.version,
        octets[: header.end_octets],
        header.next_header,
        {type(parameter): parameter for parameter in reversed(parameters)},
    )


def emit_packet(packet: HipPacket) -> bytes:
    """Write a packet with checksum 0; `octets` of the packet plays no part.

    Raises:
        LocalProtocolError: parameters out of order, repeated, unfit, of another HIP version, or
            above 2008 octets.
    """
    return emit_parts(
        packet.packet_type,
        (packet.sender, packet.receiver),
        packet.parameters,
        controls=packet.controls,
        version=packet.version,
        next_header=packet.next_header,
    )


def emit_parts(
    packet_type: PacketType,
    hits: tuple[Hit, Hit],
    parameters: Sequence[Parameter],
    *,
    controls: int = 0,
    version: int = HIP_VERSION,
    next_header: int = NO_NEXT_HEADER,
) -> bytes:
    """As `emit_packet`, from the parts of a packet; `hits` are of sender and receiver."""
    for parameter in parameters:
        require_layout_of(version, parameter)
    tlvs = emit_tlvs(parameters)
    if len(tlvs) > PARAMETER_OCTETS_MAX:
        raise LocalProtocolError(
            f"{packet_type.name}: {len(tlvs)} octets of parameters, at most {PARAMETER_OCTETS_MAX}"
        )
    end = HEADER_OCTETS + len(tlvs)
    return emit_header(Header(packet_type, version, next_header, controls, *hits, end)) + tlvs
