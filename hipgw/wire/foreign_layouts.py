"""Layouts that single peers give to parameters, contrary to the RFCs (`hipgw.values.Quirk`).

They are for reading only, and only for packets that claim to come from a peer for which the
operator has switched them on; who really sent a packet its MAC and signature tell later.  Each
derives from the layout of the RFC, so that `packet.require` finds either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Final, Self

from hipgw.values import Quirk, Quirks
from hipgw.wire.header import HIP_VERSION
from hipgw.wire.parameter import Parameter, ParameterError
from hipgw.wire.parameters.exchange import DiffieHellman
from hipgw.wire.parameters.hipv1 import join_signature, split_signature
from hipgw.wire.parameters.locators import LocatorSet, SpiLocator
from hipgw.wire.parameters.proofs import HipSignature, HipSignature2
from hipgw.wire.registry import parameters_of

SHORT_WORDS: Final = 4
"""Locator Length that HIPL 1.0.8 writes for a locator of type 1, which has 5 words."""
SHORT_LIFETIME_S: Final = 1800
"""Lifetime of a short locator that says 0; HIPL leaves the field as it finds it."""

_DH_HEAD_OCTETS: Final = 3


@dataclass(frozen=True, slots=True)
class UnsizedDiffieHellman(DiffieHellman):
    """DIFFIE_HELLMAN whose Public Value Length is not believed (`wrong-dh-length`)."""

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """Group u8, length u16 that is not looked at, public value to the end."""
        if len(contents) < _DH_HEAD_OCTETS:
            raise ParameterError(cls.TYPE, f"{len(contents)} octets, the least is 3")
        return cls(contents[0], contents[_DH_HEAD_OCTETS:])


@dataclass(frozen=True, slots=True)
class ShortHipSignature(HipSignature):
    """Algorithm of 8 bits in HIPv2 (`one-octet-signature-algorithm`)."""

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """Algorithm u8, signature."""
        return cls(*split_signature(cls.TYPE, contents))

    def contents(self) -> bytes:
        """1 + len(signature) octets."""
        return join_signature(self.TYPE, self.algorithm, self.signature)


@dataclass(frozen=True, slots=True)
class ShortHipSignature2(HipSignature2):
    """The same in HIP_SIGNATURE_2."""

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """Algorithm u8, signature."""
        return cls(*split_signature(cls.TYPE, contents))

    def contents(self) -> bytes:
        """1 + len(signature) octets."""
        return join_signature(self.TYPE, self.algorithm, self.signature)


@dataclass(frozen=True, slots=True)
class ShortLocatorSet(LocatorSet):
    """LOCATOR_SET in which a locator of type 1 may claim 4 words (`short-locator`)."""

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """As in RFC 8046, and a lifetime of 0 with an SPI is a default one."""
        records = cls.parse_records(contents, short_words=SHORT_WORDS)
        return cls(
            tuple(
                replace(record, lifetime_s=SHORT_LIFETIME_S)
                if isinstance(record.locator, SpiLocator) and not record.lifetime_s
                else record
                for record in records
            )
        )


_LAYOUTS_V2: Final[Mapping[Quirk, tuple[type[Parameter], ...]]] = {
    Quirk.WRONG_DH_LENGTH: (UnsizedDiffieHellman,),
    Quirk.ONE_OCTET_SIGNATURE_ALGORITHM: (ShortHipSignature, ShortHipSignature2),
    Quirk.SHORT_LOCATOR: (ShortLocatorSet,),
}
_LAYOUTS_V1: Final[Mapping[Quirk, tuple[type[Parameter], ...]]] = {
    Quirk.SHORT_LOCATOR: (ShortLocatorSet,),
}


@cache
def parameters_with(version: int, quirks: Quirks) -> Mapping[int, type[Parameter]]:
    """The layouts of a HIP version as a peer with such quirks writes them."""
    layouts = _LAYOUTS_V2 if version == HIP_VERSION else _LAYOUTS_V1
    own = {
        int(kind.TYPE): kind
        for quirk, kinds in layouts.items()
        if quirk in quirks
        for kind in kinds
    }
    return MappingProxyType({**parameters_of(version), **own})
