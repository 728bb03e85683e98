"""What a tunnel of the kernel may take in."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network


@dataclass(frozen=True, slots=True)
class IngressRule:
    """What happens to packets between two prefixes; of several rules the first that fits decides.

    Raises:
        ValueError: it says nothing, or two families.
    """

    is_pass: bool
    source: IPv4Network | IPv6Network | None = None
    """None: any."""
    destination: IPv4Network | IPv6Network | None = None

    def __post_init__(self) -> None:
        versions = {one.version for one in (self.source, self.destination) if one is not None}
        if len(versions) != 1:
            raise ValueError(f"a rule about {self.source} and {self.destination}: one family")

    @property
    def version(self) -> int:
        """4 or 6."""
        return next(one.version for one in (self.source, self.destination) if one is not None)
