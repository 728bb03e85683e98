"""NOTIFY, out and in (RFC 7401 sections 5.2.19, 6.13).

Out: only to a host that has solved a puzzle or shares keys with us, never in answer to a NOTIFY,
signed, and within a rate per source and in total.  In: informational; a state never changes
because of it (`notify_reactions` says what does).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from hipgw.proto.association import Association
from hipgw.proto.certificate_offers import certificates_beside
from hipgw.proto.core import Core
from hipgw.proto.credentials import Standing
from hipgw.proto.events import CertificateJudged, NotifyReceived
from hipgw.proto.jobs import SignPacket, VerifySignature
from hipgw.proto.local_identity import LocalIdentity
from hipgw.proto.notify_reactions import react
from hipgw.proto.refusals import DroppedPacket, Refused, RefusedError
from hipgw.proto.states import Trigger
from hipgw.values import Hit, Path
from hipgw.wire import HipPacket, HipSignature, Notification, PacketType

Notified = Callable[[Association, Notification, float], None]
Authentic = Callable[[Association, HipPacket, float], None]


class Notifier:
    """Tells peers why, and hears why."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.when_notified: list[Notified] = []
        """Who is told of each NOTIFICATION of an authentic NOTIFY."""
        self.when_authentic: list[Authentic] = []
        """Who is told of each authentic NOTIFY as a whole."""

    def refuse(self, refused: Refused, local: Hit, peer: Hit, path: Path, now: float) -> None:
        """Count a dropped packet and tell its sender if it has earned an answer."""
        self._core.drop(refused.reason)
        self._core.latest_drops[refused.reason] = DroppedPacket(peer, path)
        if refused.detail:
            standing = str(Standing.REFUSED)
            judged = CertificateJudged(local, peer, standing, refused.detail, None)
            self._core.events.append(judged)
        identity = self._core.identities.get(local)
        if refused.notify is not None and identity is not None:
            notification = Notification(int(refused.notify), refused.data)
            self.send(identity, peer, path, notification, now)

    def send(
        self,
        identity: LocalIdentity,
        peer: Hit,
        path: Path,
        notification: Notification,
        now: float,
    ) -> None:
        """Sign and send a NOTIFY, if the rates allow."""
        core = self._core
        if not core.reply_limit.allows(path.peer, now):
            core.note("notify_not_sent")
            return
        try:
            dialect = core.dialects.of(identity.version, peer)
        except RefusedError:  # it was `legacy` when its packet came
            core.note("notify_not_sent")
            return
        shown = certificates_beside(core, PacketType.NOTIFY, identity, (notification,))
        octets = dialect.build(PacketType.NOTIFY, identity.hit, peer, (notification, *shown))
        core.compute(SignPacket(dialect, identity, octets), partial(self._on_signed, path))

    def _on_signed(self, path: Path, result: object, _now: float) -> None:
        if isinstance(result, bytes):
            self._core.transmit(result, path)

    def on_notify(self, packet: HipPacket, path: Path, now: float) -> None:
        """Have the signature of a NOTIFY checked.

        Raises:
            RefusedError, WireError: not worth a signature check.
        """
        core = self._core
        association = core.find(packet.receiver, packet.sender)
        if association is None:
            raise RefusedError("no_association")
        identity = association.peer_identity
        if identity is None or not association.allows(Trigger.NOTIFY_VALID):
            raise RefusedError("state_unexpected")
        packet.require(Notification)
        signature = packet.require(HipSignature)
        kind = int(packet.packet_type)
        if kind in association.verifying or not core.reply_limit.allows(path.peer, now):
            raise RefusedError("busy")
        association.begin_check(kind)
        core.compute(
            VerifySignature(association.dialect, identity, signature, packet.octets),
            partial(self._on_verified, association, packet),
        )

    def _on_verified(
        self, association: Association, packet: HipPacket, result: object, now: float
    ) -> None:
        association.end_check(int(packet.packet_type))
        if result is not True:
            self._core.drop("signature_wrong")
            return
        if not association.allows(Trigger.NOTIFY_VALID):
            self._core.drop("state_unexpected")
            return
        association.move(Trigger.NOTIFY_VALID, now)
        self._core.drop("notify_received")
        for notification in packet.all(Notification):
            if association.initiation is not None:
                association.initiation.notify_type = notification.notify_type
            react(self._core, association, notification.notify_type, now)
            self._core.events.append(
                NotifyReceived(
                    association.local.hit,
                    association.peer,
                    notification.notify_type,
                    notification.data,
                )
            )
            for tell in self.when_notified:
                tell(association, notification, now)
        for tell_all in self.when_authentic:
            tell_all(association, packet, now)
