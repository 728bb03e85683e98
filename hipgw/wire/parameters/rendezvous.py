"""Rendezvous: FROM, RVS_HMAC, VIA_RVS (RFC 8004 section 4.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from hipgw.errors import LocalProtocolError
from hipgw.values import Address
from hipgw.wire.addresses import ADDRESS_OCTETS, emit_address, parse_address
from hipgw.wire.parameter import Parameter, ParameterError
from hipgw.wire.parameter_types import ParameterType
from hipgw.wire.parameters.proofs import MacParameter


@dataclass(frozen=True, slots=True)
class From(Parameter):
    """Where a forwarded packet came from; each rendezvous server appends one (4.2.2)."""

    TYPE: ClassVar[int] = ParameterType.FROM
    MAY_REPEAT: ClassVar[bool] = True

    address: Address

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """One address of 16 octets."""
        if len(contents) != ADDRESS_OCTETS:
            raise ParameterError(cls.TYPE, f"{len(contents)} octets, not {ADDRESS_OCTETS}")
        return cls(parse_address(contents))

    def contents(self) -> bytes:
        """16 octets."""
        return emit_address(self.address)


@dataclass(frozen=True, slots=True)
class RvsHmac(MacParameter):
    """MAC of a rendezvous server; each server that adds FROM adds one (4.2.1, 4.2.2)."""

    TYPE: ClassVar[int] = ParameterType.RVS_HMAC
    MAY_REPEAT: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class ViaRvs(Parameter):
    """Rendezvous servers that a packet came by, one or more (4.2.3)."""

    TYPE: ClassVar[int] = ParameterType.VIA_RVS

    addresses: tuple[Address, ...]

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """Addresses of 16 octets."""
        if not contents or len(contents) % ADDRESS_OCTETS:
            raise ParameterError(cls.TYPE, f"{len(contents)} octets are no list of addresses")
        return cls(
            tuple(
                parse_address(contents[start : start + ADDRESS_OCTETS])
                for start in range(0, len(contents), ADDRESS_OCTETS)
            )
        )

    def contents(self) -> bytes:
        """16 octets per address."""
        if not self.addresses:
            raise LocalProtocolError("VIA_RVS: at least one address")
        return b"".join(emit_address(address) for address in self.addresses)
