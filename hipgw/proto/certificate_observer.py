"""What a middlebox makes of certificates in packets that pass it (RFC 8002; HIPL's hipfw -cert).

A middlebox cannot check MACs.  It can check that a packet with CERT parameters is signed by the key
that its sender HIT is the hash of, and that a chain to a trusted authority vouches for that key.
The key comes from the certificate, or from the HOST_ID of an R1 or I2 that passed before.  Packets
of both versions are looked at, each by its own rules for HITs and signatures; whether two hosts may
speak HIPv1 is theirs to decide.

Costs at most one signature of a packet and `certificates_chain.SIGNATURES_MOST` of a chain, for
packets with CERT only; how many of these are looked at is the caller's limit to set.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final, TypeVar

from hipgw.crypto import HostIdentity
from hipgw.crypto.certificates import CertificateError, HostCertificate
from hipgw.crypto.certificates_carried import read_carried
from hipgw.crypto.certificates_chain import TrustStore, VerifiedChain
from hipgw.errors import WireError
from hipgw.proto.certificate_groups import (
    GROUP_CERTIFICATES_MOST,
    CertificateAssembler,
    CertificateGroupError,
    VerifyCertificates,
)
from hipgw.proto.dialect import Dialect
from hipgw.proto.dialect_v1 import DialectV1
from hipgw.proto.dialect_v2 import DialectV2
from hipgw.proto.initiator_jobs import VerifyR1
from hipgw.proto.jobs import VerifySignature
from hipgw.proto.refusals import Refused
from hipgw.values import Hit
from hipgw.wire import (
    Cert,
    HipPacket,
    HipSignature,
    HipSignature2,
    HostId,
    PacketType,
    parse_packet,
)

K = TypeVar("K")
V = TypeVar("V")

DIALECTS: Final[Mapping[int, Dialect]] = MappingProxyType({1: DialectV1(), 2: DialectV2()})
HOSTS_MOST: Final = 4096
"""Keys, and pairs with a group that goes on, that are remembered; the oldest goes first."""


class Passing(Enum):
    """What became of one packet."""

    ACCEPTED = "accepted"
    """A chain to a trusted authority vouches for the sender, who has signed this packet."""
    REFUSED = "refused"
    INCOMPLETE = "incomplete"
    """Signed by its sender; the rest of the certificates follows in the next packets."""
    WITHOUT = "without certificate"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class ObservedPacket:
    """One HIP packet that has passed.

    Attributes:
        packet_type: of it.
        sender: sender HIT, as it says.
        receiver: receiver HIT.
        passing: what became of it.
        detail: why it is refused, or "".
        chain: what vouches for the sender, if it is accepted.
    """

    packet_type: PacketType
    sender: Hit
    receiver: Hit
    passing: Passing
    detail: str = ""
    chain: VerifiedChain | None = None


class CertificateObserver:
    """Looks at passing packets; holds keys and begun groups, both bounded."""

    def __init__(self, trust: TrustStore) -> None:
        self._trust: Final = trust
        self._keys: OrderedDict[Hit, HostIdentity] = OrderedDict()
        self._assemblers: OrderedDict[tuple[Hit, Hit], CertificateAssembler] = OrderedDict()

    def on_packet(self, octets: bytes, now: float, unix_now_s: float) -> ObservedPacket | None:
        """Judge one HIP packet.

        Args:
            octets: HIP header and parameters, from anyone.
            now: monotonic seconds, by which begun groups are forgotten.
            unix_now_s: wall clock, by which validity is told.

        Returns:
            The judgement, or None for what is no HIP packet.
        """
        try:
            packet = parse_packet(octets, versions=frozenset(DIALECTS))
        except WireError:
            return None
        self._learn(packet)
        certificates = packet.all(Cert)
        if not certificates:
            return _of(packet, Passing.WITHOUT)
        identity = self._identity_of(packet, certificates)
        if identity is None:
            return _of(packet, Passing.REFUSED, "no certificate of the sender's key")
        if not _is_signed_by(packet, identity):
            return _of(packet, Passing.REFUSED, "not signed by the sender's key")
        return self._judge(packet, certificates, identity, now, unix_now_s)

    def _judge(
        self,
        packet: HipPacket,
        certificates: tuple[Cert, ...],
        identity: HostIdentity,
        now: float,
        unix_now_s: float,
    ) -> ObservedPacket:
        pair = packet.sender, packet.receiver
        assembler = self._assemblers.pop(pair, None) or CertificateAssembler()
        try:
            groups = assembler.take(certificates, now)
        except CertificateGroupError as error:
            return _of(packet, Passing.REFUSED, str(error))
        if assembler.is_waiting:
            self._assemblers[pair] = assembler
            _bound(self._assemblers)
        if not groups:
            _remember(self._keys, packet.sender, identity)
            return _of(packet, Passing.INCOMPLETE)
        outcome = VerifyCertificates(tuple(groups), identity, self._trust, unix_now_s).run()
        if not isinstance(outcome, VerifiedChain):
            kind = outcome.failure.name.lower().replace("_", " ")
            return _of(packet, Passing.REFUSED, f"{kind}: {outcome.detail}")
        _remember(self._keys, packet.sender, identity)
        return ObservedPacket(
            packet.packet_type, packet.sender, packet.receiver, Passing.ACCEPTED, "", outcome
        )

    # --- keys ---

    def _learn(self, packet: HipPacket) -> None:
        """Remember the key of a HOST_ID in the clear: its HIT says whose it is."""
        host_id = packet.get(HostId)
        if host_id is None or packet.sender in self._keys:
            return
        identity = DIALECTS[packet.version].identity_from_host_id(host_id, packet.sender)
        if not isinstance(identity, Refused):
            _remember(self._keys, packet.sender, identity)

    def _identity_of(
        self, packet: HipPacket, certificates: tuple[Cert, ...]
    ) -> HostIdentity | None:
        """The key of the sender HIT: known, or in one of the certificates."""
        known = self._keys.get(packet.sender)
        if known is not None:
            return known
        for certificate in certificates[:GROUP_CERTIFICATES_MOST]:
            try:
                carried = read_carried(certificate.type, certificate.certificate)
            except CertificateError:
                continue
            public = carried.public if isinstance(carried, HostCertificate) else None
            if public is not None and public.hit_of(packet.version) == packet.sender:
                return public
        return None


def _is_signed_by(packet: HipPacket, identity: HostIdentity) -> bool:
    """Whether HIP_SIGNATURE, in an R1 HIP_SIGNATURE_2, is of that key."""
    dialect = DIALECTS[packet.version]
    second, host_id = packet.get(HipSignature2), packet.get(HostId)
    if packet.packet_type is PacketType.R1:
        if second is None or host_id is None:
            return False
        return isinstance(
            VerifyR1(dialect, packet.sender, host_id, packet.octets, second).run(), HostIdentity
        )
    signature = packet.get(HipSignature)
    return (
        signature is not None and VerifySignature(dialect, identity, signature, packet.octets).run()
    )


def _of(packet: HipPacket, passing: Passing, detail: str = "") -> ObservedPacket:
    return ObservedPacket(packet.packet_type, packet.sender, packet.receiver, passing, detail)


def _remember(keys: OrderedDict[Hit, HostIdentity], hit: Hit, identity: HostIdentity) -> None:
    keys[hit] = identity
    keys.move_to_end(hit)
    _bound(keys)


def _bound(table: OrderedDict[K, V]) -> None:
    while len(table) > HOSTS_MOST:
        table.popitem(last=False)
