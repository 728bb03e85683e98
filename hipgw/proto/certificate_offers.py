"""Which certificates of ours go where, and what is kept of a peer's: between policy and packets."""

from __future__ import annotations

from collections.abc import Sequence

from hipgw.proto.association import Association
from hipgw.proto.certificate_check import NO_CHECK, CertificateCheck
from hipgw.proto.certificate_room import NO_OFFER, Offer
from hipgw.proto.core import Core
from hipgw.proto.credentials import JUDGEMENTS_BURST, JUDGEMENTS_RATE, Credentials
from hipgw.proto.limits import TokenBucket
from hipgw.proto.local_identity import LocalIdentity
from hipgw.values import Hit
from hipgw.wire import Cert, PacketType, Parameter


def offer_for(core: Core, kind: PacketType, local: Hit) -> Offer:
    """What a packet of a type carries by configuration; chains are of keys, in both versions."""
    policy = core.certificates
    if not policy.chains or kind not in policy.send_in:
        return NO_OFFER
    identity = core.identities.get(local)
    if identity is None:
        return NO_OFFER
    spans = kind in {PacketType.I2, PacketType.R2} and PacketType.UPDATE in policy.send_in
    return Offer(policy.group_of(identity.key.hit), may_span=spans)


def certificates_beside(
    core: Core,
    kind: PacketType,
    identity: LocalIdentity,
    parameters: Sequence[Parameter],
) -> tuple[Cert, ...]:
    """Certificates for a packet that the engine builds itself, counted."""
    offer = offer_for(core, kind, identity.hit)
    fitting = offer.beside(parameters, identity.key)
    if fitting:
        core.note("certificates_sent")
    elif offer.certificates:
        core.note("certificates_no_room")
    return fitting


def note_sent(core: Core, association: Association, octets: bytes, now: float) -> None:
    """An I2 or R2 of ours is complete: what it left of our chain goes into UPDATEs."""
    if not core.certificates.chains:
        return
    kind = PacketType(octets[2] & 0x7F)
    offer = offer_for(core, kind, association.local.hit)
    if not offer.certificates:
        return
    sent = len(association.dialect.parse(octets).all(Cert))
    core.note("certificates_sent" if sent else "certificates_no_room")
    if sent < len(offer.certificates) and offer.may_span:
        credentials_of(core, association, now).left_to_send = offer.certificates[sent:]


def check_of(core: Core, peer: Hit, packets: tuple[tuple[Cert, ...], ...]) -> CertificateCheck:
    """What a peer's packets are to be checked by, under the present policy."""
    policy = core.certificates
    is_required = policy.requires(peer)
    if not is_required and not any(packets):
        return NO_CHECK
    return CertificateCheck(packets, policy.trust, policy.wall_s(), is_required)


def credentials_of(core: Core, association: Association, now: float) -> Credentials:
    """What is known of the peer's certificates; begins empty."""
    if association.credentials is None:
        association.credentials = Credentials(
            TokenBucket(JUDGEMENTS_RATE, JUDGEMENTS_BURST, now),
            core.certificates.requires(association.peer),
        )
    return association.credentials
