"""MACs and signatures (RFC 7401 sections 5.2.12 to 5.2.15).

What they cover is in `hipgw.wire.coverage`; lengths are checked where the algorithm is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from hipgw.errors import LocalProtocolError
from hipgw.values.quick_making import quickly_made
from hipgw.wire.parameter import Parameter, ParameterError
from hipgw.wire.parameter_types import ParameterType


@dataclass(frozen=True, slots=True)
class MacParameter(Parameter):
    """A MAC of the natural size of its hash: the layout that four parameters share."""

    mac: bytes

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """The MAC and nothing else."""
        if not contents:
            raise ParameterError(cls.TYPE, "no MAC")
        return cls(contents)

    def contents(self) -> bytes:
        """The MAC."""
        if not self.mac:
            raise LocalProtocolError(f"parameter {self.TYPE} without a MAC")
        return self.mac


@quickly_made
@dataclass(frozen=True, slots=True)
class HipMac(MacParameter):
    """MAC over the packet up to here (5.2.12)."""

    TYPE: ClassVar[int] = ParameterType.HIP_MAC


@quickly_made
@dataclass(frozen=True, slots=True)
class HipMac2(MacParameter):
    """MAC over the packet up to here and the sender's HOST_ID (5.2.13)."""

    TYPE: ClassVar[int] = ParameterType.HIP_MAC_2


@dataclass(frozen=True, slots=True)
class SignatureParameter(Parameter):
    """A signature with the number of its algorithm (that of the Host Identity)."""

    algorithm: int
    signature: bytes

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """Algorithm u16, signature."""
        if len(contents) <= 2:
            raise ParameterError(cls.TYPE, f"{len(contents)} octets hold no signature")
        return cls(int.from_bytes(contents[:2]), contents[2:])

    def contents(self) -> bytes:
        """2 + len(signature) octets."""
        if not self.signature:
            raise LocalProtocolError(f"parameter {self.TYPE} without a signature")
        return self.algorithm.to_bytes(2) + self.signature


@quickly_made
@dataclass(frozen=True, slots=True)
class HipSignature(SignatureParameter):
    """Signature over the packet up to here (5.2.14)."""

    TYPE: ClassVar[int] = ParameterType.HIP_SIGNATURE


@quickly_made
@dataclass(frozen=True, slots=True)
class HipSignature2(SignatureParameter):
    """Signature of an R1 that leaves out what is filled in per I1 (5.2.15)."""

    TYPE: ClassVar[int] = ParameterType.HIP_SIGNATURE_2
