"""What this host shows of its own certificates, and what it asks of peers (RFC 8002)."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from hipgw.crypto.certificates import HostCertificate
from hipgw.crypto.certificates_chain import TrustStore
from hipgw.errors import LocalProtocolError
from hipgw.proto.certificate_groups import GROUP_CERTIFICATES_MOST, chain_group
from hipgw.values import Hit
from hipgw.wire import Cert, PacketType

SENDABLE: Final = frozenset(
    {
        PacketType.R1,
        PacketType.I2,
        PacketType.R2,
        PacketType.UPDATE,
        PacketType.CLOSE,
        PacketType.NOTIFY,
    }
)
"""Packets that certificates go into; RFC 8002 section 2 advises against I1."""
LIKE_HIPL: Final = frozenset({PacketType.R2, PacketType.UPDATE})


def nobody_must(_peer: Hit) -> bool:
    """The default: no peer needs a certificate."""
    return False


@dataclass(frozen=True, slots=True)
class CertificatePolicy:
    """Own chains, trusted authorities, and whom certificates are required of.

    Attributes:
        chains: by our HIT of HIPv2, the host's own certificate first.
        send_in: packets that carry them.
        trust: whom we believe; None: what peers show is not verified.
        requires: whether a peer needs a certificate that holds.
        unix_now: wall clock in seconds, by which validity is told; needed with `trust`.
    """

    chains: Mapping[Hit, tuple[HostCertificate, ...]] = field(default_factory=dict)
    send_in: frozenset[PacketType] = LIKE_HIPL
    trust: TrustStore | None = None
    requires: Callable[[Hit], bool] = nobody_must
    unix_now: Callable[[], float] | None = None

    def __post_init__(self) -> None:
        if not self.send_in <= SENDABLE:
            names = ", ".join(sorted(kind.name for kind in self.send_in - SENDABLE))
            raise LocalProtocolError(f"certificates are not sent in {names}")
        if self.trust is not None and self.unix_now is None:
            raise LocalProtocolError("verifying certificates needs the wall clock: give unix_now")
        for hit, chain in self.chains.items():
            if not 0 < len(chain) <= GROUP_CERTIFICATES_MOST:
                raise LocalProtocolError(
                    f"chain of {hit} has {len(chain)} certificates, 1 to"
                    f" {GROUP_CERTIFICATES_MOST} can be sent"
                )
            if chain[0].hit != hit:
                raise LocalProtocolError(f"the first certificate of its chain is not of {hit}")

    def group_of(self, local: Hit) -> tuple[Cert, ...]:
        """The chain of one of our identities as CERT parameters; () without one.

        The group number goes with the content, so a renewed chain is another group to a peer that
        holds a part of the old one.
        """
        chain = self.chains.get(local)
        if chain is None:
            return ()
        number = zlib.crc32(b"".join(entry.der for entry in chain)) & 0xFF
        return chain_group(number, chain).certificates

    def wall_s(self) -> float:
        """The wall clock, Unix seconds; 0 without one."""
        return 0.0 if self.unix_now is None else self.unix_now()


NO_CERTIFICATES: Final = CertificatePolicy()
