"""NAT traversal and relays (RFC 9028 section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Final, Self

from hipgw.errors import LocalProtocolError
from hipgw.values import Address
from hipgw.wire.addresses import emit_address, parse_address
from hipgw.wire.number_lists import emit_u16_list, parse_u16_list, parse_u32
from hipgw.wire.parameter import Parameter, ParameterError
from hipgw.wire.parameter_types import ParameterType
from hipgw.wire.parameters.exchange import SUITES_MAX
from hipgw.wire.parameters.proofs import MacParameter

_TRANSPORT: Final = Struct("!HBB16s")
_PERMISSION: Final = Struct("!HHBxxx16s16sII")


@dataclass(frozen=True, slots=True)
class NatTraversalMode(Parameter):
    """NAT traversal modes in order of preference; exactly one in an I2 (5.4)."""

    TYPE: ClassVar[int] = ParameterType.NAT_TRAVERSAL_MODE

    modes: tuple[int, ...]

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """Reserved u16 (ignored), 16-bit modes; the first six count, the rest is dropped."""
        numbers = parse_u16_list(cls.TYPE, contents)
        if not numbers:
            raise ParameterError(cls.TYPE, "no octets, the least is 2")
        return cls(numbers[1 : SUITES_MAX + 1])

    def contents(self) -> bytes:
        """2 octets, then 2 per mode, at most six."""
        if len(self.modes) > SUITES_MAX:
            raise LocalProtocolError(
                f"NAT_TRAVERSAL_MODE: {len(self.modes)} ids, at most {SUITES_MAX}"
            )
        return emit_u16_list((0, *self.modes))


@dataclass(frozen=True, slots=True)
class TransactionPacing(Parameter):
    """Least time between connectivity checks that a host would use (5.5)."""

    TYPE: ClassVar[int] = ParameterType.TRANSACTION_PACING

    min_ta_ms: int

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """Milliseconds u32."""
        return cls(parse_u32(cls.TYPE, contents))

    def contents(self) -> bytes:
        """4 octets."""
        return self.min_ta_ms.to_bytes(4)


@dataclass(frozen=True, slots=True)
class CandidatePriority(Parameter):
    """Priority of a peer-reflexive candidate (5.14)."""

    TYPE: ClassVar[int] = ParameterType.CANDIDATE_PRIORITY

    priority: int

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """Priority u32."""
        return cls(parse_u32(cls.TYPE, contents))

    def contents(self) -> bytes:
        """4 octets."""
        return self.priority.to_bytes(4)


@dataclass(frozen=True, slots=True)
class TransportAddress(Parameter):
    """Port (0 with plain IP), protocol (17 UDP, 0 plain IP) and address (5.6, 5.12)."""

    port: int
    protocol: int
    address: Address

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """Port u16, protocol u8, reserved u8 (ignored), address of 16 octets."""
        if len(contents) != _TRANSPORT.size:
            raise ParameterError(cls.TYPE, f"{len(contents)} octets, not {_TRANSPORT.size}")
        port, protocol, _, address = _TRANSPORT.unpack(contents)
        return cls(port, protocol, parse_address(address))

    def contents(self) -> bytes:
        """20 octets."""
        return _TRANSPORT.pack(self.port, self.protocol, 0, emit_address(self.address))


@dataclass(frozen=True, slots=True)
class RegFrom(TransportAddress):
    """Where the relay server sees the registration come from (5.6)."""

    TYPE: ClassVar[int] = ParameterType.REG_FROM


@dataclass(frozen=True, slots=True)
class RelayFrom(TransportAddress):
    """Where the relay server received the relayed packet from (5.6)."""

    TYPE: ClassVar[int] = ParameterType.RELAY_FROM


@dataclass(frozen=True, slots=True)
class RelayTo(TransportAddress):
    """Where the relay server is to send the packet (5.6)."""

    TYPE: ClassVar[int] = ParameterType.RELAY_TO


@dataclass(frozen=True, slots=True)
class RelayedAddress(TransportAddress):
    """Address at the data relay (5.12)."""

    TYPE: ClassVar[int] = ParameterType.RELAYED_ADDRESS


@dataclass(frozen=True, slots=True)
class MappedAddress(TransportAddress):
    """Where a connectivity check came from (5.12)."""

    TYPE: ClassVar[int] = ParameterType.MAPPED_ADDRESS


@dataclass(frozen=True, slots=True)
class RelayHmac(MacParameter):
    """MAC of a relay server (5.8)."""

    TYPE: ClassVar[int] = ParameterType.RELAY_HMAC


@dataclass(frozen=True, slots=True)
class PermissionRule:
    """What a data relay may forward: relay and peer side, and the client's SPIs."""

    relay_port: int
    peer_port: int
    protocol: int
    relay_address: Address
    peer_address: Address
    outbound_spi: int
    inbound_spi: int


@dataclass(frozen=True, slots=True)
class PeerPermission(Parameter):
    """Forwarding rules at a data relay (5.13).

    The section gives a fixed Length of 48, and also "one or more sets": both are read here.
    """

    TYPE: ClassVar[int] = ParameterType.PEER_PERMISSION

    rules: tuple[PermissionRule, ...]

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """Rules of 48 octets, one or more."""
        if not contents or len(contents) % _PERMISSION.size:
            raise ParameterError(
                cls.TYPE, f"{len(contents)} octets are no rules of {_PERMISSION.size}"
            )
        rules = []
        for (
            relay_port,
            peer_port,
            protocol,
            relay,
            peer,
            outbound,
            inbound,
        ) in _PERMISSION.iter_unpack(contents):
            addresses = parse_address(relay), parse_address(peer)
            rules.append(
                PermissionRule(relay_port, peer_port, protocol, *addresses, outbound, inbound)
            )
        return cls(tuple(rules))

    def contents(self) -> bytes:
        """48 octets per rule."""
        if not self.rules:
            raise LocalProtocolError("PEER_PERMISSION: at least one rule")
        return b"".join(
            _PERMISSION.pack(
                rule.relay_port,
                rule.peer_port,
                rule.protocol,
                emit_address(rule.relay_address),
                emit_address(rule.peer_address),
                rule.outbound_spi,
                rule.inbound_spi,
            )
            for rule in self.rules
        )


@dataclass(frozen=True, slots=True)
class Nominate(Parameter):
    """Concludes the nomination of a candidate pair (5.15)."""

    TYPE: ClassVar[int] = ParameterType.NOMINATE

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """Reserved u32 (ignored)."""
        if len(contents) != 4:
            raise ParameterError(cls.TYPE, f"{len(contents)} octets, not 4")
        return cls()

    def contents(self) -> bytes:
        """4 octets."""
        return bytes(4)
