"""LOCATOR_SET (RFC 8046 section 4; transport addresses: RFC 9028 section 5.7)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Final, Self

from hipgw.errors import LocalProtocolError
from hipgw.values import Address
from hipgw.wire.addresses import ADDRESS_OCTETS, emit_address, parse_address
from hipgw.wire.parameter import Parameter, ParameterError
from hipgw.wire.parameter_types import ParameterType

LIFETIME_UNBOUNDED_S: Final = 0xFFFFFFFF
"""A locator that does not expire (RFC 8046 section 5.1)."""

_RECORD_HEAD: Final = Struct("!BBBBI")
_TRANSPORT_HEAD: Final = Struct("!HBBII")
_SPI_OCTETS: Final = 4
_PREFERRED: Final = 0x01


@dataclass(frozen=True, slots=True)
class AddressLocator:
    """An address alone."""

    TYPE: ClassVar[int] = 0

    address: Address


@dataclass(frozen=True, slots=True)
class SpiLocator:
    """An address bound to the SPI of a security association."""

    TYPE: ClassVar[int] = 1

    spi: int
    address: Address


@dataclass(frozen=True, slots=True)
class TransportLocator:
    """A candidate of NAT traversal (RFC 9028 section 5.7, Table 2).

    Attributes:
        port: transport port.
        protocol: IP protocol, 17 for UDP.
        kind: 0 host, 1 server reflexive, 2 peer reflexive, 3 relayed.
        priority: ICE priority.
        spi: SPI expected on this locator.
        address: the address.
    """

    TYPE: ClassVar[int] = 2

    port: int
    protocol: int
    kind: int
    priority: int
    spi: int
    address: Address


@dataclass(frozen=True, slots=True)
class UnknownLocator:
    """A locator type that this host does not know, to be answered by NOTIFY 46."""

    type: int
    octets: bytes


Locator = AddressLocator | SpiLocator | TransportLocator | UnknownLocator

_KNOWN_OCTETS: Final = {
    AddressLocator.TYPE: ADDRESS_OCTETS,
    SpiLocator.TYPE: _SPI_OCTETS + ADDRESS_OCTETS,
    TransportLocator.TYPE: _TRANSPORT_HEAD.size + ADDRESS_OCTETS,
}
_TYPE_ERROR: Final = int(ParameterType.LOCATOR_SET)


def _parse_locator(locator_type: int, octets: bytes) -> Locator:
    expected = _KNOWN_OCTETS.get(locator_type)
    if expected is None:
        return UnknownLocator(locator_type, octets)
    if len(octets) != expected:
        raise ParameterError(
            _TYPE_ERROR, f"locator of type {locator_type} with {len(octets)} octets, not {expected}"
        )
    address = parse_address(octets[expected - ADDRESS_OCTETS :])
    if locator_type == AddressLocator.TYPE:
        return AddressLocator(address)
    if locator_type == SpiLocator.TYPE:
        return SpiLocator(int.from_bytes(octets[:_SPI_OCTETS]), address)
    port, protocol, kind, priority, spi = _TRANSPORT_HEAD.unpack_from(octets)
    return TransportLocator(port, protocol, kind, priority, spi, address)


def _emit_locator(locator: Locator) -> tuple[int, bytes]:
    if isinstance(locator, AddressLocator):
        return locator.TYPE, emit_address(locator.address)
    if isinstance(locator, SpiLocator):
        return locator.TYPE, locator.spi.to_bytes(4) + emit_address(locator.address)
    if isinstance(locator, TransportLocator):
        head = _TRANSPORT_HEAD.pack(
            locator.port, locator.protocol, locator.kind, locator.priority, locator.spi
        )
        return locator.TYPE, head + emit_address(locator.address)
    if locator.type in _KNOWN_OCTETS or len(locator.octets) & 3:
        raise LocalProtocolError(
            f"locator of type {locator.type}, {len(locator.octets)} octets: an unknown type is"
            " above 2 and counts words of 4 octets"
        )
    return locator.type, locator.octets


@dataclass(frozen=True, slots=True)
class LocatorRecord:
    """One locator of a set.

    Attributes:
        locator: what is announced.
        lifetime_s: seconds; a sender must not say 0 (RFC 8046 section 4), which a receiver sees
            here nevertheless and judges by its policy.
        traffic_type: 0 signalling and data, 1 signalling, 2 data.
        preferred: the P bit, within the traffic type.
    """

    locator: Locator
    lifetime_s: int = LIFETIME_UNBOUNDED_S
    traffic_type: int = 0
    preferred: bool = False

    def emit(self) -> bytes:
        """The record's octets; LocalProtocolError for a lifetime of 0."""
        if not self.lifetime_s:
            raise LocalProtocolError("LOCATOR_SET: a locator's lifetime is not 0")
        locator_type, octets = _emit_locator(self.locator)
        head = _RECORD_HEAD.pack(
            self.traffic_type,
            locator_type,
            len(octets) // 4,
            _PREFERRED if self.preferred else 0,
            self.lifetime_s,
        )
        return head + octets


@dataclass(frozen=True, slots=True)
class LocatorSet(Parameter):
    """All locators that the sender wants to keep; none deprecates all.

    It may repeat: RFC 8047 section 4.2.8 allows an I2 more than one.
    """

    TYPE: ClassVar[int] = ParameterType.LOCATOR_SET
    MAY_REPEAT: ClassVar[bool] = True

    locators: tuple[LocatorRecord, ...] = ()

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """The records."""
        return cls(cls.parse_records(contents))

    @classmethod
    def parse_records(
        cls, contents: bytes, *, short_words: int | None = None
    ) -> tuple[LocatorRecord, ...]:
        """Records: traffic type, locator type, length in words of 4 octets, P, lifetime, locator.

        The seven reserved bits beside P are ignored.

        Args:
            contents: of the parameter.
            short_words: a length of type 1 that means its 5 words, for peers that write it so.

        Raises:
            ParameterError: records that break the layout.
        """
        records = []
        offset, end = 0, len(contents)
        while offset < end:
            if end - offset < _RECORD_HEAD.size:
                raise ParameterError(cls.TYPE, f"{end - offset} octets left of a record")
            traffic_type, locator_type, words, flags, lifetime_s = _RECORD_HEAD.unpack_from(
                contents, offset
            )
            if locator_type == SpiLocator.TYPE and words == short_words:
                words = _KNOWN_OCTETS[SpiLocator.TYPE] // 4
            offset += _RECORD_HEAD.size
            if words * 4 > end - offset:
                raise ParameterError(cls.TYPE, f"locator of {words} words in {end - offset} octets")
            locator = _parse_locator(locator_type, contents[offset : offset + words * 4])
            offset += words * 4
            preferred = bool(flags & _PREFERRED)
            records.append(LocatorRecord(locator, lifetime_s, traffic_type, preferred))
        return tuple(records)

    def contents(self) -> bytes:
        """The records, one after the other."""
        return b"".join(record.emit() for record in self.locators)
