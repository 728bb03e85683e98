"""Overlays: routes and hops left (RFC 6028 section 4.1, RFC 6079 section 6.2)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Final, Self

from hipgw.errors import LocalProtocolError
from hipgw.values import Hit
from hipgw.wire.parameter import Parameter, ParameterError
from hipgw.wire.parameter_types import ParameterType

ROUTE_SYMMETRIC: Final = 0x8000
"""Flag 0: the answer takes the same route back."""
ROUTE_MUST_FOLLOW: Final = 0x4000
"""Flag 1: every node of ROUTE_DST is to be visited."""
ROUTE_HITS_MAX: Final = 32

_HALVES: Final = Struct("!HH")
_HIT_OCTETS: Final = 16


@dataclass(frozen=True, slots=True)
class RouteParameter(Parameter):
    """HITs of the nodes on a path, with the flags above."""

    HITS_MIN: ClassVar[int] = 0

    flags: int
    hits: tuple[Hit, ...] = ()

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """Flags u16, reserved u16 (ignored), at most 32 HITs."""
        count, left = divmod(len(contents) - _HALVES.size, _HIT_OCTETS)
        if left or not cls.HITS_MIN <= count <= ROUTE_HITS_MAX:
            raise ParameterError(
                cls.TYPE,
                f"{len(contents)} octets are not {cls.HITS_MIN} to {ROUTE_HITS_MAX} HITs",
            )
        flags, _ = _HALVES.unpack_from(contents)
        hits = (
            Hit(contents[start : start + _HIT_OCTETS])
            for start in range(_HALVES.size, len(contents), _HIT_OCTETS)
        )
        return cls(flags, tuple(hits))

    def contents(self) -> bytes:
        """4 octets and 16 per HIT."""
        if not self.HITS_MIN <= len(self.hits) <= ROUTE_HITS_MAX:
            raise LocalProtocolError(
                f"route of {len(self.hits)} HITs, not {self.HITS_MIN} to {ROUTE_HITS_MAX}"
            )
        return _HALVES.pack(self.flags, 0) + b"".join(hit.packed for hit in self.hits)


@dataclass(frozen=True, slots=True)
class RouteDst(RouteParameter):
    """Nodes that the packet is to visit, at least one."""

    TYPE: ClassVar[int] = ParameterType.ROUTE_DST
    HITS_MIN: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class RouteVia(RouteParameter):
    """Nodes that the packet has visited."""

    TYPE: ClassVar[int] = ParameterType.ROUTE_VIA


@dataclass(frozen=True, slots=True)
class OverlayTtl(Parameter):
    """Overlay hops left (RFC 6079 section 6.2)."""

    TYPE: ClassVar[int] = ParameterType.OVERLAY_TTL

    ttl: int

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """TTL u16, reserved u16 (ignored)."""
        if len(contents) != _HALVES.size:
            raise ParameterError(cls.TYPE, f"{len(contents)} octets, not {_HALVES.size}")
        ttl, _ = _HALVES.unpack(contents)
        return cls(ttl)

    def contents(self) -> bytes:
        """4 octets."""
        return _HALVES.pack(self.ttl, 0)
