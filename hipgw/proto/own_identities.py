"""What is said of each of our host identities beside its key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hipgw.errors import LocalProtocolError
from hipgw.wire import CONTROL_ANONYMOUS

DI_OCTETS_MOST: Final = 255


@dataclass(frozen=True, slots=True)
class IdentityTraits:
    """How an identity shows itself to peers."""

    is_anonymous: bool = False
    """Whether it is in no directory: R1 and I2 then have the A bit (RFC 7401 section 5.1.2)."""
    di_type: int = 0
    """Domain identifier in HOST_ID: 0 none, 1 FQDN in wire form, 2 NAI (section 5.2.9)."""
    di: bytes = b""

    def __post_init__(self) -> None:
        if len(self.di) > DI_OCTETS_MOST:
            raise LocalProtocolError(f"domain identifier has more than {DI_OCTETS_MOST} octets")

    @property
    def controls(self) -> int:
        """The Controls field of R1 and I2; no other packet has a bit (sections 5.3.1 to 5.3.8)."""
        return CONTROL_ANONYMOUS if self.is_anonymous else 0
