"""Where a host can be reached: addresses, and pairs of them with their encapsulation."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from hipgw.values.quick_making import quickly_made

Address = IPv4Address | IPv6Address

HIP_PROTOCOL: Final = 139
"""IP protocol number of HIP (RFC 7401 section 4)."""
ESP_PROTOCOL: Final = 50
HIP_UDP_PORT: Final = 10500
"""UDP port of HIP and of ESP in UDP (RFC 9028 section 5.1)."""


class Encapsulation(IntEnum):
    """How HIP and ESP travel over IP."""

    RAW = 0
    """HIP as IP protocol 139, ESP as protocol 50."""
    UDP = 1
    """Both in UDP, told apart by a zero SPI (RFC 9028 section 5.1)."""


@quickly_made
@dataclass(frozen=True, slots=True)
class Path:
    """Local locator, peer locator, encapsulation.

    Ports are meaningful with `Encapsulation.UDP` only and are 0 otherwise.
    Both addresses are of the same family.
    """

    local: Address
    peer: Address
    encapsulation: Encapsulation = Encapsulation.RAW
    local_port: int = 0
    peer_port: int = 0

    def __post_init__(self) -> None:
        if self.local.version != self.peer.version:
            raise ValueError(f"path of mixed families: {self.local} and {self.peer}")

    def __str__(self) -> str:
        if self.encapsulation is Encapsulation.RAW:
            return f"{self.local} > {self.peer}"
        return f"{self.local}:{self.local_port} > {self.peer}:{self.peer_port} udp"
