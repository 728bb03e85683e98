"""Host Identity Tags, Local Scope Identifiers and SPIs: frozen, hashable, ordered by octets."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Final, NewType, Self

from hipgw.values.quick_making import quickly_made

Spi = NewType("Spi", int)
"""Security Parameter Index; 0 never appears on the wire, 1-255 are reserved (RFC 4303 2.1)."""

HIT_OCTETS: Final = 16
LSI_OCTETS: Final = 4
SPI_LEAST: Final = 256


@quickly_made
@dataclass(frozen=True, slots=True, order=True)
class Hit:
    """A Host Identity Tag: 128 bits that look like an IPv6 address (RFC 7401 section 3.1).

    Ordering is that of the octets, which is the comparison RFC 7401 section 6.5 asks for.
    """

    packed: bytes

    def __post_init__(self) -> None:
        if len(self.packed) != HIT_OCTETS:
            raise ValueError(f"a HIT has {HIT_OCTETS} octets, not {len(self.packed)}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the IPv6 text form; raises ValueError when it is not one."""
        try:
            return cls(socket.inet_pton(socket.AF_INET6, text))
        except OSError as error:
            raise ValueError(f"{text!r} is not a HIT: expected an IPv6 text form") from error

    @property
    def is_null(self) -> bool:
        """Whether this is the all-zero HIT of opportunistic mode (RFC 7401 section 4.1.8)."""
        return not any(self.packed)

    @property
    def version(self) -> int:
        """2 for 2001:20::/28 (RFC 7343), 1 for 2001:10::/28 (RFC 4843), 0 for neither."""
        if self.packed[:3] != b"\x20\x01\x00":
            return 0
        return {0x20: 2, 0x10: 1}.get(self.packed[3] & 0xF0, 0)

    @property
    def suite(self) -> int:
        """The OGA identifier of an ORCHIDv2 HIT (RFC 7343 section 2): its HIT suite number."""
        return self.packed[3] & 0x0F

    def __str__(self) -> str:
        return socket.inet_ntop(socket.AF_INET6, self.packed)

    def __repr__(self) -> str:
        return f"Hit({self})"


NULL_HIT: Final = Hit(bytes(HIT_OCTETS))


@dataclass(frozen=True, slots=True, order=True)
class Lsi:
    """A Local Scope Identifier: a 32-bit alias of a HIT, valid on this host only."""

    packed: bytes

    def __post_init__(self) -> None:
        if len(self.packed) != LSI_OCTETS:
            raise ValueError(f"an LSI has {LSI_OCTETS} octets, not {len(self.packed)}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read dotted quad; raises ValueError when it is not one."""
        try:
            return cls(socket.inet_pton(socket.AF_INET, text))
        except OSError as error:
            raise ValueError(f"{text!r} is not an LSI: expected a dotted quad") from error

    def __str__(self) -> str:
        return socket.inet_ntop(socket.AF_INET, self.packed)

    def __repr__(self) -> str:
        return f"Lsi({self})"
