"""Certificates of peers: taken from authentic packets only, judged in jobs, acted upon (RFC 8002).

Where certificates are required, a base exchange without a chain that holds comes to nothing, and an
association whose chain ends or is taken back is closed.  The peer is told by NOTIFY: 48
(CREDENTIALS_REQUIRED) or 50 (INVALID_CERTIFICATE).  Those of NOTIFY and CLOSE, which anyone can
repeat, are for `certificate_asides`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from hipgw.proto.association import Association
from hipgw.proto.certificate_check import (
    MISSING,
    REFUSED,
    CertificateCheck,
    CheckResponder,
    JudgeGroups,
    Judgement,
)
from hipgw.proto.certificate_groups import (
    WAIT_S,
    CertificateGroup,
    CertificateGroupError,
    CertificatesRefused,
    credentials_required,
    invalid_certificate,
)
from hipgw.proto.certificate_offers import (
    certificates_beside,
    check_of,
    credentials_of,
    offer_for,
)
from hipgw.proto.certificate_policy import CertificatePolicy
from hipgw.proto.certificate_room import first_that_fit
from hipgw.proto.closing import Closer
from hipgw.proto.core import Core, TimerKind
from hipgw.proto.credentials import Credentials, Standing
from hipgw.proto.events import CertificateJudged
from hipgw.proto.keying import Keying
from hipgw.proto.notifying import Notifier
from hipgw.proto.refusals import Refused
from hipgw.proto.states import State, Trigger
from hipgw.proto.update_sender import UpdateSender
from hipgw.proto.update_state import Purpose
from hipgw.values import NotifyType
from hipgw.wire import (
    PARAMETER_OCTETS_MAX,
    Cert,
    HipPacket,
    Notification,
    PacketType,
    Parameter,
)

AGREED: Final = frozenset({State.R2_SENT, State.ESTABLISHED})
RENEW_S: Final = 60.0
"""How long before the end of a required certificate its host is asked for another."""
LOOK_AGAIN_LEAST_S: Final = 0.05
"""A timer that runs out a rounding error too early must not run out at once again."""
LOOK_AGAIN_MOST_S: Final = 3600.0
"""The wall clock may be set: ends of validity are looked at so often at least."""
UPDATE_ROOM_OCTETS: Final = PARAMETER_OCTETS_MAX - 640
"""For certificates in an UPDATE of their own: SEQ, HIP_MAC and an RSA-4096 signature fit beside."""


class CertificateGate:
    """Judges what peers show, and shows them the rest of what we have."""

    def __init__(
        self, core: Core, notifier: Notifier, closer: Closer, sender: UpdateSender
    ) -> None:
        self._core: Final = core
        self._notifier: Final = notifier
        self._closer: Final = closer
        self._sender: Final = sender

    # --- the base exchange ---

    def on_r2(
        self, association: Association, packet: HipPacket, then: Callable[[float], None], now: float
    ) -> None:
        """Judge what the Responder of an authentic R2 has shown; `then` concludes the exchange."""
        identity = association.peer_identity
        packets = (association.shown_in_r1, packet.all(Cert))
        check = check_of(self._core, association.peer, packets)
        if identity is None or not check.is_needed:
            then(now)
            return
        self._core.compute(
            CheckResponder(check, identity),
            partial(self._on_r2_judged, (association, association.keying), check, then),
        )

    def _on_r2_judged(
        self,
        whose: tuple[Association, Keying | None],
        check: CertificateCheck,
        then: Callable[[float], None],
        result: object,
        now: float,
    ) -> None:
        association, keying = whose
        if association.keying is not keying or not association.allows(Trigger.R2_VALID):
            self._core.drop("state_unexpected")
            return
        if isinstance(result, Judgement):
            then(now)
            self.begin(association, check, result, now)
            return
        refused = result if isinstance(result, Refused) else Refused("busy")
        self._notifier.refuse(
            refused, association.local.hit, association.peer, association.path, now
        )
        self._closer.say_once(association)
        self._core.note("certificates_refused")
        self._core.fail(association, Trigger.CERTIFICATE_REFUSED, refused.reason, now)

    def begin(
        self,
        association: Association,
        check: CertificateCheck,
        judgement: Judgement | None,
        now: float,
    ) -> None:
        """A base exchange has come to its end: remember what the peer has shown in it."""
        policy = self._core.certificates
        if judgement is not None and check.is_needed:
            credentials = credentials_of(self._core, association, now)
            try:
                for certificates in check.packets:
                    credentials.assembler.take(certificates, now)
            except CertificateGroupError:
                credentials.assembler.forget()  # the judgement says so, too
            self._settle(association, credentials, judgement, now)
        if check.trust is not policy.trust or policy.requires(association.peer) != (
            check.is_required
        ):
            self._follow(association, policy, now)  # it has changed while the check was under way

    # --- afterwards ---

    def on_established(self, association: Association, now: float) -> None:
        """Timers begin anew, and UPDATEs can be sent."""
        credentials = association.credentials
        if credentials is None:
            return
        left, credentials.left_to_send = credentials.left_to_send, ()
        self._send(association, left)
        self.arm(association, credentials, now)

    def on_update(self, association: Association, packet: HipPacket, now: float) -> None:
        """Take the CERT parameters of an authentic UPDATE."""
        certificates = packet.all(Cert)
        if not certificates:
            return
        credentials = credentials_of(self._core, association, now)
        try:
            groups = credentials.assembler.take(certificates, now)
        except CertificateGroupError as error:
            self._core.note("certificate_groups_broken")
            self._notify(association, invalid_certificate(error.certificate), now)
            return
        if groups:
            self._judge(association, credentials, tuple(groups), now)
        elif credentials.standing is Standing.NONE:
            credentials.take(Judgement(None, None))
        self.arm(association, credentials, now)

    def _judge(
        self,
        association: Association,
        credentials: Credentials,
        groups: tuple[CertificateGroup, ...],
        now: float,
    ) -> None:
        """Have groups verified, one job at a time and within a rate; the same once more is known.

        When several come while one is being looked at, the latest are looked at next.
        """
        policy, host = self._core.certificates, association.peer_identity
        known = credentials.judgement
        if host is None or (known is not None and known.groups == groups and known.chain):
            return
        if credentials.judging is not None:
            credentials.waiting = groups
            return
        if not credentials.bucket.take(now):
            self._core.note("certificates_limited")
            return
        credentials.judging = groups
        self._core.compute(
            JudgeGroups(groups, host, policy.trust, policy.wall_s()),
            partial(self._on_judged, (association, credentials), policy, groups),
        )

    def _on_judged(
        self,
        whose: tuple[Association, Credentials],
        policy: CertificatePolicy,
        groups: tuple[CertificateGroup, ...],
        result: object,
        now: float,
    ) -> None:
        association, credentials = whose
        if association.credentials is not credentials or association.state not in AGREED:
            return
        if credentials.judging is groups:
            credentials.judging = None
        if self._core.certificates is not policy:  # what was found may not hold any more
            credentials.waiting = credentials.waiting or groups
        elif isinstance(result, Judgement):
            self._settle(association, credentials, result, now)
        elif credentials.is_required and credentials.chain is None:
            self._end(association, MISSING, credentials_required(), now)
        if credentials.judging is None and association.credentials is credentials:
            waiting, credentials.waiting = credentials.waiting, ()
            if waiting:
                self._judge(association, credentials, waiting, now)

    def _settle(
        self, association: Association, credentials: Credentials, judgement: Judgement, now: float
    ) -> None:
        """Let a judgement count: events, NOTIFY, and the end of an association that needs more."""
        core = self._core
        credentials.take(judgement)
        if judgement.chain is not None:
            core.note("certificates_verified")
        elif isinstance(judgement.outcome, CertificatesRefused):
            core.note("certificates_refused")
            if not credentials.is_required or credentials.chain is not None:
                self._notify(association, judgement.outcome.notification, now)
        if judgement.groups or judgement.outcome is not None:
            self._tell(association, credentials, judgement)
        if credentials.is_required and credentials.chain is None:
            outcome = judgement.outcome
            if isinstance(outcome, CertificatesRefused):
                self._end(association, REFUSED, outcome.notification, now)
            else:
                self._end(association, MISSING, credentials_required(), now)
            return
        self.arm(association, credentials, now)

    def _tell(
        self, association: Association, credentials: Credentials, judgement: Judgement
    ) -> None:
        standing, detail = credentials.standing, credentials.detail
        if isinstance(judgement.outcome, CertificatesRefused):
            standing, detail = Standing.REFUSED, judgement.outcome.detail
        until_s = None if judgement.chain is None else judgement.chain.until_s
        self._core.events.append(
            CertificateJudged(
                association.local.hit, association.peer, str(standing), detail, until_s
            )
        )

    def _end(
        self, association: Association, reason: str, notification: Notification, now: float
    ) -> None:
        """Close an association that may not be without a certificate."""
        self._core.drop(reason)
        self._notify(association, notification, now)
        if association.allows(Trigger.CERTIFICATE_REFUSED):
            self._closer.close(association, Trigger.CERTIFICATE_REFUSED, reason, now)

    def _notify(self, association: Association, notification: Notification, now: float) -> None:
        self._notifier.send(
            association.local, association.peer, association.path, notification, now
        )

    # --- time ---

    def arm(self, association: Association, credentials: Credentials, now: float) -> None:
        """Set the timer to what comes first: the rest of a group, or the end of validity."""
        due = [credentials.assembler.next_deadline()]
        if credentials.chain is not None:
            left_s = credentials.chain.until_s + 1 - self._core.certificates.wall_s()
            if credentials.is_required and credentials.asked_s is None:
                left_s -= RENEW_S
            due.append(now + min(max(left_s, 0.0), LOOK_AGAIN_MOST_S))
        times = [at for at in due if at is not None]
        if times:
            delay_s = max(min(times) - now, LOOK_AGAIN_LEAST_S)
            self._core.arm(association, TimerKind.CERTIFICATES, now, delay_s)

    def on_timer(self, association: Association, now: float) -> None:
        """A group is late, or a chain ends soon, or has ended."""
        credentials = association.credentials
        if credentials is None:
            return
        if credentials.assembler.expire(now):
            self._core.note("certificate_groups_late")
            if credentials.standing is Standing.INCOMPLETE:
                credentials.lose(Standing.REFUSED, f"the rest did not come within {WAIT_S:g} s")
        chain = credentials.chain
        if chain is not None:
            left_s = chain.until_s + 1 - self._core.certificates.wall_s()
            if left_s <= 0:
                self._on_ended(association, credentials, now)
            elif left_s <= RENEW_S and credentials.is_required and credentials.asked_s is None:
                credentials.asked_s = now
                self._notify(association, credentials_required(), now)
        if association.state in AGREED:
            self.arm(association, credentials, now)

    def _on_ended(self, association: Association, credentials: Credentials, now: float) -> None:
        self._core.note("certificates_expired")
        credentials.lose(Standing.EXPIRED, "its validity has ended")
        judgement = credentials.judgement or Judgement(None, None)
        self._core.events.append(
            CertificateJudged(
                association.local.hit,
                association.peer,
                str(Standing.EXPIRED),
                credentials.detail,
                None if judgement.certificate is None else judgement.certificate.not_after_s,
            )
        )
        if credentials.is_required:
            self._end(association, MISSING, credentials_required(), now)

    # --- what we show ---

    def _send(self, association: Association, certificates: tuple[Cert, ...]) -> None:
        """Send certificates in as many UPDATEs as they need.

        One that is too large for any packet is left out, with all after it.
        """
        while certificates:
            part = first_that_fit(certificates, UPDATE_ROOM_OCTETS)
            if not part or self._sender.send(association, Purpose.CERTIFICATES, part) is None:
                self._core.note("certificates_no_room")
                return
            self._core.note("certificates_sent")
            certificates = certificates[len(part) :]

    def beside_update(
        self, association: Association, purpose: Purpose, parameters: tuple[Parameter, ...]
    ) -> tuple[Cert, ...]:
        """Certificates for an UPDATE: those that verify an address carry them, as HIPL's U2 do."""
        if purpose is not Purpose.VERIFY:
            return ()
        return certificates_beside(self._core, PacketType.UPDATE, association.local, parameters)

    def on_notify(self, association: Association, notification: Notification, now: float) -> None:
        """The peer needs a certificate of ours: show it, if we do so in UPDATEs, now and then."""
        if notification.notify_type != NotifyType.CREDENTIALS_REQUIRED:
            return
        chain = offer_for(self._core, PacketType.UPDATE, association.local.hit).certificates
        if not chain or association.state is not State.ESTABLISHED:
            return
        credentials = credentials_of(self._core, association, now)
        last_s = credentials.sent_on_request_s
        if last_s is None or now - last_s >= WAIT_S:
            credentials.sent_on_request_s = now
            self._send(association, chain)

    # --- a new policy ---

    def change(self, policy: CertificatePolicy, now: float) -> None:
        """Take over other chains, authorities or revocation lists; look again at every peer."""
        core = self._core
        core.certificates = policy
        for association in tuple(core.associations.values()):
            self._follow(association, policy, now)

    def _follow(self, association: Association, policy: CertificatePolicy, now: float) -> None:
        """One association that stands: what its peer has shown is judged by this policy."""
        if association.state not in AGREED:
            return
        is_required = policy.requires(association.peer)
        credentials = association.credentials
        if credentials is None:
            if not is_required:
                return
            credentials = credentials_of(self._core, association, now)
        credentials.is_required = is_required
        groups = () if credentials.judgement is None else credentials.judgement.groups
        self._look_again(association, credentials, groups, now)

    def _look_again(
        self,
        association: Association,
        credentials: Credentials,
        groups: tuple[CertificateGroup, ...],
        now: float,
    ) -> None:
        """Judge by the present policy what a peer has shown earlier."""
        policy, host = self._core.certificates, association.peer_identity
        if groups and host is not None:
            credentials.chain, credentials.judging = None, groups
            self._core.compute(
                JudgeGroups(groups, host, policy.trust, policy.wall_s()),
                partial(self._on_judged, (association, credentials), policy, groups),
            )
        elif credentials.is_required:
            self._end(association, MISSING, credentials_required(), now)
