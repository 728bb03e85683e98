"""Certificates in NOTIFY and CLOSE: judged and told, and nothing depends on them (RFC 8002).

Anyone who has seen such a packet can send it again, and a NOTIFY is never answered by one (RFC 7401
section 6.13).  So a chain that holds counts only where it holds longer than what is known, which an
old packet cannot undo; one that does not hold is an event and a counter.  Groups must be whole, and
they have a rate of their own: they cost nothing of what UPDATEs may.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from hipgw.proto.association import Association
from hipgw.proto.certificate_check import JudgeGroups, Judgement
from hipgw.proto.certificate_groups import (
    CertificateAssembler,
    CertificateGroupError,
    CertificatesRefused,
)
from hipgw.proto.certificate_offers import credentials_of
from hipgw.proto.certificate_policy import CertificatePolicy
from hipgw.proto.core import Core
from hipgw.proto.credentials import JUDGEMENTS_BURST, JUDGEMENTS_RATE, Credentials, Standing
from hipgw.proto.events import CertificateJudged
from hipgw.proto.limits import TokenBucket
from hipgw.proto.states import State
from hipgw.wire import Cert, HipPacket

JUDGED_IN: Final = frozenset({State.R2_SENT, State.ESTABLISHED, State.CLOSING})
Arm = Callable[[Association, Credentials, float], None]


class CertificateAsides:
    """Judges what comes beside a NOTIFICATION or a farewell."""

    def __init__(self, core: Core, arm: Arm) -> None:
        """Bind it.

        Args:
            core: of the endpoint.
            arm: sets the timer of an association's certificates anew.
        """
        self._core: Final = core
        self._arm: Final = arm

    def on_packet(self, association: Association, packet: HipPacket, now: float) -> None:
        """Have the CERT parameters of an authentic NOTIFY or CLOSE judged, if there are any."""
        core, policy, host = self._core, self._core.certificates, association.peer_identity
        certificates = packet.all(Cert)
        if not certificates or host is None or association.state not in JUDGED_IN:
            return
        try:
            groups = tuple(CertificateAssembler().take(certificates, now))
        except CertificateGroupError:
            core.note("certificate_groups_broken")
            return
        credentials = credentials_of(core, association, now)
        known = credentials.judgement
        if not groups or (
            known is not None and known.groups == groups and (known.chain or policy.trust is None)
        ):
            return
        if credentials.asides is None:
            credentials.asides = TokenBucket(JUDGEMENTS_RATE, JUDGEMENTS_BURST, now)
        if not credentials.asides.take(now):
            core.note("certificates_limited")
            return
        core.compute(
            JudgeGroups(groups, host, policy.trust, policy.wall_s()),
            partial(self._on_judged, association, credentials, policy),
        )

    def _on_judged(
        self,
        association: Association,
        credentials: Credentials,
        policy: CertificatePolicy,
        result: object,
        now: float,
    ) -> None:
        core = self._core
        if not isinstance(result, Judgement) or core.certificates is not policy:
            return
        self._tell(association, result)
        if association.credentials is not credentials or association.state not in JUDGED_IN:
            return
        chain, known = result.chain, credentials.chain
        if known is None or (chain is not None and chain.until_s > known.until_s):
            credentials.take(result)
            self._arm(association, credentials, now)

    def _tell(self, association: Association, judgement: Judgement) -> None:
        core, chain, outcome = self._core, judgement.chain, judgement.outcome
        standing, detail = Standing.UNVERIFIED, "no authority is trusted here"
        if chain is not None:
            core.note("certificates_verified")
            standing, detail = Standing.VERIFIED, ""
        elif isinstance(outcome, CertificatesRefused):
            core.note("certificates_refused")
            standing, detail = Standing.REFUSED, outcome.detail
        until_s = None if chain is None else chain.until_s
        core.events.append(
            CertificateJudged(
                association.local.hit, association.peer, str(standing), detail, until_s
            )
        )
