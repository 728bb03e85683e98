"""Own certificates beside the other parameters of a packet, as far as there is room.

A chain that does not fit begins in the I2 or R2 and goes on in UPDATEs, where those may carry
certificates; anything else carries a chain whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from hipgw.crypto import PrivateHostIdentity
from hipgw.wire import PARAMETER_OCTETS_MAX, Cert, Parameter, emit_parameter

MAC_TLV_OCTETS: Final = 56
"""HIP_MAC with the longest RHASH, padded."""
SIGNATURE_OCTETS_LEAST: Final = 136
"""ECDSA on P-521 and Ed448 stay below."""
TLV_EXTRA_OCTETS: Final = 16
"""Head, algorithm and padding of HIP_SIGNATURE."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A chain that a packet is to carry.

    Attributes:
        certificates: the whole group.
        may_span: whether the rest may follow in UPDATEs.
    """

    certificates: tuple[Cert, ...] = ()
    may_span: bool = False

    def beside(
        self, parameters: Iterable[Parameter], identity: PrivateHostIdentity
    ) -> tuple[Cert, ...]:
        """What of it fits into a packet with `parameters` that has yet to get MAC and signature."""
        if not self.certificates:
            return ()
        used = sum(len(emit_parameter(parameter)) for parameter in parameters)
        room = PARAMETER_OCTETS_MAX - used - MAC_TLV_OCTETS - _signature_octets(identity)
        fitting = first_that_fit(self.certificates, room)
        return fitting if self.may_span or len(fitting) == len(self.certificates) else ()


NO_OFFER: Final = Offer()


def first_that_fit(certificates: Sequence[Cert], room_octets: int) -> tuple[Cert, ...]:
    """As many from the beginning as `room_octets` take."""
    left = room_octets
    for place, certificate in enumerate(certificates):
        left -= len(emit_parameter(certificate))
        if left < 0:
            return tuple(certificates[:place])
    return tuple(certificates)


def _signature_octets(identity: PrivateHostIdentity) -> int:
    """At least what HIP_SIGNATURE takes: an RSA one is as long as the modulus in the HI."""
    return TLV_EXTRA_OCTETS + max(SIGNATURE_OCTETS_LEAST, len(identity.public.hi))
